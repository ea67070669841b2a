"""Windows evaluated at each event's own time: the one code that training, serving and tests call.

The window of span w and delay d at event time t covers entries with time in (t - d - w, t - d]. Of
these only entries before the event count: an earlier time, or the same time and a smaller position;
never later records of the event's own partition, and never the event's own id. With d = 0 the event
itself is then added, unless the definition excludes it. A window in event counts covers the last N
such entries. Of a row with more than `exact` entries before the event, the older ones are seen as tiles
(`features.windows.cut`). The result does not depend on what else is in the batch, nor on whether compaction
made the tiles, to the bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from features.arrays import Bools, Floats, Ints
from features.definition.model import RowKind, RowSchema, WindowFeature
from features.event import EventBatch
from features.rows import Rows, rows_of
from features.windows.aggregate import Segments, aggregate, running_sums
from features.windows.cut import CutRows, find_cuts
from features.windows.cut_window import WindowEntries, see_tiles
from features.windows.orderly import orderly_rows
from features.windows.timeline import Queries, Timeline, event_timeline, label_timeline


@dataclass(frozen=True, slots=True)
class Searches:
    """What has been searched for in rows, for the same entries and queries."""

    ranges: dict[tuple[object, ...], Segments] = field(default_factory=dict)
    """By what tells windows apart."""
    edges: dict[int, Ints] = field(default_factory=dict)
    """By how long before each query: `Timeline.until`."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Windows of q events."""

    values: Floats
    """Shape (q, windows)."""
    trimmed: Bools
    """Shape (q,): whether an edge was displaced, because its row is too long to be kept entry by entry."""

    def of(self, some: slice) -> "Evaluated":
        return Evaluated(self.values[some], self.trimmed[some])


def evaluate(
    windows: Sequence[WindowFeature],
    schema: RowSchema,
    rows: Rows,
    events: EventBatch,
    index: Ints,
    steps_per_second: float = 1000.0,
) -> Evaluated:
    """Evaluate windows over the rows of one schema, for the events at `index` of the batch.

    steps_per_second: time units in a second, for `time_since_last`; 1 under sequence time.
    Values are NaN, or the window's `empty`, where a window is empty, and NaN
    where the event has no usable row.
    """
    queries = Queries(events.times[index], events.hashes[index], events.positions[index])
    delay = min(window.delay for window in windows)
    orderly = orderly_rows(rows, schema, index, queries, delay, min(delay, schema.delay))
    if orderly is None or not orderly.sure.any():
        return _evaluate_any(windows, schema, rows, queries, index, steps_per_second)
    sure = orderly.sure
    if sure.all():
        values = evaluate_whole(windows, schema, orderly.timeline, queries, steps_per_second)
        return Evaluated(values, np.zeros(len(index), np.bool_))
    values, trimmed = np.empty((len(index), len(windows)), order="F"), np.zeros(len(index), np.bool_)
    values[sure] = evaluate_whole(
        windows, schema, orderly.timeline.of(sure), queries.of(sure), steps_per_second
    )
    doubtful = index[~sure]
    some = rows_of(rows, doubtful)
    found = _evaluate_any(windows, schema, some, queries.of(~sure), doubtful, steps_per_second)
    values[~sure], trimmed[~sure] = found.values, found.trimmed
    return Evaluated(values, trimmed)


def _evaluate_any(
    windows: Sequence[WindowFeature],
    schema: RowSchema,
    rows: Rows,
    queries: Queries,
    index: Ints,
    steps_per_second: float,
) -> Evaluated:
    """Whatever the rows hold, in whatever order."""
    delay = min(window.delay for window in windows)
    if schema.kind is RowKind.EVENTS:
        timeline = event_timeline(rows, index, queries)
        before = timeline.place
    else:
        counted = min(delay, schema.delay)
        timeline = label_timeline(rows, index, queries, delay, (schema.exact, counted))
        before = timeline.until(queries.times - counted)
    cuts = find_cuts(timeline, before, schema, rows.folded, rows.of_event[index])
    if cuts is None:
        values = evaluate_whole(windows, schema, timeline, queries, steps_per_second)
        return Evaluated(values, np.zeros(len(index), np.bool_))
    edges = _Edges(timeline, queries, schema, Searches(), cuts.floor)
    values = _evaluate_all(windows, edges, steps_per_second)
    cut_rows = CutRows(timeline, queries, cuts, rows.of_event[index], schema, rows.folded)
    entries = [edges.entries_of(window) for window in windows]
    trimmed = see_tiles(cut_rows, windows, entries, values, steps_per_second)
    return Evaluated(values, trimmed)


def evaluate_whole(
    windows: Sequence[WindowFeature],
    schema: RowSchema,
    timeline: Timeline,
    queries: Queries,
    steps_per_second: float,
    searches: Searches | None = None,
) -> Floats:
    """Where rows are seen entry by entry.

    searches: what has been found already.
    """
    edges = _Edges(timeline, queries, schema, searches or Searches())
    return _evaluate_all(windows, edges, steps_per_second)


def _evaluate_all(windows: Sequence[WindowFeature], edges: "_Edges", steps_per_second: float) -> Floats:
    edges.search(windows)
    values = np.empty((len(edges.queries.times), len(windows)), order="F")  # as it is filled in
    for at, window in enumerate(windows):
        values[:, at] = _evaluate_one(window, edges, steps_per_second)
    values[edges.timeline.row < 0] = np.nan
    return values


