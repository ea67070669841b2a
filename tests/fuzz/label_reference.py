"""Which records are labels, worked out a value at a time in plain Python."""

from typing import Any

from features.definition.model import Definition, RecordLabel, RowKind
from tests.fuzz.event_reference import (
    ID_BYTES_MAX,
    KEY_BYTES_MAX,
    Pairs,
    PlainRecord,
    Wrong,
    float64,
    read_json,
    text,
    time_of,
    typed,
)


def plain_label(
    definition: Definition, value: bytes | None, latest: int | None, *, lenient: bool
) -> PlainRecord | None:
    """The label in a record's value, its columns `label`, `observed_at` and `complete`."""
    try:
        return _label(definition, read_json(value, lenient), latest)
    except Wrong:
        return None


def _label(definition: Definition, pairs: Pairs, latest: int | None) -> PlainRecord:
    assert isinstance(definition.label, RecordLabel)
    held: dict[str, Any] = dict.fromkeys(("event_id", "label", "observed_at", "event_time", "entities"))
    for name, found in pairs:
        if name in held:
            held[name] = None if found is None else _label_field(definition, name, found)
    if held["event_id"] in (None, "") or held["label"] is None or held["observed_at"] is None:
        raise Wrong
    times = {}
    for name in ("observed_at", "event_time"):
        times[name] = 0 if held[name] is None else time_of(definition, held[name])
        if latest is not None and not definition.time.is_sequence and times[name] > latest:
            raise Wrong
    label = held["label"]
    if definition.task == "multiclass":
        if label not in definition.label.classes:
            raise Wrong
        label = definition.label.classes.index(label)
    elif definition.task == "binary" and label not in (0, 1):
        raise Wrong
    wanted = [row.entity for row in definition.rows if row.kind is RowKind.LABELS]
    entities = held["entities"]
    keys = {name: (entities or {}).get(name) for name in wanted}
    too_long = any(len((key or "").encode()) > KEY_BYTES_MAX for key in keys.values())
    if too_long or len(held["event_id"].encode()) > ID_BYTES_MAX:
        raise Wrong
    complete = entities is not None and set(wanted) <= entities.keys() and held["event_time"] is not None
    columns = {"label": float(label), "observed_at": times["observed_at"], "complete": complete}
    return PlainRecord(held["event_id"], times["event_time"], columns, keys)


def _label_field(definition: Definition, name: str, found: Any) -> Any:
    if name == "event_id":
        return text(found)
    if name == "entities":
        if not isinstance(found, Pairs):
            raise Wrong
        return {text(entity): None if key is None else text(key) for entity, key in found}
    if name == "label":
        if definition.task == "multiclass":
            return text(found)
        is_truth = definition.task == "binary" and isinstance(found, bool)
        return found if is_truth else float64(found)
    time_field = next(field for field in definition.fields if field.name == definition.time.field)
    return typed(definition, time_field, found)
