"""Predictions as they were read from the topic, and the table made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from features.arrays import Floats
from features.definition.model import Definition, RecordLabel


class Origin(msgspec.Struct, frozen=True, gc=False):
    topic: str
    partition: int
    offset: int


class Model(msgspec.Struct, frozen=True, gc=False):
    version: str | None = None


class Reason(msgspec.Struct, frozen=True, gc=False):
    code: str
    contribution: float | None = None


class Prediction(msgspec.Struct, frozen=True, gc=False):
    """What the demo reads of a prediction's contract (docs/contracts.md)."""

    event_id: str
    event_time: int
    source: str
    origin: Origin
    model: Model
    degradations: tuple[str, ...] = ()
    decision: str | None = None
    reasons: tuple[Reason, ...] = ()
    score: float | None = None
    value: float | None = None
    class_: str | None = msgspec.field(name="class", default=None)
    probabilities: dict[str, float] | None = None
    fields: dict[str, Any] | None = None
    features: dict[str, float | None] | None = None

    @property
    def answer(self) -> float | None:
        """The score, the value, or the probability of the class chosen."""
        if self.probabilities is not None and self.class_ is not None:
            return self.probabilities[self.class_]
        return self.value if self.score is None else self.score


_decoder = msgspec.json.Decoder(Prediction)


def decode_prediction(message: bytes) -> Prediction:
    """Raises `msgspec.DecodeError` for what is no prediction."""
    return _decoder.decode(message)


@dataclass(slots=True)
class Served:
    """The first prediction of each event, by the event's row among those sent."""

    by_row: dict[int, Prediction] = field(default_factory=dict)

    def scores(self, definition: Definition, rows: int) -> Floats:
        """Shape (rows,), or (rows, classes) for multiclass; NaN where there is no prediction."""
        label = definition.label
        classes = label.classes if isinstance(label, RecordLabel) else ()
        scores = np.full((rows, len(classes)) if definition.task == "multiclass" else rows, np.nan)
        for row, prediction in self.by_row.items():
            if definition.task == "multiclass":
                scores[row] = [(prediction.probabilities or {}).get(name, np.nan) for name in classes]
            else:
                scores[row] = np.nan if prediction.answer is None else prediction.answer
        return scores


def predictions_table(definition: Definition, served: Served) -> pa.Table:
    """Predictions in the order of events: their fixed part, then the features as served in model order."""
    predictions = [served.by_row[row] for row in sorted(served.by_row)]
    columns: dict[str, pa.Array[Any]] = {
        "event_id": pa.array([p.event_id for p in predictions], pa.string()),
        "event_time": _times(definition, [p.event_time for p in predictions]),
        "score": pa.array([p.answer for p in predictions], pa.float64()),
        "decision": pa.array([p.decision for p in predictions], pa.string()),
        "source": pa.array([p.source for p in predictions], pa.string()),
        "model_version": pa.array([p.model.version for p in predictions], pa.string()),
        "degradations": pa.array([list(p.degradations) for p in predictions], pa.list_(pa.string())),
    }
    if definition.task == "multiclass":
        columns["class"] = pa.array([p.class_ for p in predictions], pa.string())
    served_features: list[Mapping[str, float | None]] = [p.features or {} for p in predictions]
    for name in definition.feature_names:
        values = pa.array([features.get(name) for features in served_features], pa.float64())
        columns[name if name not in columns else f"feature_{name}"] = values
    return pa.table(columns)


def _times(definition: Definition, times: Sequence[int]) -> "pa.Array[Any]":
    if definition.time.is_sequence:
        return pa.array(times, pa.int64())
    return pa.array(times, pa.timestamp("ms", tz="UTC"))


def shown_fields(definition: Definition, prediction: Prediction) -> dict[str, str]:
    """The fields that a prediction carries as a person may see them: personal ones masked."""
    declared = {f.name: f for f in definition.fields}
    shown: dict[str, str] = {}
    for name, value in (prediction.fields or {}).items():
        if name in declared and declared[name].personal:
            shown[name] = "•••"
        elif name in declared and declared[name].type == "timestamp" and isinstance(value, int):
            shown[name] = datetime.fromtimestamp(value / 1000, UTC).isoformat(timespec="seconds")
        else:
            shown[name] = f"{value:,.2f}" if isinstance(value, float) else str(value)
    return shown
