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
