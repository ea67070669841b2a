"""Rows made ready for windows: sorted, each event once, holding what each event may see.

Most events of a batch share the sorted row of their entity. An event that may not see all of it up
to its own time (a later record of its own partition that is older, a second delivery of itself, a
label that was not known yet) gets a private copy of the row with just what it may see. So one
evaluation serves both, and what is shared is decided conservatively: a needless copy costs time,
never correctness.
"""

from dataclasses import dataclass

import numpy as np

from features.arrays import Bools, Ints, UInts
from features.codec import Entries, join_entries, take_entries
from features.event import position_partitions
from features.rows import Rows
from features.windows.axis import Axis, ragged_arange, search_from

_LOW_BITS = np.uint64(0xFFFF)
_HASH_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Queries:
    """The q events to evaluate."""

    times: Ints
    ids: UInts
    positions: UInts

    def of(self, some: Bools) -> "Queries":
        return Queries(self.times[some], self.ids[some], self.positions[some])


@dataclass(frozen=True, slots=True)
class Timeline:
    """m entries sorted by (row, time, mark, id), and the row and place of each of q queried events."""

    entries: Entries
    axis: Axis
    keys: Ints
    row: Ints
    """Shape (q,); -1 where the event has no usable row."""
    place: Ints
    """Shape (q,): where the event's own entry stands; -1 in label rows."""
    starts: Ints | None = None
    """By row, where its entries begin; and then where the last row ends. None where that is not known."""

    def until_each(self, times: Ints) -> Ints:
        """`until` of several times: shape (times, q)."""
        if self.starts is None:
            return np.array([self.until(of) for of in times])
        row, reach = np.tile(self.row, len(times)), int(np.diff(self.starts).max(initial=0))
        keys = self.axis.keys(row, times.ravel())
        return search_from(self.keys, self.starts[row], reach, keys).reshape(times.shape)

    def until(self, times: Ints) -> Ints:
        """For each query, the index just past the last entry of its row with time <= `times`."""
        return np.searchsorted(self.keys, self.axis.keys(self.row, times), side="right")

    def row_starts(self) -> Ints:
        """For each query, the index of the first entry of its row."""
        return np.searchsorted(self.keys, self.row * self.axis.width, side="left")

    def nth_before(self, ends: Ints, n: int) -> Ints:
        """For each query, the index of its row's n-th entry before index `ends`; -1 where it has fewer."""
        at = ends - n
        far = np.flatnonzero((at >= 0) & (self.row >= 0))
        far = far[self.entries.row[at[far]] == self.row[far]]
        found = np.full(len(ends), -1)
        found[far] = at[far]
        return found

    def of(self, some: Bools) -> "Timeline":
        """The same rows, for some of the queries."""
        return Timeline(self.entries, self.axis, self.keys, self.row[some], self.place[some], self.starts)


def event_timeline(rows: Rows, index: Ints, queries: Queries) -> Timeline:
    """The rows of events at their own time, for the events at `index` of the batch."""
    count = row_count(rows)
    axis = Axis.over(rows.entries.times, count + len(index))
    entries, order = sort_entries(rows.entries, axis)
    kept = _not_too_late(rows, entries)
    if kept.all():
        kept = first_of_each_id(entries)
    else:
        kept[kept] = first_of_each_id(take_entries(entries, kept))
    place = _places_after(order, kept, rows.own[index])
    entries = take_entries(entries, kept)
    row = rows.of_event[index]
    private = (row >= 0) & ((place < 0) | _sees_later_records(entries, row, queries))
    if not private.any():
        return Timeline(entries, axis, axis.keys(entries.row, entries.times), row, place)

    who = np.flatnonzero(private)
    copied, asker = _copy_rows(entries, row[who])
    own_partition = position_partitions(queries.positions[who])
    later = (position_partitions(copied.marks) == own_partition[asker]) & (
        copied.marks > queries.positions[who][asker]
    )
    visible = ~later & (copied.ids != queries.ids[who][asker])
    own = take_entries(rows.entries, rows.own[index[who]])
    block = join_entries([_renumber(own, count + np.arange(len(who))), _renumber(copied, count + asker)])
    mask = np.concatenate([np.ones(len(who), np.bool_), visible])
    block, block_order = sort_entries(take_entries(block, mask), axis)
    inverse = np.empty(len(block_order), np.int64)
    inverse[block_order] = np.arange(len(block_order))
    row, place = row.copy(), place.copy()
    row[who] = count + np.arange(len(who))
    place[who] = len(entries) + inverse[: len(who)]
    entries = join_entries([entries, block])
    return Timeline(entries, axis, axis.keys(entries.row, entries.times), row, place)


