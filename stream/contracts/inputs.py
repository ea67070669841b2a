"""The contracts of what comes in: events and labels."""

from features.definition.model import Definition, Field, RecordLabel, RowKind
from features.timestamps import PATTERN, TIME_END_MS
from models.decision import class_names
from stream.contracts.schema import FIELD_TYPES, JsonSchema, document, nullable
from stream.pipeline.decode import time_unit
from stream.pipeline.validate import ID_BYTES_MAX, KEY_BYTES_MAX, SEQUENCE_MAX, required_fields

_ID: JsonSchema = {"type": "string", "minLength": 1, "maxLength": ID_BYTES_MAX}


def event_schema(definition: Definition) -> JsonSchema:
    """What is read as an event of the use case; everything else becomes a dead letter."""
    required = required_fields(definition)
    return document(
        f"{definition.name}: event",
        "The value of a record of the events topic. Fields that are not listed are ignored; null is the "
        "same as absent.",
        {f.name: _event_field(f, definition, f.name in required) for f in definition.fields},
        [field.name for field in definition.fields if field.name in required],
    )


def label_schema(definition: Definition) -> JsonSchema:
    """What is read as a label of the use case. Raises `ValueError` where labels are no records."""
    if not isinstance(definition.label, RecordLabel):
        raise ValueError(f"{definition.name} derives its labels or has none; it reads no labels topic")
    labelled = [row.entity for row in definition.rows if row.kind is RowKind.LABELS]
    time = _time(definition)
    key = {"type": ["string", "null"], "description": f"At most {KEY_BYTES_MAX} bytes of UTF-8."}
    entities = {
        "type": ["object", "null"],
        "description": "Entity keys by the entity's name.",
        "properties": dict.fromkeys(labelled, key),
        "additionalProperties": {"type": ["string", "null"]},
    }
    return document(
        f"{definition.name}: label",
        "The value of a record of the labels topic, keyed by the event id. Of several labels of one event "
        "the one observed last counts. With event_time and entities the label enters windows over labels "
        "at once.",
        {
            "event_id": _ID | {"description": "As in the prediction."},
            "label": _label(definition),
            "observed_at": time | {"description": f"When the label became known. {time['description']}"},
            "event_time": nullable(time) | {"description": f"The event's own. {time['description']}"},
            "entities": entities,
        },
        ["event_id", "label", "observed_at"],
    )


def _event_field(field: Field, definition: Definition, required: bool) -> JsonSchema:
    is_time = field.name == definition.time.field
    schema = _time(definition) if is_time or field.type == "timestamp" else dict(FIELD_TYPES[field.type])
    if field.name in definition.id_fields and field.type == "string":
        schema |= _ID
    notes = [schema["description"]] if "description" in schema else []
    notes += ["Personal."] if field.personal else []
    if field.minimum is not None or field.maximum is not None:
        if field.out_of_range == "reject":
            schema |= {
                k: v for k, v in (("minimum", field.minimum), ("maximum", field.maximum)) if v is not None
            }
        else:
            verb = "clipped" if field.out_of_range == "clip" else "marked as a degradation"
            notes.append(f"Outside {_range(field)} it is {verb}.")
    if field.default is not None:
        schema["default"] = bool(field.default) if field.type == "bool" else field.default
    if notes:
        schema["description"] = " ".join(notes)
    return schema if required else nullable(schema)


def _time(definition: Definition) -> JsonSchema:
    """An event time as the use case writes it."""
    if definition.time.is_sequence:
        text = f"The number of the event in its {definition.time.per}."
        return {"type": "integer", "minimum": -SEQUENCE_MAX, "maximum": SEQUENCE_MAX, "description": text}
    unit = time_unit(definition)
    if unit == "iso8601":
        text = f"ISO 8601, from 1970 on; without a zone it is local time of {definition.timezone}."
        return {"type": "string", "pattern": f"^{PATTERN}$", "description": text}
    scale, name = {"s": (1, "seconds"), "ms": (1000, "milliseconds"), "us": (1_000_000, "microseconds")}[unit]
    end = TIME_END_MS // 1000 * scale
    kind = "integer" if unit == "us" else "number"
    return {"type": kind, "minimum": 0, "exclusiveMaximum": end, "description": f"In {name} since the epoch."}


def _label(definition: Definition) -> JsonSchema:
    classes = class_names(definition)
    if classes:
        return {"enum": list(classes)}
    return {"enum": [0, 1, False, True]} if definition.task == "binary" else {"type": "number"}


def _range(field: Field) -> str:
    low = "…" if field.minimum is None else f"{field.minimum:g}"
    high = "…" if field.maximum is None else f"{field.maximum:g}"
    return f"{low} to {high}"
