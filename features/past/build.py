"""The training set of a history that comes in slices: each is evaluated as it would be within the whole.

What later events may still see of a slice is carried over to the next: entries within the reach of windows
over time, and the newest of each row for windows in event counts. So memory is bounded by that and a slice,
and the values are those of `features.past.offline.build_training_set` over all of it, to the bit. (But for an
event that comes again with the same id: once the first is out of reach, the second counts.)
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from features.arrays import Bools, Floats, Ints, UInts
from features.categories import categorical
from features.codec import Entries
from features.definition.model import (
    LABEL_COLUMN,
    CategoryFeature,
    Definition,
    DerivedLabel,
    FieldFeature,
    RowKind,
    SqlFeature,
)
from features.event import EventBatch, hash_ids
from features.lookup.history import LookupHistory
from features.matrix import FeaturePlan
from features.past.carry import still_seen
from features.past.columns import EventColumns
from features.past.labels import LabelRecords
from features.past.offline import labels_to_learn, scored_events, settled_windows
from features.past.order import NEVER, Slice, join_slices
from features.past.texts import Texts, index_texts, stand_ins
from features.rows import RowId, Rows, history_rows, index_keys
from features.window import Evaluated

AT_ONCE = 1 << 18
"""How many events are evaluated at a time: as many as a row group of a file should have."""


@dataclass(frozen=True, slots=True)
class BuiltSlice:
    """The n events of a slice that are in the training set."""

    events: EventColumns
    """Their labels are those to learn: NaN where one has not matured."""
    positions: UInts
    matrix: Floats
    """Shape (n, features)."""
    trimmed: Bools
    """`features.matrix.FeatureMatrix.trimmed`."""
    texts: Mapping[str, Sequence[str | None]]
    """The categorical features, which have no codes before a model is trained; NaN in the matrix."""


class SetBuilder:
    """Builds slice by slice; what is carried over is its only state."""

    def __init__(
        self,
        definition: Definition,
        start: int,
        end: int,
        lookups: Mapping[str, LookupHistory] | None = None,
        labels: LabelRecords | None = None,
    ) -> None:
        """Builds events with start <= time < end. labels: None where the events tell their own."""
        self._definition = definition
        self._start, self._end = start, end
        self._lookups = lookups or {}
        self._labels = labels
        self._plan = FeaturePlan(definition)
        lowest = lowest_time_seen(definition, start)
        self._seen = (-NEVER if lowest is None else lowest, end)
        self._before: Slice | None = None

    def add(self, part: Slice) -> Iterator[BuiltSlice]:
        """Build the events of the next slice, some at a time. To be exhausted before the next is added."""
        part = part.cut(*np.searchsorted(part.events.times, self._seen).tolist())
        carried = [] if self._before is None else [self._still_seen(self._before)]
        united = join_slices([*carried, part])
        batch = _batch(united)
        times = united.events.times
        chosen = (times >= self._start) & (times < self._end) & scored_events(self._definition, batch)
        chosen[: len(united) - len(part)] = False
        index = np.flatnonzero(chosen)
        if len(index):
            yield from self._build(united, batch, index)
        self._before = united

    def _still_seen(self, united: Slice) -> Slice:
        seen = still_seen(self._definition, _batch(united), united.events)
        return united.take(np.flatnonzero(seen))

    def _build(self, united: Slice, batch: EventBatch, index: Ints) -> Iterator[BuiltSlice]:
        whole = united.events
        settled: dict[RowId, Evaluated] = {}
        if self._labels is None:
            settled = settled_windows(self._definition, batch, whole.labels, whole.observed_at, index)
        doubtful: dict[RowId, Rows] = {}
        if len(settled) < len(self._definition.rows):
            # Only here something depends on the hashes of ids, and hashing takes longer than all the rest.
            batch = replace(batch, hashes=hash_ids(batch.ids))
            doubtful = self._rows(united, batch)
        lookups: dict[str, Floats] = {}
        for entity, history in self._lookups.items():
            lookups |= history.columns(batch.keys[entity], batch.times)
        for start in range(0, len(index), AT_ONCE):
            some = slice(start, start + AT_ONCE)
            events = whole.take(index[some])
            rows: dict[RowId, Rows | Evaluated] = {**doubtful}
            rows |= {row_id: evaluated.of(some) for row_id, evaluated in settled.items()}
            found = self._plan.evaluate(batch, rows, index[some], lookups)
            yield BuiltSlice(
                events=replace(events, labels=labels_to_learn(self._definition, events.labels)),
                positions=united.positions[index[some]],
                matrix=found.values,
                trimmed=found.trimmed,
                texts=self._texts(events, lookups, index[some]),
            )

    def _rows(self, united: Slice, batch: EventBatch) -> dict[RowId, Rows]:
        labels = {
            schema.entity: self._label_entries(schema.entity, united, batch)
            for schema in self._definition.rows
            if schema.kind is RowKind.LABELS
        }
        return history_rows(self._definition, batch, labels)

    def _texts(
        self, events: EventColumns, lookups: Mapping[str, Floats], index: Ints
    ) -> dict[str, Sequence[str | None]]:
        texts: dict[str, Sequence[str | None]] = {}
        for name, feature in categorical(self._definition).items():
            if isinstance(feature, CategoryFeature):
                texts[name] = events.columns[name].tolist()
            elif name in lookups:
                found = self._lookups[feature.entity].texts
                texts[name] = [found.get(number) for number in lookups[name][index].tolist()]
        return texts

    def _label_entries(self, entity: str, united: Slice, batch: EventBatch) -> Entries:
        index = index_keys(batch.keys[entity])
        if self._labels is not None:
            return self._labels.entries(entity, index, int(united.events.times[-1]))
        events = united.events
        known = np.flatnonzero(~np.isnan(events.labels) & (index.of_event >= 0))
        return Entries(
            row=index.of_event[known],
            times=events.times[known],
            ids=batch.hashes[known],
            marks=events.observed_at[known].view(np.uint64),
            values=events.labels[known].reshape(-1, 1),
        )


def fields_read(definition: Definition) -> set[str]:
    """The fields whose values a training set is made of."""
    conditions = [*definition.row_conditions.values()]
    if definition.score_when is not None:
        conditions.append(definition.score_when)
    if isinstance(definition.label, DerivedLabel) and definition.label.condition is not None:
        conditions.append(definition.label.condition)
    conditions += [feature.expression for feature in definition.features if isinstance(feature, SqlFeature)]
    names = {name for condition in conditions for name in condition.names}
    names |= {f.name for f in definition.features if isinstance(f, FieldFeature | CategoryFeature)}
    names |= {name for row in definition.rows for name in row.columns} - {LABEL_COLUMN}
    return names & {field.name for field in definition.fields}


def lowest_time_seen(definition: Definition, start: int) -> int | None:
    """No event before this time matters to those from `start` on; None where any may."""
    if isinstance(definition.label, DerivedLabel) or any(w.span.kind == "events" for w in definition.windows):
        return None
    return start - definition.retention - max((row.resolution for row in definition.rows), default=0)


def _batch(united: Slice) -> EventBatch:
    """The events as a batch whose hashes are stand-ins, good for telling ids apart and nothing else."""
    events = united.events
    return EventBatch(
        ids=Texts(events.ids),
        hashes=stand_ins(events.ids),
        times=events.times,
        positions=united.positions,
        columns=events.columns,
        keys={name: index_texts(keys) for name, keys in events.keys.items()},
    )
