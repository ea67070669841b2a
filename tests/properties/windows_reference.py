"""Windows worked out one event and one entry at a time, straight from the words of the definition."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from features.definition.model import RowKind, WindowFeature


@dataclass(frozen=True)
class PlainEvent:
    """An event, or an entry of a row: `mark` is (partition, offset) or observed_at."""

    key: str
    time: int
    id: int
    mark: tuple[int, int]
    values: tuple[float, ...]


def reference(
    window: WindowFeature, columns: Sequence[str], entries: Sequence[PlainEvent], event: PlainEvent
) -> float:
    """The value of `window` for `event`, where `entries` are everything ever appended to rows of its kind."""
    row = [entry for entry in entries if entry.key == event.key]
    visible = _labels(row, event) if window.kind is RowKind.LABELS else _events(row, event)
    if window.kind is RowKind.EVENTS and window.include_current and window.function != "time_since_last":
        visible.append(event)
    visible = [entry for entry in visible if entry.time <= event.time - window.delay]
    visible.sort(key=lambda entry: (entry.time, entry.mark, entry.id))
    if window.where is not None:
        visible = [entry for entry in visible if entry.values[columns.index(window.where)] == 1.0]
    if window.span.kind == "time":
        visible = [entry for entry in visible if entry.time > event.time - window.delay - window.span.length]
    else:
        visible = visible[-window.span.length :]
    return _aggregate(window, columns, visible, event)


def _events(row: Sequence[PlainEvent], event: PlainEvent) -> list[PlainEvent]:
    first: dict[int, PlainEvent] = {}
    for entry in row:
        if entry.id not in first or entry.mark < first[entry.id].mark:
            first[entry.id] = entry
    return [
        entry
        for entry in first.values()
        if entry.id != event.id
        and (entry.time, entry.mark) < (event.time, event.mark)
        and not (entry.mark[0] == event.mark[0] and entry.mark[1] > event.mark[1])
    ]


def _labels(row: Sequence[PlainEvent], event: PlainEvent) -> list[PlainEvent]:
    latest: dict[int, PlainEvent] = {}
    for entry in row:
        if entry.mark[0] > event.time or entry.id == event.id:
            continue
        known = latest.get(entry.id)
        if known is None or (entry.mark, entry.values, entry.time) > (known.mark, known.values, known.time):
            latest[entry.id] = entry
    return list(latest.values())


def _aggregate(
    window: WindowFeature, columns: Sequence[str], entries: Sequence[PlainEvent], event: PlainEvent
) -> float:
    if window.function == "time_since_last":
        return (event.time - entries[-1].time) / 1000 if entries else window.empty
    if window.column is None:
        return float(len(entries))
    values = [entry.values[columns.index(window.column)] for entry in entries]
    values = [value for value in values if not math.isnan(value)]
    if window.function == "count":
        return float(len(values))
    if window.function == "distinct_count":
        return float(len(set(values)))
    if not values:
        return window.empty
    if window.function == "std":
        return statistics.stdev(values) if len(values) > 1 else window.std_of_one
    return {
        "sum": lambda: math.fsum(values),
        "mean": lambda: math.fsum(values) / len(values),
        "min": lambda: min(values),
        "max": lambda: max(values),
        "first": lambda: values[0],
        "last": lambda: values[-1],
    }[window.function]()


@dataclass(frozen=True)
class Cut:
    """How the rows of a schema are cut."""

    exact: int
    resolution: int
    counted: int
    """In label rows, entries count as before an event if they are this much older; 0 in event rows."""


def reference_with_cut(
    window: WindowFeature, columns: Sequence[str], entries: Sequence[PlainEvent], event: PlainEvent, cut: Cut
) -> tuple[float, bool]:
    """The value of `window` where older entries are seen as tiles, and whether that may make a difference."""
    row = [entry for entry in entries if entry.key == event.key]
    visible = _labels(row, event) if window.kind is RowKind.LABELS else _events(row, event)
    before = sorted(entry.time for entry in visible if entry.time <= event.time - cut.counted)
    whole = reference(window, columns, entries, event), False
    if len(before) < cut.exact:
        return whole
    at = before[-cut.exact] // cut.resolution * cut.resolution
    if before[0] >= at:
        return whole

    def displaced(edge: int) -> int:
        return edge // cut.resolution * cut.resolution if edge < at else edge

    def passes(entry: PlainEvent) -> bool:
        return window.where is None or entry.values[columns.index(window.where)] == 1.0

    of_events = window.kind is RowKind.EVENTS
    if of_events and window.include_current and window.function != "time_since_last":
        visible.append(event)
    visible = sorted(filter(passes, visible), key=lambda entry: (entry.time, entry.mark, entry.id))
    # The last of its own time come before the event, so without a delay they need no edge.
    end = event.time - window.delay + 1
    until = displaced(end)
    if window.span.kind == "events":
        seen = [entry for entry in visible if at <= entry.time < until][-window.span.length :]
        return _aggregate(window, columns, seen, event), len(seen) < window.span.length
    begin = end - window.span.length
    since = displaced(begin)
    seen = [entry for entry in visible if since <= entry.time < until]
    inexact = any(until <= entry.time < end for entry in visible)
    inexact |= since < until and any(since <= entry.time < begin for entry in visible)
    if window.function == "distinct_count":
        assert window.column is not None
        values = [entry.values[columns.index(window.column)] for entry in seen if entry.time < at]
        inexact |= any(not math.isnan(value) for value in values)
        seen = [entry for entry in seen if entry.time >= at]
    return _aggregate(window, columns, seen, event), inexact
