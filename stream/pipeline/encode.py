"""Predictions to the bytes of `riverrun.prediction/1`: the last stage.

The contract stands in `stream.contracts` and docs/contracts.md. Floats are written in the shortest form
that reads back as the same float64, so that features as served can be compared bit for bit; NaN and
infinity are null.

One Struct per event and one `encode_lines` for the batch (JSON holds no raw newline, so lines can be split).
A Struct is filled and written member by member, so members that few combinations of values are seen of in a
batch are joined into one text that is written as it is, and the Struct has no more than a use case needs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, NamedTuple

import msgspec
import numpy as np

from features.arrays import Bools, Column, Floats, Ints
from features.definition.model import Definition
from features.event import EventBatch, position_offsets, position_partitions
from models.decision import class_names, predicted_class
from stream.pipeline.causes import Source
from stream.pipeline.causes import names as cause_names
from stream.pipeline.decide import Decisions
from stream.pipeline.sampling import Draw, drawn
from stream.records import Headers

SCHEMA = "riverrun.prediction/1"
CONTENT_TYPE = "application/json"
MESSAGE_BYTES_MIN = 16_384
"""Room enough for a prediction without features and fields, whose every part is bounded."""
TRACE_HEADER_BYTES_MAX = 512
HEADERS_BYTES_MAX = 2 * TRACE_HEADER_BYTES_MAX + 200
"""What `prediction_headers` takes of a record, at most."""

ALIKE_MAX = 1_000
"""So many combinations of decision, model and causes are kept in writing."""

_encoder = msgspec.json.Encoder()
_ANSWERS = {"binary": ["score"], "regression": ["value"], "multiclass": ["class", "probabilities"]}
"""The members that say what the model answers, by task."""
_OMITTED = msgspec.Raw(b'["features","fields"]')
_OWN_HEADERS: Headers = [("content-type", CONTENT_TYPE.encode()), ("riverrun.schema", SCHEMA.encode())]


class ModelStamp(msgspec.Struct, frozen=True, kw_only=True):
    """The model behind a score."""

    name: str
    version: str
    digest: str | None
    """SHA-256 of the model, hexadecimal; None for rules."""
    variant: str


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a score is as it is."""

    code: str
    contribution: float | None = None
    """What a feature adds to the raw score; None for a rule."""


@dataclass(frozen=True, slots=True)
class PredictionBatch:
    """n scored events; every array has n rows."""

    topic: str
    """The events topic; partitions and offsets stand in `events.positions`."""
    events: EventBatch
    scores: Floats
    """Shape (n,), or (n, classes); finite."""
    sources: Ints
    """`Source` of each score."""
    models: Sequence[ModelStamp]
    """By `Source`."""
    decisions: Decisions
    causes: Ints
    """`Cause` masks."""
    freshness: Floats
    """How far the rows are behind, in ms, or in steps under sequence time; NaN where unknown."""
    reasons: Mapping[int, Sequence[Reason]]
    """Of the events that have any."""
    matrix: Floats
    """Features as served in model order, shape (n, features); NaN is missing."""
    columns: Mapping[str, Column]
    """Fields and features by name; read for `output.include`."""
    scored_at: int
    """ms since the epoch."""


class _Origin(msgspec.Struct, gc=False):
    topic: msgspec.Raw
    """And the partition."""
    offset: int


class _Alike(NamedTuple):
    """What events say from the decision to the degradations: before the reasons, after them, without."""

    before: bytes
    after: bytes
    whole: msgspec.Raw


