"""Golden inputs: an event and the bytes of its rows, enough to compute its features anywhere; JSON data."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from features.arrays import Column, Floats, Ints
from features.codec import encode_entries, take_entries
from features.definition.model import Definition, RowKind
from features.event import EventBatch, hash_ids
from features.history import History
from features.matrix import FeaturePlan
from features.rows import RowId, assemble_rows, history_rows, request_rows

GoldenInput = dict[str, Any]


def golden_inputs(definition: Definition, history: History, index: Ints) -> list[GoldenInput]:
    """The events at `index` with every entry of their rows that came before them and is within reach."""
    events = history.events
    labelled = {row.entity for row in definition.rows if row.kind is RowKind.LABELS}
    rows = history_rows(definition, events, {name: history.label_entries(name) for name in labelled})
    return [
        {
            "id": events.ids[at],
            "time": int(events.times[at]),
            "position": int(events.positions[at]),
            "fields": {name: _plain(column[at]) for name, column in events.columns.items()},
            "keys": {name: keys[at] for name, keys in events.keys.items()},
            "rows": {
                f"{entity}/{kind.value}": base64.b64encode(
                    _row_bytes(definition, events, rows, (entity, kind), at)
                ).decode()
                for entity, kind in rows
            },
        }
        for at in index.tolist()
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
