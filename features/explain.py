"""How each value of one event came about: which entries each window saw, which it did not, and why.

The entries are those of the event's own timeline, and the values those of `FeaturePlan`; what is added here
is a reason for every entry near an edge that was left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np

from features.arrays import Bools, Floats
from features.codec import Entries, take_entries
from features.definition.model import Definition, RowKind, RowSchema, SqlFeature, WindowFeature
from features.event import EventBatch, position_partitions
from features.matrix import FeaturePlan
from features.rows import RowId, Rows
from features.windows.folded import UNBOUNDED
from features.windows.timeline import Queries, event_timeline, label_timeline

NEAR = 3
"""How many of the entries beyond an edge are told."""


class Reason(StrEnum):
    """Why an entry of the row is not in a window."""

    OWN = "it is the event itself"
    REPEATED = "the same event, at an earlier position, stands for it"
    LATER_RECORD = "a later record of the event's own partition"
    NOT_BEFORE = "it is not before the event"
    FOLDED = "it came after its time had been folded into tiles"
    UNKNOWN_YET = "the label was not known at the event's time"
    CORRECTED = "another label of the same event, observed later, stands for it"
    TOO_NEW = "after the window's end"
    TOO_OLD = "not after the window's start"
    BEYOND_COUNT = "older than the window's number of events"
    BEYOND_CUT = "beyond the newest entries that are seen one by one"
    CONDITION = "the condition is not true of it"
    NO_VALUE = "it has no value"


@dataclass(frozen=True, slots=True)
class Seen:
    """An entry of the row."""

    time: int
    id: int
    """`hash_ids` of its event's id."""
    mark: int
    """Position of an event entry, `observed_at` of a label entry."""
    value: float
    """What the window aggregates; NaN where that is nothing, or missing."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An entry that is not in the window, and why."""

    entry: Seen
    reason: Reason


@dataclass(frozen=True, slots=True)
class ExplainedWindow:
    """A window feature."""

    feature: WindowFeature
    value: float
    start: int | None
    """The last time before the window; None for a number of events."""
    end: int
    """The last time in the window."""
    cut: int | None
    """From when on entries were seen one by one, and before it whole tiles; None where there is no cut."""
    folded: bool
    """Whether tiles of the store may have added to the value, of which entries are not known any more."""
    entries: tuple[Seen, ...]
    """All that are in the window, in order, and have a value to aggregate."""
    left_out: tuple[LeftOut, ...]
    """Of entries between the edges all, beyond each edge the nearest."""


@dataclass(frozen=True, slots=True)
class ExplainedSql:
    """An expression, and what it was given; None is missing."""

    feature: SqlFeature
    value: float
    inputs: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ExplainedValue:
    """A field, a lookup or a category, which come as they are; None is missing."""

    name: str
    value: float
    given: object


Explained: TypeAlias = ExplainedWindow | ExplainedSql | ExplainedValue


def explain(
    definition: Definition,
    plan: FeaturePlan,
    events: EventBatch,
    at: int,
    rows: Mapping[RowId, Rows],
    lookups: Mapping[str, Floats],
) -> list[Explained]:
    """Every feature of the event at `at`, in model order; rows and lookups are `FeaturePlan.evaluate`'s."""
    values = plan.matrix(events, rows, np.array([at]), lookups)[0]
    given = {name: column[at] for name, column in events.columns.items()}
    explained: list[Explained] = []
    for feature, value in zip(definition.features, values.tolist(), strict=True):
        if isinstance(feature, WindowFeature):
            row_id = (feature.entity, feature.kind)
            schema = next(row for row in definition.rows if (row.entity, row.kind) == row_id)
            peers = [w for w in definition.windows if (w.entity, w.kind) == row_id]
            explained.append(_Row(schema, peers, rows[row_id], events, at).window(feature, value))
        elif isinstance(feature, SqlFeature):
            inputs = {name: _plain(given[name]) for name in sorted(feature.expression.names)}
            explained.append(ExplainedSql(feature, value, inputs))
        else:
            shown = lookups[feature.name][at] if feature.name in lookups else given.get(feature.name)
            explained.append(ExplainedValue(feature.name, value, _plain(shown)))
        if not isinstance(given.get(feature.name), str):
            given[feature.name] = value
    return explained


