"""Records of the labels topic: what became of events.

``{"event_id", "label", "observed_at"}`` and, for windows over labels, ``"event_time"`` and
``"entities"`` (entity name to key, both as in the prediction). Times are written as the use case writes
its event times.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np

from features.arrays import Bools, Floats, Ints, UInts
from features.definition.model import Definition, RecordLabel, RowKind
from features.event import hash_ids
from stream.pipeline.decode import Values, parse_times, sequence_numbers, time_type, time_unit
from stream.pipeline.rejected import Rejected, RejectReason
from stream.pipeline.validate import (
    ID_BYTES_MAX,
    KEY_BYTES_MAX,
    Verdicts,
    are_missing,
    check_clock,
    check_id,
    check_length,
    check_present,
    check_sequence,
)
from stream.pipeline.wire import JsonReader
from stream.records import RecordBatch

_FIELDS = ("event_id", "label", "observed_at", "event_time", "entities")


@dataclass(frozen=True, slots=True)
class DecodedLabels:
    """n labels in the order of their records; every array has shape (n,)."""

    ids: Sequence[str]
    hashes: UInts
    """`hash_ids(ids)`."""
    index: Ints
    """The place of each label in the record batch."""
    times: Ints
    """Event time in the time unit; 0 where the record names none."""
    observed_at: Ints
    """When the label became known, in the time unit."""
    labels: Floats
    """0 or 1, the value, or the class's index."""
    keys: Mapping[str, Sequence[str | None]]
    """Entity keys by the name of every entity that keeps labels; None where the record has none."""
    complete: Bools
    """Whether the record names all that windows over labels need; else the monitor completes it."""
    rejected: list[Rejected]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, index: Ints) -> "DecodedLabels":
        """The labels at `index`, in its order, and all that was rejected."""
        picked = index.tolist()
        return DecodedLabels(
            ids=[self.ids[i] for i in picked],
            hashes=self.hashes[index],
            index=self.index[index],
            times=self.times[index],
            observed_at=self.observed_at[index],
            labels=self.labels[index],
            keys={name: [keys[i] for i in picked] for name, keys in self.keys.items()},
            complete=self.complete[index],
            rejected=self.rejected,
        )


class LabelDecoder:
    """Decodes label records of one use case."""

    def __init__(self, definition: Definition, *, future_limit_ms: int) -> None:
        """future_limit_ms: how far `observed_at` may be ahead of its record's timestamp.

        Of two labels the later observed wins, so that one dated 2100 could never be corrected. Raises
        `ValueError` where the use case has no labels by record.
        """
        if not isinstance(definition.label, RecordLabel):
            raise ValueError(f"{definition.name} derives its labels or has none; it reads no labels topic")
        self._definition = definition
        self._classes = {name: float(place) for place, name in enumerate(definition.label.classes)}
        self._entities = [row.entity for row in definition.rows if row.kind is RowKind.LABELS]
        self._future_limit_ms = future_limit_ms
        self._reader = JsonReader(label_struct(definition))

    def decode(self, records: RecordBatch) -> DecodedLabels:
        """The same labels and rejections however records are cut into batches."""
        read = self._reader.read(records.values)
        index = np.array(read.index, np.int64)
        values = {name: list(map(attrgetter(name), read.objects)) for name in _FIELDS}
        verdicts = Verdicts(read.index)
        check_id(verdicts, ["event_id"], [values["event_id"]])
        ids = [i or "" for i in values["event_id"]]
        check_length(verdicts, ids, ID_BYTES_MAX, RejectReason.BAD_ID, "event_id")
        labels = self._labels(values["label"], verdicts)
        timestamps = records.timestamps[index]
        check_present(verdicts, "observed_at", are_missing(values["observed_at"]))
        observed_at = self._times("observed_at", values["observed_at"], timestamps, verdicts)
        times = self._times("event_time", values["event_time"], timestamps, verdicts)
        keys = self._keys(values["entities"], verdicts)
        complete = self._named(values["entities"]) & ~are_missing(values["event_time"])
        rejected = sorted([*read.rejected, *verdicts.rejected], key=attrgetter("index"))
        decoded = DecodedLabels(
            ids, hash_ids(ids), index, times, observed_at, labels, keys, complete, rejected
        )
        return decoded if verdicts.standing.all() else decoded.take(np.flatnonzero(verdicts.standing))

    def _labels(self, values: Values, verdicts: Verdicts) -> Floats:
        check_present(verdicts, "label", are_missing(values))
        if self._definition.task == "multiclass":
            labels = np.array([self._classes.get(value, np.nan) for value in values], np.float64)
            verdicts.reject(np.isnan(labels), RejectReason.BAD_LABEL, "label", "not one of the classes")
            return labels
        labels = np.array(values, np.float64)
        if self._definition.task == "binary":
            neither = (labels != 0) & (labels != 1)
            verdicts.reject(neither, RejectReason.BAD_LABEL, "label", "neither 0 nor 1")
        return labels

    def _times(self, name: str, values: Values, timestamps: Ints, verdicts: Verdicts) -> Ints:
        """Times in the time unit; 0 where there is none."""
        if self._definition.time.is_sequence:
            numbers = sequence_numbers(values)
            check_sequence(verdicts, name, numbers)
            return numbers
        missing = are_missing(values)
        times = parse_times(values, time_unit(self._definition), self._definition.timezone)
        check_clock(verdicts, name, times, missing, timestamps, self._future_limit_ms)
        return np.where(missing, 0, times)

    def _named(self, values: Values) -> Bools:
        """Whether every entity that keeps labels is named, if only as null."""
        wanted = set(self._entities)
        return np.array([entities is not None and wanted <= entities.keys() for entities in values], np.bool_)

    def _keys(self, values: Values, verdicts: Verdicts) -> dict[str, Sequence[str | None]]:
        keys: dict[str, Sequence[str | None]] = {}
        for name in self._entities:
            texts = [None if entities is None else entities.get(name) for entities in values]
            check_length(verdicts, texts, KEY_BYTES_MAX, RejectReason.BAD_KEY, f"entities.{name}")
            keys[name] = texts
        return keys


def label_struct(definition: Definition) -> type[Any]:
    """The Struct that label records are read into."""
    labels = {"binary": bool | float, "multiclass": str, "regression": float}
    time = time_type(definition)
    types = (str, labels[definition.task], time, time, dict[str, str | None])
    fields = [(name, type_ | None, None) for name, type_ in zip(_FIELDS, types, strict=True)]
    return msgspec.defstruct("Label", fields, gc=False)
