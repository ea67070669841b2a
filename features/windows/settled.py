"""Rows of a history in which nothing is in doubt, made ready for windows in a few passes.

Of a file that is read in the order of time, with an id for each event and labels that come when they
usually do, every event sees all of its row up to its own time, so nobody needs a private copy, and a sort by
entity is all that `features.windows.timeline` would do. Whether that holds is decided conservatively: where
it may not, the rows take the ordinary way, to the same values.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.arrays import Bools, Floats, Ints, UInts
from features.codec import Entries
from features.definition.kinds import RowKind, RowSchema, WindowFeature
from features.event import EventBatch, hash_ids
from features.window import Evaluated, Searches, evaluate_whole
from features.windows.axis import Axis
from features.windows.timeline import Queries, Timeline

_DIGIT = np.uint64(0xFFFF)


BLOCK_ENTRIES = 1 << 16
"""How many entries are evaluated at a time: what fits into a processor's cache."""
NONE: UInts = np.empty(0, np.uint64)


@dataclass(frozen=True, slots=True)
class SortedEvents:
    """Events in the order of (row, time, position), those without a row first; every array has shape (n,)."""

    at: Ints
    """Which event of the batch."""
    row: Ints
    times: Ints

    @classmethod
    def of(cls, events: EventBatch, row: Ints) -> "SortedEvents":
        """Events that are sorted by (time, position); row: the number of each one's row, or -1."""
        at = sorted_by_row(row)
        return cls(at, row[at], events.times[at])

    def take(self, index: Ints | Bools | slice) -> "SortedEvents":
        return SortedEvents(self.at[index], self.row[index], self.times[index])

    def __len__(self) -> int:
        return len(self.at)


@dataclass(frozen=True, slots=True)
class SettledRows:
    """The rows of one schema, of which every event sees all up to its own time."""

    schema: RowSchema
    windows: Sequence[WindowFeature]
    held: SortedEvents
    """The events that are entries, in the order of a timeline."""
    values: Floats
    """Of entries, but by event: shape (n, columns)."""

    @property
    def of_events(self) -> bool:
        return self.schema.kind is RowKind.EVENTS


def evaluate_settled(
    kinds: Sequence[SettledRows], by_row: SortedEvents, index: Ints, steps_per_second: float
) -> list[Evaluated]:
    """`features.window.evaluate` for the rows of one entity, of one kind or both, and the events at `index`.

    Rows come block by block, and their events in the order of the entries: each search then begins where the
    one before ended. Where every event has its label, both kinds have the same entries, and edges are
    searched for once.
    """
    if (index[1:] <= index[:-1]).any():  # each event is evaluated once, in the order of the batch
        index, place_of = np.unique(index, return_inverse=True)
        once = evaluate_settled(kinds, by_row, index, steps_per_second)
        return [Evaluated(found.values[place_of], found.trimmed[place_of]) for found in once]
    found = [np.empty((len(index), len(rows.windows)), order="F") for rows in kinds]
    asked: Ints | None = None
    if len(index) < len(by_row):
        asked = np.full(len(by_row), -1)
        asked[index] = np.arange(len(index))
    start = 0
    while start < len(by_row):
        last = int(by_row.row[min(start + BLOCK_ENTRIES, len(by_row)) - 1])
        end = int(np.searchsorted(by_row.row, last, side="right"))
        here = by_row.take(slice(start, end))
        at = here.at if asked is None else asked[here.at]
        place = np.maximum(np.arange(len(here)) - int((here.row < 0).sum()), -1)
        if asked is not None:
            some = np.flatnonzero(at >= 0)
            here, at, place = here.take(some), at[some], place[some]
        searches: dict[int, Searches] = {}
        for rows, values in zip(kinds, found, strict=True):
            first, after = np.searchsorted(rows.held.row, (int(by_row.row[start]), last + 1))
            block = rows.held.take(slice(first, after))
            timeline = _timeline(block, rows.values, here, place if rows.of_events else None)
            queries = Queries(here.times, NONE, NONE)
            shared = searches.setdefault(len(block), Searches())
            whole = evaluate_whole(rows.windows, rows.schema, timeline, queries, steps_per_second, shared)
            for column in range(len(rows.windows)):
                values[at, column] = whole[:, column]
        start = end
    return [Evaluated(values, np.zeros(len(index), np.bool_)) for values in found]