class _Row:
    """The row of one event, as its windows see it."""

    def __init__(
        self,
        schema: RowSchema,
        peers: Sequence[WindowFeature],
        rows: Rows,
        events: EventBatch,
        at: int,
    ) -> None:
        """peers: all windows over rows of this schema; they decide together which labels are looked at."""
        index = np.array([at])
        self.schema, self.rows = schema, rows
        self.time, self.id = int(events.times[at]), events.hashes[at]
        self.position = events.positions[at]
        self.source = int(rows.of_event[at])
        queries = Queries(events.times[index], events.hashes[index], events.positions[index])
        delay = min(window.delay for window in peers)
        if schema.kind is RowKind.EVENTS:
            self.timeline = event_timeline(rows, index, queries)
            before = self.timeline.place
        else:
            counted = min(delay, schema.delay)
            self.timeline = label_timeline(rows, index, queries, delay, (schema.exact, counted))
            before = self.timeline.until(queries.times - counted)
        self.boundary = UNBOUNDED if rows.folded is None else int(rows.folded.boundaries[self.source])
        self.cut = (
            None if self.source < 0 else self._cut(int(self.timeline.nth_before(before, schema.exact)[0]))
        )
        self.own = int(self.timeline.place[0])
        of_row = take_entries(rows.entries, rows.entries.row == self.source)
        self.raw = take_entries(of_row, np.lexsort((of_row.ids, of_row.marks, of_row.times)))

    def _cut(self, newest: int) -> int | None:
        """Where `features.windows.cut` cuts the row. newest: the last entry that is seen as one, or -1."""
        times, resolution = self.timeline.entries.times, self.schema.resolution
        cut = UNBOUNDED if newest < 0 else int(times[newest])
        if newest >= 0 and resolution:
            cut = cut // resolution * resolution
        cut = max(cut, self.boundary)
        older = times[int(self.timeline.row_starts()[0])] < cut if newest >= 0 else False
        return cut if older or self.boundary > UNBOUNDED else None

    def window(self, feature: WindowFeature, value: float) -> ExplainedWindow:
        """What the window saw of this row."""
        last = self.time - feature.delay
        start = last - feature.span.length if feature.span.kind == "time" else None
        if self.source < 0:
            return ExplainedWindow(feature, value, start, last, None, False, (), ())
        first, after = self._edges(feature)
        inside = self._inside(feature, first, after)
        seen = tuple(_seen(self.timeline.entries, i, self._column(feature)) for i in inside)
        counted = {(entry.id, entry.time, entry.mark) for entry in seen}
        left_out: list[LeftOut] = []
        for i in self._candidates(first, after):
            entry = _seen(self.raw, i, self._column(feature))
            identity = (entry.id, entry.time, entry.mark)
            if identity in counted:
                counted.discard(identity)  # should it be there twice, the other one is left out
            else:
                left_out.append(LeftOut(entry, self._reason(i, feature, first, after)))
        folded = first < self.boundary
        return ExplainedWindow(feature, value, start, last, self.cut, folded, seen, tuple(left_out))

    def _edges(self, feature: WindowFeature) -> tuple[int, int]:
        """The first time in the window, and the first after it; before a cut, at the beginning of a tile."""
        after = self.time - feature.delay + 1
        counts = feature.span.kind == "events"
        first = UNBOUNDED if counts else after - feature.span.length
        if self.cut is None:
            return first, after
        if counts or feature.function == "distinct_count":
            return max(first, self.cut), after
        resolution = self.schema.resolution
        if resolution:
            first = first // resolution * resolution if first < self.cut else first
            after = after // resolution * resolution if after < self.cut else after
        return first, after

    def _inside(self, feature: WindowFeature, first: int, after: int) -> list[int]:
        """Indexes of the timeline's entries that are in the window, and have what it aggregates."""
        entries = self.timeline.entries
        here = entries.row == self.timeline.row[0]
        before = here & (entries.times >= first) & (entries.times < after)
        if self.schema.kind is RowKind.EVENTS:
            before[self.own :] = False
            if feature.delay == 0 and feature.include_current and feature.function != "time_since_last":
                before[self.own] = True
        if feature.where is not None:
            before &= self._values(entries, feature.where) == 1.0
        inside = np.flatnonzero(before)
        if feature.span.kind == "events":
            inside = inside[-feature.span.length :]
        if (column := self._column(feature)) is not None:
            inside = inside[~np.isnan(entries.values[inside, column])]
        found: list[int] = inside.tolist()
        return found

    def _candidates(self, first: int, after: int) -> list[int]:
        """Of the row's entries those between the edges, and the nearest beyond."""
        begin = int(np.searchsorted(self.raw.times, max(first, UNBOUNDED), side="left"))
        end = int(np.searchsorted(self.raw.times, after, side="left"))
        return list(range(max(begin - NEAR, 0), min(end + NEAR, len(self.raw))))

    def _reason(self, i: int, feature: WindowFeature, first: int, after: int) -> Reason:
        raw = self.raw
        time, same = int(raw.times[i]), raw.ids == raw.ids[i]
        if raw.ids[i] == self.id:
            return Reason.OWN
        same &= raw.times >= self.boundary
        if not same[i]:
            return Reason.FOLDED
        hidden = self._hidden(i, same)
        if hidden is not None:
            return hidden
        if time >= after:
            return Reason.TOO_NEW
        if time < first:
            of_count = feature.span.kind == "events" or feature.function == "distinct_count"
            return Reason.BEYOND_CUT if of_count and self.cut == first else Reason.TOO_OLD
        if feature.where is not None and self._values(raw, feature.where)[i] != 1.0:
            return Reason.CONDITION
        column = self._column(feature)
        if column is not None and np.isnan(raw.values[i, column]):
            return Reason.NO_VALUE
        return Reason.BEYOND_COUNT

    def _hidden(self, i: int, same: Bools) -> Reason | None:
        """Why the event sees nothing of entry `i`, whatever the window. same: all entries of its id."""
        raw = self.raw
        if self.schema.kind is RowKind.EVENTS:
            if (same & (raw.marks < raw.marks[i])).any() or same[:i].any():
                return Reason.REPEATED
            if raw.times[i] > self.time:
                return Reason.NOT_BEFORE
            partitions = position_partitions(np.array([raw.marks[i], self.position]))
            if partitions[0] == partitions[1] and raw.marks[i] > self.position:
                return Reason.LATER_RECORD
            tie = raw.times[i] == self.time and raw.marks[i] > self.position
            return Reason.NOT_BEFORE if tie else None
        observed_at = raw.marks.view(np.int64)
        if observed_at[i] > self.time:
            return Reason.UNKNOWN_YET
        known = np.flatnonzero(same & (observed_at <= self.time))
        order = np.lexsort((raw.times[known], raw.values[known, 0], observed_at[known]))
        return Reason.CORRECTED if known[order[-1]] != i else None

    def _column(self, feature: WindowFeature) -> int | None:
        return None if feature.column is None else self.schema.columns.index(feature.column)

    def _values(self, entries: Entries, column: str) -> Floats:
        return entries.values[:, self.schema.columns.index(column)]


def _seen(entries: Entries, i: int, column: int | None) -> Seen:
    value = np.nan if column is None else float(entries.values[i, column])
    return Seen(int(entries.times[i]), int(entries.ids[i]), int(entries.marks[i]), value)


def _plain(value: object) -> object:
    """As people read it: None where it is missing."""
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else float(value)
    return value