class PredictionEncoder:
    """Encodes batches of one use case."""

    def __init__(self, definition: Definition, *, message_bytes_max: int) -> None:
        """message_bytes_max: a larger message leaves out features and fields; `MESSAGE_BYTES_MIN` or more."""
        if message_bytes_max < MESSAGE_BYTES_MIN:
            raise ValueError(
                f"message_bytes_max is {message_bytes_max}; a prediction needs {MESSAGE_BYTES_MIN}"
            )
        self._definition = definition
        self._message_bytes_max = message_bytes_max
        self._features = _row_struct(definition.feature_names)
        self._fields = _row_struct(definition.output.include)
        self._classes = class_names(definition)
        self._probabilities = _row_struct(self._classes)
        # One more than there are decisions, so that place -1 finds null.
        self._decisions = [*(_encoder.encode(case.decision) for case in definition.decisions), b"null"]
        self._head = msgspec.Raw(_members(schema=SCHEMA, use_case=definition.name)[len(b'"schema":') :])
        extras = {"fields": bool(definition.output.include), "features": definition.output.features > 0}
        self._extras = [name for name, wanted in extras.items() if wanted]
        self._models: Sequence[ModelStamp] = ()
        self._alike: dict[int, _Alike] = {}
        """By the code of a combination, for `_models`."""
        self._message = _message_struct(
            ["schema", "event_id", "entity_key", "event_time", *_ANSWERS[definition.task], "decision"],
            ["freshness_steps" if definition.time.is_sequence else "freshness_ms", "origin", "scored_at"],
            [*self._extras, "omitted"],
        )

    def encode(self, batch: PredictionBatch) -> list[bytes]:
        """One message per event, in order; none has more than the limit's bytes."""
        if not np.isfinite(batch.scores).all():
            raise ValueError("scores must be finite; where a model's are not, another one answers")
        predictions = self._predictions(batch)
        lines = _encoder.encode_lines(predictions)
        messages = lines.split(b"\n")[:-1]
        if len(lines) > self._message_bytes_max:  # else none can be
            for i, message in enumerate(messages):
                if len(message) > self._message_bytes_max:
                    messages[i] = self._without_extras(predictions[i])
        return messages

    def _predictions(self, batch: PredictionBatch) -> list[Any]:
        events = batch.events
        columns = {"fields": self._field_rows, "features": self._feature_rows}
        return list(
            map(
                self._message,
                repeat(self._head),
                events.ids,
                events.keys[self._definition.topic_entity.name],
                events.times.tolist(),
                *self._answers(batch.scores),
                self._verdicts(batch),
                _whole_or_null(batch.freshness),
                _origins(batch),
                repeat(batch.scored_at),
                *(columns[name](batch) for name in self._extras),
            )
        )

    def _answers(self, scores: Floats) -> list[list[Any]]:
        """The columns of `_ANSWERS`."""
        if self._definition.task != "multiclass":
            return [scores.tolist()]
        probabilities = [self._probabilities(*row) for row in scores.tolist()]
        return [_pick(self._classes, predicted_class(scores)), probabilities]

    def _verdicts(self, batch: PredictionBatch) -> list[msgspec.Raw]:
        """From the decision to the degradations: alike for all events but those with reasons, but for few."""
        if batch.models is not self._models or len(self._alike) > ALIKE_MAX:
            self._models, self._alike = batch.models, {}
        decided, control = batch.decisions.index, batch.decisions.control
        codes = ((batch.causes * len(Source) + batch.sources) * 2 + control) * len(self._decisions) + decided
        numbers = codes.tolist()
        for code in set(numbers) - self._alike.keys():
            self._alike[code] = self._alike_as(batch, numbers.index(code))
        verdicts = [self._alike[code].whole for code in numbers]
        for i, given in batch.reasons.items():
            alike = self._alike[numbers[i]]
            verdicts[i] = msgspec.Raw(alike.before + _encoder.encode(given) + alike.after)
        return verdicts

    def _alike_as(self, batch: PredictionBatch, i: int) -> "_Alike":
        source = Source(int(batch.sources[i]))
        degradations = cause_names(int(batch.causes[i]))
        after = _members(model=batch.models[source], source=source.name.lower(), degradations=degradations)
        control = _members(control=bool(batch.decisions.control[i]))
        before = self._decisions[int(batch.decisions.index[i])] + b"," + control + b',"reasons":'
        return _Alike(before, b"," + after, msgspec.Raw(before + b"[]," + after))

    def _without_extras(self, prediction: Any) -> bytes:
        for name in self._extras:
            setattr(prediction, f"{name}_", msgspec.UNSET)
        prediction.omitted_ = _OMITTED
        return _encoder.encode(prediction)

    def _feature_rows(self, batch: PredictionBatch) -> Any:
        share = self._definition.output.features
        rows: list[Any] = [msgspec.UNSET] * len(batch.events)
        chosen = np.flatnonzero(drawn(batch.events.hashes, share, Draw.FEATURES))
        for i, row in zip(chosen.tolist(), batch.matrix[chosen].tolist(), strict=True):
            rows[i] = self._features(*row)
        return rows

    def _field_rows(self, batch: PredictionBatch) -> Any:
        names, columns = self._definition.output.include, batch.columns
        types = {field.name: field.type for field in self._definition.fields}
        return list(map(self._fields, *[_plain(columns[name], types[name]) for name in names]))


