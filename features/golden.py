"""Golden inputs: an event and the bytes of its rows, enough to compute its features anywhere; JSON data."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from features.arrays import Column, Floats, Ints
from features.codec import encode_entries, take_entries
from features.definition.model import Definition, FieldFeature, RowKind, SqlFeature
from features.event import EventBatch, hash_ids
from features.history import History
from features.matrix import FeaturePlan
from features.rows import RowId, assemble_rows, history_rows, request_rows

GoldenInput = dict[str, Any]


def golden_inputs(definition: Definition, history: History, index: Ints) -> list[GoldenInput]:
    """The events at `index` with every entry of their rows that came before them and is within reach.

    Bundles travel, so entity keys are numbered anew, and so are ids with a personal part; personal fields
    that nothing reads are left out.
    """
    events = history.events
    shown = [f.name for f in definition.fields if not f.personal or f.name in read_fields(definition)]
    labelled = {row.entity for row in definition.rows if row.kind is RowKind.LABELS}
    rows = history_rows(definition, events, {name: history.label_entries(name) for name in labelled})
    ids = _case_ids(definition, events, index)
    return [
        {
            "id": ids[case],
            "time": int(events.times[at]),
            "position": int(events.positions[at]),
            "fields": {
                name: _plain(events.columns[name][at]) if name in shown else None for name in events.columns
            },
            "keys": {
                name: None if keys[at] is None else f"{name}-{case}" for name, keys in events.keys.items()
            },
            "rows": {
                f"{entity}/{kind.value}": base64.b64encode(
                    _row_bytes(definition, events, rows, (entity, kind), at)
                ).decode()
                for entity, kind in rows
            },
        }
        for case, at in enumerate(index.tolist())
    ]


def golden_matrix(definition: Definition, inputs: Sequence[GoldenInput]) -> tuple[EventBatch, Floats]:
    """The events of golden inputs, and their features evaluated anew: shape (cases, features)."""
    plan = FeaturePlan(definition)
    events = _events(definition, inputs)
    parts = []
    for at, case in enumerate(inputs):
        event = events.take(np.array([at]))
        request = request_rows(definition, event)
        stored = [
            base64.b64decode(case["rows"][f"{schema.entity}/{schema.kind.value}"])
            for schema in definition.rows
            if request.indexes[schema.entity].keys
        ]
        rows, _ = assemble_rows(definition, event, request, stored, {})
        parts.append(plan.matrix(event, rows))
    return events, np.concatenate(parts) if parts else np.empty((0, len(plan.names)))


def read_fields(definition: Definition) -> set[str]:
    """The fields that features, rows, rules or decisions read."""
    expressions = [
        *(feature.expression for feature in definition.features if isinstance(feature, SqlFeature)),
        *definition.row_conditions.values(),
        *(rule.when for rule in definition.rules if rule.when is not None),
        *(case.when for case in definition.decisions if case.when is not None),
    ]
    names = {name for expression in expressions for name in expression.names}
    names |= {feature.name for feature in definition.features if isinstance(feature, FieldFeature)}
    return names | {column for schema in definition.rows for column in schema.columns}


def _case_ids(definition: Definition, events: EventBatch, index: Ints) -> list[str]:
    """Distinct ids for the cases; a new one is none of the history's, whose entries stay as they are."""
    if not any(definition.field(name).personal for name in definition.id_fields):
        return [events.ids[at] for at in index.tolist()]
    prefix = "case"
    while True:
        ids = [f"{prefix}-{case}" for case in range(len(index))]
        if not np.isin(hash_ids(ids), events.hashes).any():
            return ids
        prefix += "-"


def _row_bytes(
    definition: Definition, events: EventBatch, rows: Mapping[RowId, Any], row_id: RowId, at: int
) -> bytes:
    held = rows[row_id]
    row = held.of_event[at]
    if row < 0:
        return b""
    entries = take_entries(held.entries, held.entries.row == row)
    before = (entries.times <= events.times[at]) & (entries.ids != events.hashes[at])
    if all(window.span.kind == "time" for window in definition.windows):
        before &= entries.times > events.times[at] - definition.retention
    entries = take_entries(entries, before)
    return encode_entries(entries.times, entries.ids, entries.marks, entries.values)


def _events(definition: Definition, inputs: Sequence[GoldenInput]) -> EventBatch:
    ids = [case["id"] for case in inputs]
    columns: dict[str, Column] = {}
    for field in definition.fields:
        values = [case["fields"][field.name] for case in inputs]
        if field.type == "string":
            columns[field.name] = np.array(values, dtype=object)
        else:
            columns[field.name] = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    return EventBatch(
        ids=ids,
        hashes=hash_ids(ids),
        times=np.array([case["time"] for case in inputs], dtype=np.int64),
        positions=np.array([case["position"] for case in inputs], dtype=np.uint64),
        columns=columns,
        keys={entity.name: [case["keys"][entity.name] for case in inputs] for entity in definition.entities},
    )


def _plain(value: Any) -> Any:
    """A field's value as JSON has it: text, number or null."""
    if value is None or isinstance(value, str):
        return value
    return None if np.isnan(value) else float(value)
