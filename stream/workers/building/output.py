"""The training set as a parquet file, written row group by row group.

Columns are ``event.id``, ``event.time``, ``key.<entity>`` for entities that name no person, the features
by name in model order, ``event.label`` (null where it has not matured) and ``event.weight``. Categorical
features are texts: their codes are learnt in training. The schema's metadata holds, under `METADATA`, JSON
that says of which definition and of which time it is.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.categories import categorical
from features.definition.model import Definition
from features.event import hash_ids
from features.past.build import BuiltSlice
from features.past.table import strings

METADATA = b"riverrun"
FORMAT = "riverrun.features/1"
ID, TIME, KEY, LABEL, WEIGHT = "event.id", "event.time", "key.", "event.label", "event.weight"


class SetWriter:
    """Writes slices of a training set."""

    def __init__(self, definition: Definition, start: int, end: int, writer: pq.ParquetWriter) -> None:
        self._definition = definition
        self._writer = writer
        self._schema = set_schema(definition, start, end)
        self.events = 0
        self.labelled = 0
        self.trimmed = 0
        """Events with a value that is not exact: see `features.matrix.FeatureMatrix`."""

    def write(self, built: BuiltSlice) -> None:
        n = len(built.events)
        self._writer.write_table(_table(self._definition, self._schema, built), row_group_size=n)
        self.events += n
        self.labelled += int((~np.isnan(built.events.labels)).sum())
        self.trimmed += int(built.trimmed.sum())


@contextmanager
def writing(definition: Definition, start: int, end: int, path: Path) -> Iterator[SetWriter]:
    """The file appears under its name when it is whole."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    schema = set_schema(definition, start, end)
    keys = [field.name for field in schema if field.name.startswith(KEY)]
    floats = [field.name for field in schema if pa.types.is_floating(field.type)]
    try:
        with pq.ParquetWriter(
            unfinished,
            schema,
            compression="snappy",
            write_statistics=[ID, TIME, *keys],
            use_dictionary=keys,  # type: ignore[arg-type]  # a list is taken as well as a bool
            column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
        ) as writer:
            yield SetWriter(definition, start, end, writer)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def set_schema(definition: Definition, start: int, end: int) -> pa.Schema:
    """The columns and what the file says of itself."""
    prints = definition.fingerprints
    said = {
        "format": FORMAT,
        "usecase": definition.name,
        "fingerprints": {"state": prints.state, "features": prints.features, "policy": prints.policy},
        "from": start,
        "to": end,
        "time_unit": definition.time.per or "ms",
    }
    texts = categorical(definition)
    time = pa.int64() if definition.time.is_sequence else pa.timestamp("ms", tz="UTC")
    fields: list[pa.Field[Any]] = [pa.field(ID, pa.string()), pa.field(TIME, time)]
    fields += [pa.field(KEY + name, pa.string()) for name in _shown_entities(definition)]
    fields += [
        pa.field(name, pa.string() if name in texts else pa.float64()) for name in definition.feature_names
    ]
    fields += [pa.field(LABEL, pa.float64()), pa.field(WEIGHT, pa.float64())]
    return pa.schema(fields, {METADATA: json.dumps(said).encode()})


def _table(definition: Definition, schema: pa.Schema, built: BuiltSlice) -> pa.Table:
    events = built.events
    columns: list[Any] = [_ids(definition, built), pa.array(events.times).cast(schema.field(TIME).type)]
    columns += [events.keys[name].cast(pa.string()) for name in _shown_entities(definition)]
    texts = categorical(definition)
    for at, name in enumerate(definition.feature_names):
        if name in texts:
            columns.append(pa.array(built.texts.get(name, [None] * len(events)), pa.string()))
        else:
            columns.append(pa.array(built.matrix[:, at]))
    columns += [pa.array(events.labels, mask=np.isnan(events.labels)), pa.array(np.ones(len(events)))]
    return pa.table(columns, schema=schema)


def _ids(definition: Definition, built: BuiltSlice) -> Any:
    """Event ids; those with a personal part as their hash, 16 hexadecimal digits, which tells them apart."""
    if not any(definition.field(name).personal for name in definition.id_fields):
        return built.events.ids.cast(pa.string())
    hashes = hash_ids([text or "" for text in strings(built.events.ids)])
    return pa.array([f"{number:016x}" for number in hashes.tolist()], pa.string())


def _shown_entities(definition: Definition) -> list[str]:
    return [
        entity.name
        for entity in definition.entities
        if not any(definition.field(name).personal for name in entity.fields)
    ]