def _timeline(block: SortedEvents, values: Floats, here: SortedEvents, place: Ints | None) -> Timeline:
    """Ids and positions are left out: where nothing is in doubt, nothing depends on them."""
    entries = Entries(block.row, block.times, NONE, NONE, values[block.at])
    axis = Axis.over(block.times, int(here.row.max(initial=0)) + 1)
    keys = axis.keys(block.row, block.times)
    return Timeline(entries, axis, keys, here.row, np.full(len(here), -1) if place is None else place)


def settled_entries(
    schema: RowSchema,
    windows: Sequence[WindowFeature],
    events: EventBatch,
    by_row: SortedEvents,
    labels: Floats,
    observed_at: Ints,
) -> SortedEvents | None:
    """The events that are entries of the rows of one schema, as its timeline has them; None if in doubt.

    events: which `is_settled` lets pass. labels: shape (n,), NaN where there is none.
    """
    delay = 0
    held = by_row.take(slice(int(np.searchsorted(by_row.row, 0)), None))
    if schema.kind is RowKind.LABELS:
        delay = min(schema.delay, *(window.delay for window in windows))
        known = ~np.isnan(labels)
        if delay <= 0 or (known & (observed_at > events.times + delay)).any():
            return None
        if not known.all():
            held = held.take(known[held.at])
        held = _ties_by_id(held, events, observed_at)
    return None if _may_be_cut(schema, windows, held, delay) else held


def is_settled(events: EventBatch) -> bool:
    """Whether each id occurs once, and positions follow times: what `SettledHistory` asks for."""
    hashes = events.hashes
    if not (hashes[1:] > hashes[:-1]).all():
        hashes = np.sort(hashes)
    return bool(
        (hashes[1:] != hashes[:-1]).all()
        and (events.times[1:] >= events.times[:-1]).all()
        and (events.positions[1:] > events.positions[:-1]).all()
    )


def sorted_by_row(row: Ints) -> Ints:
    """A stable order by row, first those without; numpy sorts sixteen bits at a time in linear time."""
    numbers = (row + 1).astype(np.uint64)
    order: Ints = np.argsort((numbers & _DIGIT).astype(np.uint16), kind="stable")
    shift = 16
    while int(numbers.max(initial=0)) >> shift:
        digit = (numbers >> np.uint64(shift) & _DIGIT).astype(np.uint16)
        order = order[np.argsort(digit[order], kind="stable")]
        shift += 16
    return order


def _ties_by_id(held: SortedEvents, events: EventBatch, observed_at: Ints) -> SortedEvents:
    """Labels of one row and time in the order of observation and id, as timelines have them."""
    same = (held.row[1:] == held.row[:-1]) & (held.times[1:] == held.times[:-1])
    first = np.flatnonzero(same)
    if not len(first):
        return held
    places = np.union1d(first, first + 1)
    tied = held.take(places)
    ids = hash_ids([events.ids[at] for at in tied.at.tolist()])
    order = np.lexsort((ids, observed_at[tied.at], tied.times, tied.row))
    at = held.at.copy()
    at[places] = tied.at[order]
    return SortedEvents(at, held.row, held.times)


def _may_be_cut(schema: RowSchema, windows: Sequence[WindowFeature], held: SortedEvents, delay: int) -> bool:
    """Whether some event may see less of a row than all of its entries (`features.windows.cut`).

    delay: how long before an event its cut is looked for.
    """
    gap = schema.exact - 1
    fewer = len(held) - gap
    crowded = held.row[gap:] == held.row[: max(fewer, 0)]
    counted = [window for window in windows if window.span.kind == "events"]
    if any(window.delay or window.where is not None for window in counted) and crowded.any():
        return True
    if not schema.resolution:
        return False
    reach = max((w.span.length + w.delay for w in windows if w.span.kind == "time"), default=0)
    near = held.times[gap:] - held.times[: max(fewer, 0)] < reach + schema.resolution - delay
    return bool((crowded & near).any())
