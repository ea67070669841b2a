"""Rows as stores mostly hold them, made ready for windows in a few passes.

A row that was appended to in the order of time, with an id for each event and labels that come when they
usually do, is sorted already, and every event sees all of it up to its own time. Then nothing needs to be
moved: what the batch's own events and the overlay add is looked for, and put in where it is not there yet.
Whether that holds is decided row by row and event by event, and conservatively: those where something is in
doubt take the ordinary way (`features.windows.timeline`), to the same values.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.arrays import Bools, Floats, Ints, UInts
from features.codec import Entries, take_entries
from features.definition.kinds import RowKind, RowSchema
from features.event import POSITION_OFFSET_BITS
from features.rows import Rows
from features.windows.axis import Axis, search_from
from features.windows.folded import UNBOUNDED
from features.windows.timeline import Queries, Timeline, ids_among, row_count, sort_entries

_NO_IDS: UInts = np.empty(0, np.uint64)
_OFFSET_BITS = np.uint64(POSITION_OFFSET_BITS)


@dataclass(frozen=True, slots=True)
class Orderly:
    """The rows of q queried events, as far as nothing is in doubt."""

    timeline: Timeline
    """Without ids and marks. It is right for those that are sure."""
    sure: Bools
    """Shape (q,)."""


def orderly_rows(
    rows: Rows, schema: RowSchema, index: Ints, queries: Queries, delay: int, counted: int
) -> Orderly | None:
    """The rows of the events at `index` of a batch; None where nothing is known of the entries' order.

    delay, counted: how long before an event labels are looked at: the shortest of windows, and of a cut.
    """
    of_events = schema.kind is RowKind.EVENTS
    if rows.stored_from is None or not (of_events or rows.stored_from == 0):
        return None
    if not len(index) or not len(rows.entries):
        return None
    count = row_count(rows)
    axis = Axis.over(rows.entries.times, count)
    if axis.distinct is not None:
        return None
    stored = _Stored.of(rows, axis, count)
    if of_events:
        return _with_events(stored, rows, schema, index, queries)
    return _with_labels(stored, rows, schema, index, queries, delay, counted)


@dataclass(frozen=True, slots=True)
class _Stored:
    """The entries that the store gave, row by row, and which rows are in doubt."""

    entries: Entries
    axis: Axis
    keys: Ints
    """Along the axis, ascending."""
    doubtful: Bools
    """By row, and one more that is never in doubt: what events without a row find at -1."""

    @classmethod
    def of(cls, rows: Rows, axis: Axis, count: int) -> "_Stored":
        entries = take_entries(rows.entries, slice(rows.stored_from, None))
        keys = axis.keys_within(entries.row, entries.times)
        if (keys[1:] < keys[:-1]).any():
            order = _order_of(keys)
            entries, keys = take_entries(entries, order), keys[order]
        stored = cls(entries, axis, keys, np.zeros(count + 1, np.bool_))
        if rows.folded is not None:
            cut = (rows.folded.boundaries > UNBOUNDED) | (rows.folded.whole_from > UNBOUNDED)
            stored.doubtful[np.flatnonzero(cut[:count])] = True
        stored._doubt_ties()
        return stored

    def _doubt_ties(self) -> None:
        """Rows in which entries of the same time are not sorted by (mark, id), or there twice."""
        at = np.flatnonzero(self.keys[1:] == self.keys[:-1])
        if len(at):
            marks, ids = self.entries.marks, self.entries.ids
            follows = (marks[at + 1] == marks[at]) & (ids[at + 1] > ids[at])
            follows |= marks[at + 1] > marks[at]
            self.doubtful[self.entries.row[at[~follows]]] = True

    def doubt_repeated_ids(self, others: Entries) -> None:
        """Rows with an id that occurs twice among these entries and others, in whatever rows."""
        ids = np.concatenate([self.entries.ids, others.ids]) if len(others) else self.entries.ids
        in_order = np.sort(ids)
        repeated = in_order[1:] == in_order[:-1]
        if repeated.any():
            row = np.concatenate([self.entries.row, others.row])
            self.doubtful[row[np.isin(ids, in_order[1:][repeated])]] = True

    @property
    def starts(self) -> Ints:
        """As a timeline has them."""
        return _starts(self.entries.row, len(self.doubtful) - 1)


def _order_of(keys: Ints) -> Ints:
    """A stable order that sorts them. To sort numbers is far faster than to sort places by them, so where
    both fit into one number, that is sorted.
    """
    bits = len(keys).bit_length()
    if int(keys.max(initial=0)).bit_length() + bits > 62:
        return np.argsort(keys, kind="stable")
    packed = keys << bits
    packed += np.arange(len(keys))
    packed.sort()
    packed &= (1 << bits) - 1
    return packed


def _with_labels(
    stored: _Stored, rows: Rows, schema: RowSchema, index: Ints, queries: Queries, delay: int, counted: int
) -> Orderly:
    entries, row = stored.entries, rows.of_event[index]
    starts = stored.starts
    timeline = Timeline(entries, stored.axis, stored.keys, row, np.full(len(index), -1), starts)
    stored.doubt_repeated_ids(take_entries(entries, slice(0)))
    # A label that an event may look at before it was known came later than windows look back.
    observed, latest = entries.marks.view(np.int64), int(queries.times.max()) - delay
    early = np.flatnonzero(observed > entries.times + delay)
    early = early[(entries.times[early] <= latest) & (observed[early] > queries.times.min())]
    stored.doubtful[entries.row[early]] = True
    sure = ~stored.doubtful[row]
    own = ids_among(entries, queries, latest)
    if len(own):
        sure &= ~np.isin(queries.ids, own)
    if _may_be_crowded(timeline, schema):
        sure &= timeline.until(queries.times - counted) - starts[row] < schema.exact
    return Orderly(timeline, (row < 0) | sure)


def _with_events(stored: _Stored, rows: Rows, schema: RowSchema, index: Ints, queries: Queries) -> Orderly:
    others, order = sort_entries(take_entries(rows.entries, slice(rows.stored_from)), stored.axis)
    merged = _merge(stored, others)
    added = take_entries(others, merged.added)
    stored.doubt_repeated_ids(added)
    row, own = rows.of_event[index], rows.own[index]
    has_own = np.flatnonzero(own >= 0)
    place_of = np.empty(len(order), np.int64)
    place_of[order] = merged.place
    place = np.full(len(index), -1)
    place[has_own] = place_of[own[has_own]]
    timeline = Timeline(merged.entries, stored.axis, merged.keys, row, place, merged.starts)
    sure = (place >= 0) & ~stored.doubtful[row]
    sure &= ~_later_records_come_first(stored, added, row, queries)
    if _may_be_crowded(timeline, schema):
        sure &= place - merged.starts[row] < schema.exact
    return Orderly(timeline, (row < 0) | sure)


def _starts(row: Ints, count: int) -> Ints:
    """Of each of `count` rows where it begins among entries in the order of rows, and then the end."""
    return np.searchsorted(row, np.arange(count + 1))


def _may_be_crowded(timeline: Timeline, schema: RowSchema) -> bool:
    """Whether some row is so long that it may be cut."""
    assert timeline.starts is not None
    return bool((np.diff(timeline.starts) >= schema.exact).any())


@dataclass(frozen=True, slots=True)
class _Merged:
    """The entries of the store, and others among them."""

    entries: Entries
    """Without ids and marks."""
    keys: Ints
    starts: Ints
    added: Bools
    """Of each of the others, whether the store did not have it."""
    place: Ints
    """Of each of the others, where it stands."""


def _merge(stored: _Stored, others: Entries) -> _Merged:
    """others: sorted. Their rows are in doubt where two of them have the same time, or the store has another
    entry of that time.
    """
    held, keys = stored.entries, stored.axis.keys_within(others.row, others.times)
    stored.doubtful[others.row[1:][keys[1:] == keys[:-1]]] = True
    starts = stored.starts
    after = search_from(stored.keys, starts[others.row], int(np.diff(starts).max(initial=0)), keys)
    found = np.flatnonzero(after > 0)
    found = found[stored.keys[after[found] - 1] == keys[found]]
    added = np.ones(len(others), np.bool_)
    added[found] = False
    same = _are_same(take_entries(held, after[found] - 1), take_entries(others, found))
    stored.doubtful[others.row[found[~same]]] = True
    place = after + np.cumsum(added) - 1  # an entry that is there already is the one before
    if not added.any():
        return _Merged(_bare(held.row, held.times, held.values), stored.keys, starts, added, place)
    at = place[added]
    is_held = np.ones(len(held) + len(at), np.bool_)
    is_held[at] = False

    def put_in(array: NDArray[Any], new: NDArray[Any]) -> NDArray[Any]:
        united = np.empty(len(is_held), array.dtype)
        united[is_held], united[at] = array, new[added]
        return united

    values = np.empty((held.values.shape[1], len(is_held)))
    for column in range(len(values)):
        values[column] = put_in(held.values[:, column], others.values[:, column])
    starts = starts + np.searchsorted(others.row[added], np.arange(len(starts)))
    row, keys = np.repeat(np.arange(len(starts) - 1), np.diff(starts)), put_in(stored.keys, keys)
    entries = _bare(row, stored.axis.times(row, keys), values.T)
    return _Merged(entries, keys, starts, added, place)


def _bare(row: Ints, times: Ints, values: Floats) -> Entries:
    return Entries(row, times, _NO_IDS, _NO_IDS, values)


def _are_same(some: Entries, others: Entries) -> Bools:
    """Whether entries of the same row and time are one and the same, values to the bit."""
    same: Bools = (some.ids == others.ids) & (some.marks == others.marks)
    for column in range(some.values.shape[1]):
        one, other = some.values[:, column], others.values[:, column]
        same &= np.ascontiguousarray(one).view(np.int64) == np.ascontiguousarray(other).view(np.int64)
    return same


def _later_records_come_first(stored: _Stored, added: Entries, row: Ints, queries: Queries) -> Bools:
    """Which queries share row and partition with records whose offsets do not follow their times.

    Only entries at or past the batch's first offset of their partition matter, older ones come before every
    event of the batch; and of these only what is not later in time than the row's last event of the batch.
    """
    entries, partition = stored.entries, _partitions(queries.positions)
    of_entries = _partitions(entries.marks)
    partitions = 1 + int(max(partition.max(), of_entries.max(initial=0)))
    floor = np.full(partitions, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(floor, partition, queries.positions)
    last = np.full(len(stored.doubtful), -1)
    np.maximum.at(last, row, stored.axis.keys_within(row, queries.times))
    at = np.flatnonzero(entries.marks >= floor[of_entries])
    at = at[stored.keys[at] <= last[entries.row[at]]]
    marks, of_rows, keys = entries.marks[at], entries.row[at], stored.keys[at]
    if len(added):
        marks, of_rows = np.concatenate([marks, added.marks]), np.concatenate([of_rows, added.row])
        order = _order_of(np.concatenate([keys, stored.axis.keys_within(added.row, added.times)]))
        marks, of_rows = marks[order], of_rows[order]
    group = of_rows * partitions + _partitions(marks)
    order = _order_of(group)
    group, marks = group[order], marks[order]
    mixed = group[1:][(group[1:] == group[:-1]) & (marks[1:] < marks[:-1])]
    if not len(mixed):
        return np.zeros(len(row), np.bool_)
    return np.isin(row * partitions + partition, mixed)


def _partitions(marks: UInts) -> Ints:
    """Of positions, counted from 1; 0 is history."""
    return (marks >> _OFFSET_BITS).view(np.int64)
