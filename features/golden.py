"""Golden inputs: an event and the bytes of its rows, enough to compute its features anywhere; JSON data."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from features.arrays import Column, Floats, Ints
from features.categories import NO_CATEGORIES, Categories
from features.codec import encode_entries, take_entries
from features.codec_v1 import from_v1
from features.compaction import compact_row
from features.definition.model import (
    CategoryFeature,
    Definition,
    FieldFeature,
    RowKind,
    RowSchema,
    SqlFeature,
)
from features.event import EventBatch, hash_ids
from features.keys import LAYOUT
from features.matrix import FeaturePlan
from features.past.history import History
from features.rows import Rows, assemble_rows, history_rows, request_rows

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
    lookups = history.take(index).lookup_columns()
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
            "layout": LAYOUT,
            "rows": {
                f"{schema.entity}/{schema.kind.value}": base64.b64encode(
                    _row_bytes(definition, events, rows[schema.entity, schema.kind], schema, at)
                ).decode()
                for schema in definition.rows
            },
            "lookups": {name: _plain(column[case]) for name, column in lookups.items()},
        }
        for case, at in enumerate(index.tolist())
    ]


def golden_matrix(
    definition: Definition, inputs: Sequence[GoldenInput], categories: Categories = NO_CATEGORIES
) -> tuple[EventBatch, Floats]:
    """The events of golden inputs, and their features evaluated anew: shape (cases, features)."""
    plan = FeaturePlan(definition, categories)
    events = _events(definition, inputs)
    parts = []
    for at, case in enumerate(inputs):
        event = events.take(np.array([at]))
        request = request_rows(definition, event)
        stored = [_stored(case, schema) for schema in definition.rows if request.indexes[schema.entity].keys]
        rows, _ = assemble_rows(definition, event, request, stored, {})
        lookups = {name: _numbers([value]) for name, value in case.get("lookups", {}).items()}
        parts.append(plan.matrix(event, rows, lookups=lookups))
    return events, np.concatenate(parts) if parts else np.empty((0, len(plan.names)))


def _stored(case: GoldenInput, schema: RowSchema) -> bytes:
    """The bytes of a case's row. Before cases said their layout it was the first."""
    row = base64.b64decode(case["rows"][f"{schema.entity}/{schema.kind.value}"])
    return row if case.get("layout", 1) == LAYOUT else from_v1(schema, row)


def read_fields(definition: Definition) -> set[str]:
    """The fields that features, rows, rules or decisions read."""
    expressions = [
        *(feature.expression for feature in definition.features if isinstance(feature, SqlFeature)),
        *definition.row_conditions.values(),
        *(rule.when for rule in definition.rules if rule.when is not None),
        *(case.when for case in definition.decisions if case.when is not None),
    ]
    names = {name for expression in expressions for name in expression.names}
    taken = (FieldFeature, CategoryFeature)
    names |= {feature.name for feature in definition.features if isinstance(feature, taken)}
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


def _row_bytes(definition: Definition, events: EventBatch, held: Rows, schema: RowSchema, at: int) -> bytes:
    row = held.of_event[at]
    if row < 0:
        return b""
    entries = take_entries(held.entries, held.entries.row == row)
    before = (entries.times <= events.times[at]) & (entries.ids != events.hashes[at])
    if all(window.span.kind == "time" for window in definition.windows):
        # An edge among tiles is displaced to the beginning of its tile.
        before &= entries.times > events.times[at] - schema.reach - schema.resolution
    entries = take_entries(entries, before)
    data = encode_entries(entries.times, entries.ids, entries.marks, entries.values)
    if len(entries) <= 2 * schema.exact:
        return data
    shorter = compact_row(schema, data, watermark=int(events.times[at]))
    return data if shorter is None else shorter.data


def _events(definition: Definition, inputs: Sequence[GoldenInput]) -> EventBatch:
    ids = [case["id"] for case in inputs]
    columns: dict[str, Column] = {}
    for field in definition.fields:
        values = [case["fields"][field.name] for case in inputs]
        if field.type == "string":
            columns[field.name] = np.array(values, dtype=object)
        else:
            columns[field.name] = _numbers(values)
    return EventBatch(
        ids=ids,
        hashes=hash_ids(ids),
        times=np.array([case["time"] for case in inputs], dtype=np.int64),
        positions=np.array([case["position"] for case in inputs], dtype=np.uint64),
        columns=columns,
        keys={entity.name: [case["keys"][entity.name] for case in inputs] for entity in definition.entities},
    )


def _numbers(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


def _plain(value: Any) -> Any:
    """A field's value as JSON has it: text, number or null."""
    if value is None or isinstance(value, str):
        return value
    return None if np.isnan(value) else float(value)