def shortened(message: bytes, bytes_max: int) -> bytes | None:
    """An encoded prediction without features and fields, or without reasons too; None where none fits."""
    data = msgspec.json.decode(message)
    for extra in ("features", "fields"):
        data.pop(extra, None)
    data["omitted"] = ["features", "fields"]
    without_extras = _encoder.encode(data)
    if len(without_extras) <= bytes_max:
        return without_extras
    data["reasons"], data["omitted"] = [], ["features", "fields", "reasons"]
    least = _encoder.encode(data)
    return least if len(least) <= bytes_max else None


def prediction_headers(source: Headers) -> Headers:
    """The headers of a prediction: what it is, and the trace context of the record it answers."""
    if not source:
        return _OWN_HEADERS
    if len(source) == 1:  # and mostly that is what there is
        name, value = source[0]
        if name == "traceparent" and value is not None and len(value) <= TRACE_HEADER_BYTES_MAX:
            return _OWN_HEADERS + source
    headers = [*_OWN_HEADERS]
    given = dict(reversed(source))  # of a repeated name the first
    for name in ("traceparent", "tracestate"):
        value = given.get(name)
        if value is not None and len(value) <= TRACE_HEADER_BYTES_MAX:
            headers.append((name, value))
    return headers


def _row_struct(names: Sequence[str]) -> Any:
    """A Struct whose attributes are written under `names`, whatever characters these hold."""
    fields = [(f"f{i}", Any, msgspec.field(name=name)) for i, name in enumerate(names)]
    return msgspec.defstruct("Row", fields, gc=False)


def _message_struct(*names: Sequence[str]) -> Any:
    """A Struct with these members in their order, of which the last may be left out."""
    flat = [name for some in names for name in some]
    renamed = {f"{name}_": name for name in flat}
    fields: list[Any] = [(f"{name}_", Any) for name in flat[:-1]]
    return msgspec.defstruct(
        "Prediction", [*fields, (f"{flat[-1]}_", Any, msgspec.UNSET)], rename=renamed, gc=False
    )


def _members(**values: Any) -> bytes:
    """Members of an object as they stand between its braces."""
    return _encoder.encode(values)[1:-1]


def _pick(choices: Sequence[Any], index: Ints | Bools) -> list[Any]:
    return list(map(choices.__getitem__, index.tolist()))


def _whole_or_null(ages: Floats) -> Any:
    if not ages.any():
        return repeat(0)
    return [None if age != age else int(age) for age in ages.tolist()]


def _origins(batch: PredictionBatch) -> list[_Origin]:
    partitions = position_partitions(batch.events.positions).tolist()
    offsets = position_offsets(batch.events.positions).tolist()
    places = {
        partition: msgspec.Raw(_members(topic=batch.topic, partition=partition)[len(b'"topic":') :])
        for partition in set(partitions)
    }
    return list(map(_Origin, map(places.__getitem__, partitions), offsets))


def _plain(column: Column, type_: str) -> list[Any]:
    """A column as JSON values of its field's type."""
    values: list[Any] = column.tolist()
    if type_ in ("string", "float64"):
        return values
    convert = bool if type_ == "bool" else int
    return [None if value != value else convert(value) for value in values]
