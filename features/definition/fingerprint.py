"""What of a definition may change apart from the rest, each part as a SHA-256.

`state` is what rows in the online store hold, `features` what the model sees, `policy` what is done with
events and scores. They are taken of normalised values, so that layout, comments, the order of keys and
defaults written out change nothing. `FORMAT` is part of each: change it when the meaning changes, and keep
what the format before it gave, by which bundles and rows made with that are still known.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from features.definition.model import (
    LABEL_COLUMN,
    CategoryFeature,
    Definition,
    FieldFeature,
    Fingerprints,
    LookupFeature,
    RowSchema,
    SqlFeature,
    WindowFeature,
)
from features.expression import Expression

FORMAT = 2


def fingerprints(definition: Definition, form: int = FORMAT) -> Fingerprints:
    """The fingerprints of a definition, whatever its own say.

    form: `FORMAT`, or 1, which knew of rows only what they keep of an event.
    """
    if form not in (1, FORMAT):
        raise ValueError(f"fingerprints of format {form} are not known")
    return Fingerprints(
        state=_digest(form, _state(definition, form)),
        features=_digest(form, _features(definition, form)),
        policy=_digest(form, _policy(definition)),
    )


def _state(definition: Definition, form: int) -> dict[str, Any]:
    """Entities with rows, what the rows keep, how it is read off the event, and for how long."""
    used = {row.entity for row in definition.rows}
    entities = {entity.name: entity.fields for entity in definition.entities if entity.name in used}
    names = {name for parts in entities.values() for name in parts} | {
        *definition.id_fields,
        *_time_fields(definition),
    }
    for row in definition.rows:
        names |= _column_fields(definition, row.columns)
    return {
        "time": definition.time,
        "timezone": definition.timezone,
        "id": definition.id_fields,
        "fields": _fields(definition, names),
        "entities": entities,
        "rows": [_row(row, form) for row in definition.rows],
        "retention": definition.retention,
        "grace": definition.grace,
    }


def _row(row: RowSchema, form: int) -> dict[str, Any]:
    """A schema, without its delay: that moves when entries are folded, not what a row then means."""
    kept: dict[str, Any] = {"entity": row.entity, "kind": row.kind, "columns": row.columns}
    if form == 1:
        return kept
    return kept | {
        "conditions": row.conditions,
        "exact": row.exact,
        "resolution": row.resolution,
        "reach": row.reach,
    }


def _features(definition: Definition, form: int) -> dict[str, Any]:
    """The features in model order, and everything that gives them their values."""
    entities = {entity.name: entity.fields for entity in definition.entities}
    keyed = [f for f in definition.features if isinstance(f, WindowFeature | LookupFeature)]
    used = {feature.entity: entities[feature.entity] for feature in keyed}
    names = {name for parts in used.values() for name in parts} | set(_time_fields(definition))
    for feature in definition.features:
        if isinstance(feature, FieldFeature | CategoryFeature):
            names.add(feature.name)
        elif isinstance(feature, SqlFeature):
            names |= feature.expression.names
    for window in definition.windows:
        names |= _column_fields(
            definition, [name for name in (window.column, window.where) if name is not None]
        )
    # What a window says of a busy entity depends on how its rows are folded.
    edges = [[row.entity, row.kind, row.exact, row.resolution] for row in definition.rows]
    return ({} if form == 1 else {"edges": edges}) | {
        "time": definition.time,
        "timezone": definition.timezone,
        "fields": _fields(definition, names),
        "entities": used,
        "features": [[type(feature).__name__, feature] for feature in definition.features],
    }


def _policy(definition: Definition) -> dict[str, Any]:
    return {
        "task": definition.task,
        "score_when": definition.score_when,
        "rules": definition.rules,
        "decisions": definition.decisions,
        "control": definition.control,
    }


def _time_fields(definition: Definition) -> tuple[str, ...]:
    time = definition.time
    return (time.field,) if time.per is None else (time.field, time.per)


def _column_fields(definition: Definition, columns: Iterable[str]) -> set[str]:
    """The fields that row columns are made of."""
    names: set[str] = set()
    for column in columns:
        condition = definition.row_conditions.get(column)
        names |= condition.names if condition is not None else {column}
    return names - {LABEL_COLUMN}


def _fields(definition: Definition, names: Iterable[str]) -> dict[str, Any]:
    """Fields by name, without what does not touch their values. Names of features are passed over."""
    chosen = set(names)
    return {
        field.name: [
            *(field.type, field.minimum, field.maximum, field.missing, field.out_of_range),
            *([] if field.default is None else [field.default]),
        ]
        for field in definition.fields
        if field.name in chosen
    }


def _digest(form: int, part: Mapping[str, Any]) -> str:
    text = json.dumps(
        _plain({"format": form, **part}), sort_keys=True, separators=(",", ":"), allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """A value as JSON's: an expression is its text, NaN is null."""
    if isinstance(value, Expression):
        return value.text
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