def label_timeline(
    rows: Rows, index: Ints, queries: Queries, delay: int, counted: tuple[int, int]
) -> Timeline:
    """The rows of labels as known at each event's time, for windows that end `delay` or more before it.

    counted: (n, another delay, not longer): where a row has n labels by then, those are right as well.
    """
    count = row_count(rows)
    axis = Axis.over(rows.entries.times, count + len(index))
    entries, _ = sort_entries(rows.entries, axis)
    entries = take_entries(entries, _not_too_late(rows, entries) & ~repeats_another(entries))
    row = rows.of_event[index]
    shared = Timeline(entries, axis, axis.keys(entries.row, entries.times), row, np.full(len(index), -1))
    private = (row >= 0) & _sees_unsettled_labels(shared, queries, delay)
    if counted[1] < delay:
        crowded = shared.nth_before(shared.until(queries.times - counted[1]), counted[0]) >= 0
        if crowded.any():
            private |= crowded & _sees_unsettled_labels(shared, queries, counted[1])
    if not private.any():
        return shared

    who = np.flatnonzero(private)
    copied, asker = _copy_rows(entries, row[who])
    visible = (copied.marks.view(np.int64) <= queries.times[who][asker]) & (
        copied.ids != queries.ids[who][asker]
    )
    block = take_entries(_renumber(copied, count + asker), visible)
    block, _ = sort_entries(take_entries(block, latest_of_each_id(block)), axis)
    row = row.copy()
    row[who] = count + np.arange(len(who))
    entries = join_entries([entries, block])
    return Timeline(entries, axis, axis.keys(entries.row, entries.times), row, shared.place)


def row_count(rows: Rows) -> int:
    """One more than the highest number of a row."""
    highest = max((int(a.max()) for a in (rows.entries.row, rows.of_event) if len(a)), default=-1)
    return highest + 1


def sort_entries(entries: Entries, axis: Axis) -> tuple[Entries, Ints]:
    """Sorted by (row, time, mark, id), stable; and the order that does it.

    Rows come almost sorted, so one stable sort of one key, which is linear on runs, nearly always does.
    """
    keys = axis.keys(entries.row, entries.times)
    order = np.argsort(keys, kind="stable")
    keys, marks, ids = keys[order], entries.marks[order], entries.ids[order]
    swapped = (marks[1:] < marks[:-1]) | ((marks[1:] == marks[:-1]) & (ids[1:] < ids[:-1]))
    if ((keys[1:] == keys[:-1]) & swapped).any():
        order = np.lexsort((entries.ids, entries.marks, entries.times, entries.row))
    return take_entries(entries, order), order


def first_of_each_id(entries: Entries) -> Bools:
    """Of entries with the same row and id, keep the one with the first position (sorted entries)."""
    kept = np.ones(len(entries), np.bool_)
    same_place = (entries.row[1:] == entries.row[:-1]) & (entries.times[1:] == entries.times[:-1])
    kept[1:] = ~(same_place & (entries.ids[1:] == entries.ids[:-1]))
    if _repeats_an_id(entries.row[kept], entries.ids[kept]):
        order = np.lexsort((entries.marks, entries.ids, entries.row))
        ids, row = entries.ids[order], entries.row[order]
        first = np.ones(len(order), np.bool_)
        first[1:] = (ids[1:] != ids[:-1]) | (row[1:] != row[:-1])
        kept = np.zeros(len(entries), np.bool_)
        kept[order[first]] = True
    return kept


def latest_of_each_id(entries: Entries) -> Ints:
    """Of label entries with the same row and id, the one observed last; of these the larger label."""
    observed_at = entries.marks.view(np.int64)
    order = np.lexsort((entries.times, entries.values[:, 0], observed_at, entries.ids, entries.row))
    ids, row = entries.ids[order], entries.row[order]
    last = np.ones(len(order), np.bool_)
    last[:-1] = (ids[1:] != ids[:-1]) | (row[1:] != row[:-1])
    return order[last]


def repeats_another(entries: Entries) -> Bools:
    """Which label entries say the same as the one before them (sorted entries)."""
    repeated = np.zeros(len(entries), np.bool_)
    repeated[1:] = (
        (entries.row[1:] == entries.row[:-1])
        & (entries.ids[1:] == entries.ids[:-1])
        & (entries.times[1:] == entries.times[:-1])
        & (entries.marks[1:] == entries.marks[:-1])
        & (entries.values[1:, 0] == entries.values[:-1, 0])
    )
    return repeated


