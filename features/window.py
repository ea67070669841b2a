"""Windows evaluated at each event's own time: the one code that training, serving and tests call.

The window of span w and delay d at event time t covers entries with time in (t - d - w, t - d]. Of
these only entries before the event count: an earlier time, or the same time and a smaller position;
never later records of the event's own partition, and never the event's own id. With d = 0 the event
itself is then added, unless the definition excludes it. A window in event counts covers the last N
such entries. The result does not depend on what else is in the batch, to the bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.aggregate import Segments, aggregate
from features.arrays import Floats, Ints
from features.definition.model import RowKind, RowSchema, WindowFeature
from features.event import EventBatch
from features.rows import Rows
from features.timeline import Queries, Timeline, event_timeline, label_timeline


def evaluate(
    windows: Sequence[WindowFeature],
    schema: RowSchema,
    rows: Rows,
    events: EventBatch,
    index: Ints,
    steps_per_second: float = 1000.0,
) -> Floats:
    """Evaluate windows over the rows of one schema, for the events at `index` of the batch.

    steps_per_second: time units in a second, for `time_since_last`; 1 under sequence time.
    Returns shape (len(index), windows); NaN, or the window's `empty`, where a window is empty, and NaN
    where the event has no usable row.
    """
    queries = Queries(events.times[index], events.hashes[index], events.positions[index])
    if schema.kind is RowKind.EVENTS:
        timeline = event_timeline(rows, index, queries)
    else:
        timeline = label_timeline(rows, index, queries, min(window.delay for window in windows))
    values = np.empty((len(index), len(windows)))
    edges = _Edges(timeline, queries, schema, {}, {})
    for at, window in enumerate(windows):
        values[:, at] = _evaluate_one(window, edges, steps_per_second)
    values[timeline.row < 0] = np.nan
    return values


@dataclass(frozen=True, slots=True)
class _Edges:
    """Window edges and filtered views, shared by the aggregates of one window."""

    timeline: Timeline
    queries: Queries
    schema: RowSchema
    ranges: dict[tuple[object, ...], Segments]
    counts: dict[tuple[str | None, str | None], tuple[Ints, Ints]]

    def range_of(self, window: WindowFeature) -> Segments:
        """The entries of the window, as a range of the entries that its `where` keeps."""
        include = window.include_current and window.function != "time_since_last"
        key = (window.span.kind, window.span.length, window.delay, include, window.where)
        if key not in self.ranges:
            self.ranges[key] = self._find(window, include)
        return self.ranges[key]

    def _find(self, window: WindowFeature, include_current: bool) -> Segments:
        times = self.queries.times
        if window.delay == 0 and self.schema.kind is RowKind.EVENTS:
            end = self.timeline.place + int(include_current)
        else:
            end = self.timeline.until(times - window.delay)
        _, before = self.filtered(window.where, None)
        if window.span.kind == "events":
            first = before[self.timeline.row_starts()]
            return Segments(np.maximum(first, before[end] - window.span.length), before[end])
        start = self.timeline.until(times - window.delay - window.span.length)
        return Segments(before[np.minimum(start, end)], before[end])

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
    segments = edges.range_of(window)
    passing, passed_before = edges.filtered(window.where, None)
    if window.function == "time_since_last":
        return _time_since_last(segments, edges, passing, steps_per_second, window.empty)
    if window.column is None:
        return (segments.end - segments.start).astype(np.float64)
    present, before = edges.filtered(window.where, window.column)
    # From ranges of what `where` keeps, to ranges of what also has the column.
    bounds = np.append(passing, len(passed_before) - 1)
    segments = Segments(before[bounds[segments.start]], before[bounds[segments.end]])
    return aggregate(
        window.function, edges.column(window.column)[present], segments, window.empty, window.std_of_one
    )


def _time_since_last(
    segments: Segments, edges: _Edges, passing: Ints, steps_per_second: float, empty: float
) -> Floats:
    some = segments.end > segments.start
    since = np.full(len(some), empty)
    last = edges.timeline.entries.times[passing[segments.end[some] - 1]]
    since[some] = (edges.queries.times[some] - last) / steps_per_second
    return since