@dataclass(frozen=True, slots=True)
class _Edges:
    """Window edges and filtered views, shared by the aggregates of one window."""

    timeline: Timeline
    queries: Queries
    schema: RowSchema
    searches: Searches
    floor: Ints | None = None
    """Where rows are cut, the first entry that each query sees as one."""
    counts: dict[tuple[str | None, str | None], tuple[Ints, Ints]] = field(default_factory=dict)
    present: dict[tuple[str | None, str], Floats] = field(default_factory=dict)
    running: dict[tuple[str | None, str], Floats | None] = field(default_factory=dict)

    def range_of(self, window: WindowFeature) -> Segments:
        """The entries of the window, as a range of the entries that its `where` keeps."""
        include = window.include_current and window.function != "time_since_last"
        key = (window.span.kind, window.span.length, window.delay, include, window.where)
        ranges = self.searches.ranges
        if key not in ranges:
            ranges[key] = self._find(window, include)
        return ranges[key]

    def search(self, windows: Sequence[WindowFeature]) -> None:
        """Look for the edges of all windows over time at once."""
        edges = self.searches.edges
        over_time = [window for window in windows if window.span.kind == "time"]
        before = {window.delay + window.span.length for window in over_time}
        before |= {window.delay for window in over_time if not self._ends_at_place(window)}
        needed = sorted(before - edges.keys())
        if needed:
            found = self.timeline.until_each(self.queries.times - np.array(needed)[:, None])
            edges.update(zip(needed, found, strict=True))

    def _ends_at_place(self, window: WindowFeature) -> bool:
        """Whether what the window sees ends with the event's own entry, or just before."""
        return window.delay == 0 and self.schema.kind is RowKind.EVENTS

    def _until(self, before: int) -> Ints:
        """How far each query sees that looks back from so long before its time."""
        edges = self.searches.edges
        if before not in edges:
            edges[before] = self.timeline.until(self.queries.times - before)
        return edges[before]

    def _find(self, window: WindowFeature, include_current: bool) -> Segments:
        if self._ends_at_place(window):
            end = self.timeline.place + int(include_current)
        else:
            end = self._until(window.delay)
        if window.span.kind == "events":
            start = np.minimum(self.timeline.row_starts() if self.floor is None else self.floor, end)
        else:
            start = self._until(window.delay + window.span.length)
            if self.floor is not None and self.schema.resolution:
                start = np.maximum(start, self.floor)
            start = np.minimum(start, end)
        if window.where is not None:
            _, before = self.filtered(window.where, None)
            start, end = before[start], before[end]
        if window.span.kind == "events":
            start = np.maximum(start, end - window.span.length)
        return Segments(start, end)

    def values_of(self, window: WindowFeature, column: str) -> tuple[Floats, Segments]:
        """The values of a column that are not missing, and the window as a range of those."""
        segments, values = self.range_of(window), self.values(window.where, column)
        if len(values) == len(self.timeline.entries):
            return values, segments
        # From ranges of what `where` keeps, to ranges of what also has the column.
        _, before = self.filtered(window.where, column)
        if window.where is None:
            return values, Segments(before[segments.start], before[segments.end])
        passing, passed_before = self.filtered(window.where, None)
        bounds = np.append(passing, len(passed_before) - 1)
        return values, Segments(before[bounds[segments.start]], before[bounds[segments.end]])

    def values(self, where: str | None, column: str) -> Floats:
        """The values of a column that are not missing, of entries that pass `where`."""
        key = (where, column)
        if key not in self.present:
            values = self.column(column)
            if where is not None or np.isnan(values).any():
                values = values[self.filtered(where, column)[0]]
            self.present[key] = values
        return self.present[key]

    def running_sums(self, where: str | None, column: str) -> Floats | None:
        """Of `values`."""
        key = (where, column)
        if key not in self.running:
            self.running[key] = running_sums(self.values(where, column))
        return self.running[key]

    def entries_of(self, window: WindowFeature) -> WindowEntries:
        passing = self.range_of(window)
        if window.column is None:
            return WindowEntries(passing, np.empty(0), passing)
        return WindowEntries(passing, *self.values_of(window, window.column))

    def filtered(self, where: str | None, column: str | None) -> tuple[Ints, Ints]:
        """Which entries pass `where` and have `column`; and, for each i, how many of the first i do."""
        key = (where, column)
        if key not in self.counts:
            kept = np.ones(len(self.timeline.entries), np.bool_)
            if where is not None:
                kept &= self.column(where) == 1.0
            if column is not None:
                kept &= ~np.isnan(self.column(column))
            before = np.zeros(len(kept) + 1, np.int64)
            np.cumsum(kept, out=before[1:])
            self.counts[key] = (np.flatnonzero(kept), before)
        return self.counts[key]

    def column(self, name: str) -> Floats:
        return self.timeline.entries.values[:, self.schema.columns.index(name)]


def _evaluate_one(window: WindowFeature, edges: _Edges, steps_per_second: float) -> Floats:
    if window.function == "time_since_last":
        return _time_since_last(window, edges, steps_per_second)
    if window.column is None:
        segments = edges.range_of(window)
        return (segments.end - segments.start).astype(np.float64)
    values, segments = edges.values_of(window, window.column)
    running = edges.running_sums(window.where, window.column) if window.function in ("sum", "mean") else None
    return aggregate(window.function, values, segments, window.empty, window.std_of_one, running)


def _time_since_last(window: WindowFeature, edges: _Edges, steps_per_second: float) -> Floats:
    segments = edges.range_of(window)
    some = segments.end > segments.start
    since = np.full(len(some), window.empty)
    passing, _ = edges.filtered(window.where, None)
    last = edges.timeline.entries.times[passing[segments.end[some] - 1]]
    since[some] = (edges.queries.times[some] - last) / steps_per_second
    return since