def _not_too_late(rows: Rows, entries: Entries) -> Bools:
    """Which entries are not from before their row's boundary: what lies before it is in tiles already."""
    if rows.folded is None:
        return np.ones(len(entries), np.bool_)
    return entries.times >= rows.folded.boundaries[entries.row]


def _repeats_an_id(row: Ints, ids: UInts) -> bool:
    """Whether some row may hold an id twice; a collision of the mixed hash says so needlessly."""
    mixed = np.sort(ids ^ (row.astype(np.uint64) * _HASH_MULTIPLIER))
    return bool((mixed[1:] == mixed[:-1]).any())


def _places_after(order: Ints, kept: Bools, own: Ints) -> Ints:
    """Where entries `own` stand after sorting by `order` and dropping; -1 where dropped or -1 before."""
    inverse = np.empty(len(order), np.int64)
    inverse[order] = np.arange(len(order))
    renumbered = np.where(kept, np.cumsum(kept) - 1, -1)
    if not len(order):
        return np.full(len(own), -1)
    return np.where(own >= 0, renumbered[inverse[own]], -1)


def _sees_later_records(entries: Entries, row: Ints, queries: Queries) -> Bools:
    """Which queries share a row and partition with records whose offsets do not follow their times.

    Only entries at or past the batch's first offset of their partition matter: older ones come
    before every event of the batch.
    """
    partition = position_partitions(entries.marks) + 1
    own_partition = position_partitions(queries.positions) + 1
    partitions = int(max(partition.max(initial=0), own_partition.max(initial=0))) + 1
    floor = np.full(partitions, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(floor, own_partition, queries.positions)
    unsettled = np.flatnonzero(entries.marks >= floor[partition])
    group = entries.row[unsettled] * partitions + partition[unsettled]
    order = np.argsort(group, kind="stable")
    group, marks = group[order], entries.marks[unsettled][order]
    mixed = group[1:][(group[1:] == group[:-1]) & (marks[1:] < marks[:-1])]
    if not len(mixed):
        return np.zeros(len(row), np.bool_)
    return np.isin(row * partitions + own_partition, mixed)


def _sees_unsettled_labels(timeline: Timeline, queries: Queries, delay: int) -> Bools:
    """Which queries have, by t - delay, labels not yet known at t, corrected ones, or their own."""
    entries = timeline.entries
    if not len(entries):
        return np.zeros(len(queries.times), np.bool_)
    end = timeline.until(queries.times - delay)
    any_before = end > timeline.row_starts()
    last = np.maximum(end - 1, 0)
    observed = entries.marks.view(np.int64)
    axis = Axis.over(observed, int(entries.row.max()) + 1)
    if axis.distinct is None:  # the row dominates the key, so the running maximum starts anew in each row
        newest = np.maximum.accumulate(axis.keys(entries.row, observed))
        unknown = any_before & (newest[last] > axis.keys(timeline.row, queries.times))
    else:
        unknown = any_before
    own = np.isin(queries.ids, ids_among(entries, queries, int(queries.times.max()) - delay))
    if not _repeats_an_id(entries.row, entries.ids):
        return np.asarray(unknown | own)
    order = np.lexsort((entries.ids, entries.row))
    ids, row = entries.ids[order], entries.row[order]
    corrected = np.unique(row[1:][(ids[1:] == ids[:-1]) & (row[1:] == row[:-1])])
    seen: Bools = unknown | own | np.isin(timeline.row, corrected)
    return seen


def ids_among(entries: Entries, queries: Queries, until: int) -> UInts:
    """The queries' ids that have an entry with time <= `until`.

    A table of the ids' last 16 bits rules out nearly every entry without looking for it.
    """
    table = np.zeros(1 << 16, np.bool_)
    table[(queries.ids & _LOW_BITS).view(np.int64)] = True
    candidates = np.flatnonzero(table[(entries.ids & _LOW_BITS).view(np.int64)])
    ids = entries.ids[candidates[entries.times[candidates] <= until]]
    asked = np.sort(queries.ids)
    found: UInts = ids[asked[np.minimum(np.searchsorted(asked, ids), len(asked) - 1)] == ids]
    return found


def _copy_rows(entries: Entries, row: Ints) -> tuple[Entries, Ints]:
    """The entries of `row[0]`, then of `row[1]` …, and for each which of these asked for it."""
    starts = np.searchsorted(entries.row, row, side="left")
    lengths = np.searchsorted(entries.row, row, side="right") - starts
    return take_entries(entries, ragged_arange(starts, lengths)), np.repeat(np.arange(len(row)), lengths)


def _renumber(entries: Entries, row: Ints) -> Entries:
    return Entries(row, entries.times, entries.ids, entries.marks, entries.values)
