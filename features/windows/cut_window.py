"""Windows over rows that are cut: an edge before the cut is displaced down to the beginning of its tile.

The edges of a window are its first time and the first time after it. So a displaced start takes the whole
tile in, and a displaced end leaves the whole tile out; both by less than the resolution. Counts of distinct
values, and windows in event counts, see only what lies after the cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.arrays import Bools, Floats, Ints
from features.definition.kinds import RowKind, WindowFeature
from features.windows.aggregate import Moment, Segments, aggregate_both
from features.windows.cut import CutRows, TilesBefore
from features.windows.folded import value_columns


@dataclass(frozen=True, slots=True)
class WindowEntries:
    """The entries of a window for q queries, from their cuts on."""

    passing: Segments
    """As ranges of the entries that the window's `where` keeps."""
    values: Floats
    """The values of the window's column that are not missing; nothing where it has none."""
    segments: Segments
    """As ranges of `values`; without a column the same as `passing`."""

    def of(self, some: Bools) -> "WindowEntries":
        return WindowEntries(self.passing.of(some), self.values, self.segments.of(some))


def reach_of(windows: Sequence[WindowFeature]) -> int:
    """How far before an event windows over time reach; 0 without any."""
    return max((w.span.length + w.delay for w in windows if w.span.kind == "time"), default=0)


def see_tiles(
    rows: CutRows,
    windows: Sequence[WindowFeature],
    entries: Sequence[WindowEntries],
    values: Floats,
    steps_per_second: float,
) -> Bools:
    """Add to `values`, of what lies after the cuts, shape (q, windows), what lies before them.

    Returns for each query whether an edge was displaced past an entry, or entries are not seen.
    """
    cuts, reach = rows.cuts, reach_of(windows)
    trimmed = np.zeros(len(values), np.bool_)
    for window, held in zip(windows, entries, strict=True):
        if window.span.kind == "events":
            trimmed |= cuts.more & (held.passing.end - held.passing.start < window.span.length)
        else:
            trimmed |= rows.queries.times - window.delay - window.span.length + 1 < cuts.whole_from
    far = (rows.queries.times - reach + 1 < cuts.times) & (reach > 0) & (rows.schema.resolution > 0)
    if not far.any():
        return trimmed
    view = _Tiles(rows.of(far), rows.of(far).tiles(reach))
    for at, window in enumerate(windows):
        if window.span.kind == "time":
            values[far, at], inexact = view.window(
                window, entries[at].of(far), values[far, at], steps_per_second
            )
            trimmed[far] |= inexact
    return trimmed


@dataclass(frozen=True, slots=True)
class _Tiles:
    """The tiles that q queries see before their cuts."""

    rows: CutRows
    before: TilesBefore

    def window(
        self, window: WindowFeature, held: WindowEntries, values: Floats, steps_per_second: float
    ) -> tuple[Floats, Bools]:
        """The window's values, with what lies before the cuts; and which may be inexact.

        held, values: what lies after the cuts.
        """
        start, end, inexact = self._range(window)
        counts = self._moments(window, Moment.COUNT)
        some = np.flatnonzero(counts > 0)
        before = np.zeros(len(counts) + 1, np.int64)
        np.cumsum(counts > 0, out=before[1:])
        tiles = Segments(before[start], before[end])
        if window.function == "distinct_count":
            return values, inexact | (tiles.end > tiles.start)
        if window.function == "time_since_last":
            older = (held.passing.end == held.passing.start) & (tiles.end > tiles.start)
            last = self.before.tiles.lasts[some[tiles.end[older] - 1], self._group(window)]
            values[older] = (self.rows.queries.times[older] - last) / steps_per_second
            return values, inexact
        moments = np.zeros((len(some), len(Moment)))
        moments[:, Moment.COUNT] = counts[some]
        if window.column is not None:
            for moment in Moment:
                moments[:, moment] = self._moments(window, moment)[some]
        both = aggregate_both(
            window.function, moments, tiles, held.values, held.segments, window.empty, window.std_of_one
        )
        return both, inexact

    def _range(self, window: WindowFeature) -> tuple[Ints, Ints, Bools]:
        """Where the tiles of the window begin and end; and where its edges are displaced past an entry."""
        cuts, times, upper = self.rows.cuts, self.rows.queries.times, self.before.upper
        resolution = self.rows.schema.resolution
        edge = times - window.delay - window.span.length + 1
        after = times - window.delay + 1
        first = np.where(edge < cuts.times, np.minimum(edge // resolution, upper), upper)
        last = np.where(after < cuts.times, np.minimum(after // resolution, upper), upper)
        if window.delay == 0 and self.rows.schema.kind is RowKind.EVENTS:
            last = upper
        start, end = self.before.between(np.minimum(first, last), last)
        inexact = cuts.late & (edge < cuts.times)
        taken_in = np.flatnonzero(start < end)
        inexact[taken_in] |= self._begins_before(window, start[taken_in], edge[taken_in])
        left_out = np.flatnonzero((last < upper) & (end < len(self.before.tiles)))
        left_out = left_out[self.before.tiles.row[end[left_out]] == self.before.row[left_out]]
        inexact[left_out] |= self._begins_before(window, end[left_out], after[left_out])
        return start, end, inexact

    def _begins_before(self, window: WindowFeature, tiles: Ints, edges: Ints) -> Bools:
        """Whether tiles have entries of the window's before the edges."""
        group = self._group(window)
        some = self.before.tiles.counts[tiles, group] > 0
        return np.asarray(some & (self.before.tiles.firsts[tiles, group] < edges))

    def _group(self, window: WindowFeature) -> int:
        """Which group of a tile's entries the window's `where` keeps."""
        return 0 if window.where is None else 1 + self.rows.schema.conditions.index(window.where)

    def _moments(self, window: WindowFeature, moment: Moment) -> Floats:
        """One of the moments of every tile; without a column only the count."""
        group = self._group(window)
        if window.column is None:
            return self.before.tiles.counts[:, group].astype(np.float64)
        return self.before.tiles.moments[
            :, group, value_columns(self.rows.schema).index(window.column), moment
        ]
