"""The contracts of what goes out: predictions and dead letters."""

from features.definition.model import Definition, Field
from models.decision import class_names
from stream.contracts.schema import FIELD_TYPES, JsonSchema, document, nullable
from stream.pipeline.causes import Cause, Source
from stream.pipeline.encode import SCHEMA
from stream.pipeline.rejected import RejectReason
from stream.pipeline.validate import ID_BYTES_MAX

DEAD_LETTER_SCHEMA = "riverrun.deadletter/1"

_TEXT: JsonSchema = {"type": "string"}
_COUNT: JsonSchema = {"type": "integer", "minimum": 0}
_NUMBER: JsonSchema = {"type": "number"}
_NUMBER_OR_NULL: JsonSchema = {"type": ["number", "null"]}
_CAUSES = ", ".join(cause.name.lower() for cause in Cause if cause.name is not None)
_REASON: JsonSchema = {
    "type": "object",
    "properties": {
        "code": _TEXT | {"description": "A feature's name, or the reason of a rule."},
        "contribution": {"type": "number", "description": "What the feature adds to the raw score."},
    },
    "required": ["code"],
}
_MODEL: JsonSchema = {
    "type": "object",
    "properties": {
        "name": _TEXT,
        "version": _TEXT,
        "digest": {"type": ["string", "null"], "description": "SHA-256 of the model; null for rules."},
        "variant": _TEXT | {"description": "Its part in the deployment, such as champion."},
    },
    "required": ["name", "version", "digest", "variant"],
}
_ORIGIN: JsonSchema = {
    "type": "object",
    "description": "Where the event stands.",
    "properties": {"topic": _TEXT, "partition": _COUNT, "offset": _COUNT},
    "required": ["topic", "partition", "offset"],
}
_FRESHNESS: JsonSchema = {"type": ["integer", "null"], "minimum": 0}
_PREDICTION_OPTIONAL = frozenset(
    {
        "score",
        "value",
        "class",
        "probabilities",
        "freshness_ms",
        "freshness_steps",
        "fields",
        "features",
        "omitted",
    }
)
_PREDICTION: dict[str, JsonSchema] = {
    "schema": {"const": SCHEMA},
    "use_case": _TEXT,
    "event_id": _TEXT
    | {
        "minLength": 1,
        "maxLength": ID_BYTES_MAX,
        "description": "Unique per event: of several predictions keep the first.",
    },
    "entity_key": {"type": ["string", "null"], "description": "The key of the events topic's entity."},
    "event_time": {"type": "integer", "description": "ms since the epoch, or the sequence number."},
    "score": {"type": "number", "description": "Binary: the probability of the positive class."},
    "value": {"type": "number", "description": "Regression: the predicted value."},
    "class": _TEXT | {"description": "Multiclass: the most probable class."},
    "probabilities": {"type": "object", "additionalProperties": {"type": "number"}},
    "decision": {"type": ["string", "null"], "description": "Null where no case of the decisions holds."},
    "control": {"type": "boolean", "description": "Let through against the policy, to learn its label."},
    "reasons": {"type": "array", "items": _REASON},
    "model": _MODEL,
    "source": {"enum": [source.name.lower() for source in Source], "description": "Who answered."},
    "degradations": {
        "type": "array",
        "items": _TEXT,
        "description": f"Why the prediction is less than it could be. So far: {_CAUSES}.",
    },
    "freshness_ms": _FRESHNESS
    | {"description": "How far the features are behind; null where unknown. Absent under sequence time."},
    "freshness_steps": _FRESHNESS | {"description": "The same under sequence time, in offsets."},
    "origin": _ORIGIN,
    "scored_at": {"type": "integer", "description": "ms since the epoch."},
    "fields": {"type": "object", "description": "Fields of the event that the use case includes."},
    "features": {
        "type": "object",
        "additionalProperties": _NUMBER_OR_NULL,
        "description": "As served, in model order; null is missing. Floats read back as the same float64.",
    },
    "omitted": {
        "type": "array",
        "items": _TEXT,
        "description": "What was left out because the message would have been too large.",
    },
}


