"""Rows too long to be seen entry by entry: where they are cut, and the tiles that stand before the cut.

The cut of an event lies at the beginning of the tile of its row's `exact`-th newest entry before it. From
there on entries are seen one by one; what lies before is seen as whole tiles, those that compaction made and
others that are folded here of entries that are still there: the same values, whether compaction ran or not.
Without a resolution there are no tiles: windows over time, if any, see every entry that there is, and those
in event counts none before the cut.
"""

from dataclasses import dataclass, replace

import numpy as np

from features.arrays import Bools, Ints
from features.codec import take_entries
from features.definition.kinds import RowKind, RowSchema
from features.windows.axis import Axis, ragged_arange
from features.windows.folded import UNBOUNDED, Folded, Tiles
from features.windows.tiles import fold, join_tiles, take_tiles, tile_numbers
from features.windows.timeline import Queries, Timeline


@dataclass(frozen=True, slots=True)
class Cuts:
    """Where the rows of q queries are cut."""

    times: Ints
    """`UNBOUNDED` where every entry is seen."""
    whole_from: Ints
    """Before this time entries were dropped; `UNBOUNDED` where none was."""
    late: Bools
    """Whether the row was folded beyond what the event needs: it came later than it may."""
    floor: Ints
    """The first entry that is seen as one: an index into the timeline."""
    more: Bools
    """Whether entries before that are, or were, there."""

    def of(self, some: Bools) -> "Cuts":
        return Cuts(
            self.times[some], self.whole_from[some], self.late[some], self.floor[some], self.more[some]
        )


def find_cuts(
    timeline: Timeline, ends: Ints, schema: RowSchema, folded: Folded | None, source: Ints
) -> Cuts | None:
    """The cuts for the queries of a timeline; None where all rows are whole.

    ends: of the entries that count as before each query, shape (q,). source: the row each was read from.
    """
    newest = timeline.nth_before(ends, schema.exact)
    far = newest >= 0
    if folded is None and not far.any():
        return None
    own = np.full(len(ends), UNBOUNDED)
    own[far] = timeline.entries.times[newest[far]]
    if schema.resolution:
        own[far] = tile_numbers(schema, own[far]) * schema.resolution
    boundaries, whole_from = np.full((2, len(ends)), UNBOUNDED)
    if folded is not None:
        known = source >= 0
        boundaries[known] = folded.boundaries[source[known]]
        whole_from[known] = folded.whole_from[source[known]]
    times = np.maximum(own, boundaries)
    starts = timeline.row_starts()
    # A cut that nothing lies before is none.
    cut = boundaries > UNBOUNDED
    cut[far] |= timeline.entries.times[starts[far]] < times[far]
    if not cut.any() and (whole_from == UNBOUNDED).all():
        return None
    floor = np.where(cut, timeline.until(np.maximum(times, UNBOUNDED + 1) - 1), starts)
    if schema.kind is RowKind.EVENTS:  # an event before the cut sees nothing after it but its own entry
        floor = np.where(cut, np.minimum(floor, timeline.place), floor)
    more = (floor > starts) | (boundaries > UNBOUNDED) | (whole_from > UNBOUNDED)
    return Cuts(np.where(cut, times, UNBOUNDED), whole_from, boundaries > own, floor, more)


@dataclass(frozen=True, slots=True)
class CutRows:
    """The rows of q queries, and where they are cut."""

    timeline: Timeline
    queries: Queries
    cuts: Cuts
    source: Ints
    """The row each was read from: what `folded` knows it by."""
    schema: RowSchema
    folded: Folded | None

    def of(self, some: Bools) -> "CutRows":
        timeline, queries, cuts = self.timeline.of(some), self.queries.of(some), self.cuts.of(some)
        return CutRows(timeline, queries, cuts, self.source[some], self.schema, self.folded)

    def tiles(self, reach: int) -> "TilesBefore":
        """The tiles before the cuts, of which there must be one, as far as windows reach back."""
        timeline, schema, floor = self.timeline, self.schema, self.cuts.floor
        upper = tile_numbers(schema, self.cuts.times)
        if schema.kind is RowKind.EVENTS:  # not the tile that the event's own entry may be in
            upper = np.minimum(upper, tile_numbers(schema, self.queries.times))
        lower = np.minimum(upper, tile_numbers(schema, self.queries.times - reach + 1))
        rows, query = np.unique(timeline.row, return_inverse=True)
        begin, least = np.full((2, len(rows)), np.iinfo(np.int64).max)
        end, most = np.zeros(len(rows), np.int64), np.full(len(rows), UNBOUNDED)
        np.minimum.at(begin, query, np.minimum(timeline.until(lower * schema.resolution - 1), floor))
        np.maximum.at(end, query, floor)
        tiles = fold(schema, take_entries(timeline.entries, ragged_arange(begin, end - begin)))
        if self.folded is not None:
            np.minimum.at(least, query, lower)
            np.maximum.at(most, query, upper)
            source = np.zeros(len(rows), np.int64)
            source[query] = self.source
            first, last = _tile_range(self.folded.tiles, source, least, most)
            stored = take_tiles(self.folded.tiles, ragged_arange(first, last - first))
            tiles = join_tiles(replace(stored, row=np.repeat(rows, last - first)), tiles)
        return TilesBefore(tiles, timeline.row, upper)


@dataclass(frozen=True, slots=True)
class TilesBefore:
    """The tiles before the cuts of some queries, and for each query those that it may see."""

    tiles: Tiles
    """Their rows are the timeline's."""
    row: Ints
    """Shape (q,)."""
    upper: Ints
    """Shape (q,): the number after the last that it may see."""

    def between(self, lower: Ints, upper: Ints) -> tuple[Ints, Ints]:
        """For each query, where its tiles with lower <= number < upper begin and end."""
        return _tile_range(self.tiles, self.row, lower, upper)


def _tile_range(tiles: Tiles, row: Ints, lower: Ints, upper: Ints) -> tuple[Ints, Ints]:
    """Where the tiles with these rows and lower <= number < upper begin and end."""
    axis = Axis.over(tiles.numbers, int(max(row.max(initial=0), tiles.row.max(initial=0))) + 1)
    keys = axis.keys(tiles.row, tiles.numbers)
    begin = np.searchsorted(keys, axis.keys(row, lower - 1), side="right")
    end = np.searchsorted(keys, axis.keys(row, upper - 1), side="right")
    return begin, np.maximum(begin, end)