def prediction_schema(definition: Definition | None = None) -> JsonSchema:
    """What is written: for every use case, or more narrowly for one."""
    schema = document(
        SCHEMA,
        "The value of a record of the predictions topic. Readers ignore fields and degradations they do "
        "not know: within a major version changes only add.",
        _PREDICTION,
        [name for name in _PREDICTION if name not in _PREDICTION_OPTIONAL],
    )
    answers = [["score"], ["value"], ["class", "probabilities"]]
    if definition is None:
        return schema | {"anyOf": [{"required": answer} for answer in answers]}
    schema["title"] = f"{definition.name}: prediction"
    schema["properties"] = _PREDICTION | _narrowed(definition)
    schema["required"] += answers[["binary", "regression", "multiclass"].index(definition.task)]
    return schema


def dead_letter_schema() -> JsonSchema:
    """The headers of a dead letter, as an object of header names and their text."""
    number = {"type": "string", "pattern": "^-?[0-9]+$"}
    reasons = ", ".join(reason.value for reason in RejectReason)
    cut = _TEXT | {
        "pattern": "^sha256=[0-9a-f]{64} bytes=[0-9]+$",
        "description": "Of the original value; there only where the record was too large for the topic and "
        "was cut: first its value, then its own headers, then its key.",
    }
    required = {
        "riverrun.reason": _TEXT | {"description": f"Why the record was rejected. So far: {reasons}."},
        "riverrun.field": _TEXT | {"description": "The field at fault; empty where it is the whole value."},
        "riverrun.detail": _TEXT | {"description": "A sentence for people. It quotes no value."},
        "riverrun.use_case": _TEXT,
        "riverrun.topic": _TEXT | {"description": "The topic the record stands in."},
        "riverrun.partition": number,
        "riverrun.offset": number,
        "riverrun.timestamp": number | {"description": "The record's, in ms since the epoch; -1 for none."},
    }
    replayed = {
        "riverrun.replayed.topic": _TEXT
        | {"description": "Where the dead letter stood that this record was replayed from."},
        "riverrun.replayed.partition": number,
        "riverrun.replayed.offset": number,
        "riverrun.replayed.count": number | {"description": "How often the record was replayed."},
    }
    return document(
        DEAD_LETTER_SCHEMA,
        "The headers that a record of the dead-letter topic has after its original ones, each UTF-8 text; of "
        "a name that occurs twice the last is meant. Key and value are the original bytes. A record that was "
        "replayed carries `riverrun.replayed.…` among its own headers, and so does its next dead letter.",
        required | {"riverrun.cut": cut} | replayed,
        list(required),
    )


def _narrowed(definition: Definition) -> dict[str, JsonSchema]:
    """What one use case's predictions hold to beyond the general contract."""
    cases = [case.decision for case in definition.decisions]
    features = dict.fromkeys(definition.feature_names, _NUMBER_OR_NULL)
    fields = {name: nullable(_plain_field(definition.field(name))) for name in definition.output.include}
    narrowed: dict[str, JsonSchema] = {
        "use_case": {"const": definition.name},
        "decision": {"enum": list(dict.fromkeys([*cases, None]))},
        "fields": {"type": "object", "properties": fields, "required": list(fields)},
        "features": {"type": "object", "properties": features, "required": list(features)},
    }
    classes = class_names(definition)
    if classes:
        shares = dict.fromkeys(classes, _NUMBER)
        narrowed["class"] = {"enum": list(classes)}
        narrowed["probabilities"] = {"type": "object", "properties": shares, "required": list(classes)}
    return narrowed


def _plain_field(field: Field) -> JsonSchema:
    """A field as predictions carry it."""
    return {"type": "integer"} if field.type == "timestamp" else {"type": FIELD_TYPES[field.type]["type"]}
