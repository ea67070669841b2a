"""Lookups from an Arrow table: the fields of the key, those looked up, and when they were written."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features.arrays import Ints
from features.definition.model import Definition
from features.event import entity_key, hash_texts
from features.lookup.codec import WRITTEN_AT, Fields
from features.lookup.history import LookupHistory, LookupTable, for_all_time, over_time
from features.past.columns import KEY_BYTES_MAX
from features.past.table import ColumnError, TableReader, strings

if TYPE_CHECKING:
    import pyarrow as pa

UPDATED_AT = "updated_at"
"""What many databases call `WRITTEN_AT`; read where there is no column of that name."""


class LookupTableError(ValueError):
    """The table lacks a column, or holds values that it cannot mean. The text names column, row and mend."""


@dataclass(frozen=True, slots=True)
class LookupColumns:
    """Which columns of a table are read."""

    entity: str
    key: tuple[str, ...]
    fields: Fields
    time: str | None
    """None where the table does not say when its rows were written."""

    @property
    def names(self) -> list[str]:
        time = [] if self.time is None else [self.time]
        return list(dict.fromkeys([*self.key, *(field.field for field in self.fields), *time]))


def lookup_columns(definition: Definition, entity: str, names: Sequence[str]) -> LookupColumns:
    """The columns for the lookups of an entity, in a table of these columns.

    Raises `LookupTableError` with all that the table lacks, or where nothing is looked up for `entity`.
    """
    fields = definition.lookups.get(entity)
    if fields is None:
        there = ", ".join(definition.lookups) or "no entity"
        raise LookupTableError(
            f"nothing is looked up for {entity}; {definition.name} has lookups for {there}"
        )
    key = next(one.fields for one in definition.entities if one.name == entity)
    read = LookupColumns(entity, key, fields, None)
    missing = [name for name in read.names if name not in names]
    if missing:
        raise LookupTableError(
            f"the table lacks the columns {', '.join(missing)}; it has {', '.join(names)}: rename or add them"
        )
    times = [name for name in (WRITTEN_AT, UPDATED_AT) if name in names and name not in read.names]
    return LookupColumns(entity, key, fields, times[0] if times else None)


def read_lookup_table(
    definition: Definition, columns: LookupColumns, table: "pa.Table", first_row: int = 0
) -> LookupTable:
    """Keys and texts are read as live decoding and JSON have them; numbers may be truth values.

    Times are Arrow timestamps, ISO 8601, or ms since the epoch. first_row: the number in its file of the
    table's first row. Raises `LookupTableError` for the first value that means nothing.
    """
    try:
        return _read(columns, TableReader(definition, table, first_row))
    except ColumnError as error:
        raise LookupTableError(str(error)) from None


def lookup_history(definition: Definition, entity: str, table: "pa.Table") -> LookupHistory:
    """For training. Raises `LookupTableError`."""
    columns = lookup_columns(definition, entity, table.column_names)
    read = read_lookup_table(definition, columns, table)
    if definition.time.is_sequence:
        if len(set(read.keys)) < len(read):
            raise LookupTableError(
                f"{definition.name} has no clock, so that nobody can say which of several rows of a key was "
                f"in force when; keep one row for each {entity}"
            )
        return for_all_time(read)
    if columns.time is None:
        raise LookupTableError(
            f"the table has no column {WRITTEN_AT}, so that nobody can say which row was in force at an "
            "event's time: add it"
        )
    return over_time(read)


def _read(columns: LookupColumns, reader: TableReader) -> LookupTable:
    values = np.empty((reader.table.num_rows, len(columns.fields)))
    made_of: dict[float, str] = {}
    for place, field in enumerate(columns.fields):
        if field.is_category:
            texts = reader.texts(field.field)
            distinct = [text for text in dict.fromkeys(texts) if text is not None]
            made_of |= dict(zip(hash_texts(distinct).tolist(), distinct, strict=True))
            values[:, place] = hash_texts(texts)
        else:
            values[:, place] = reader.numbers(field.field)
            reader.refuse(field.field, np.isinf(values[:, place]), "is infinite (leave the value out)")
    written_at = None if columns.time is None else _written_at(reader, columns.time)
    return LookupTable(columns.fields, _keys(columns, reader), written_at, values, made_of)


def _keys(columns: LookupColumns, reader: TableReader) -> list[str]:
    parts: list[list[str]] = []
    for name in columns.key:
        texts = strings(reader.declared(reader.definition.field(name)))
        lacking = np.array([text is None for text in texts], np.bool_)
        reader.refuse(name, lacking, f"is missing, and {columns.entity} is known by it (leave the row out)")
        parts.append([text or "" for text in texts])
    keys = [entity_key(row) for row in zip(*parts, strict=True)]
    long = np.array([len(key.encode()) > KEY_BYTES_MAX for key in keys], np.bool_)
    reader.refuse(columns.key[0], long, f"makes a key of more than {KEY_BYTES_MAX} bytes, which no event has")
    return keys


def _written_at(reader: TableReader, name: str) -> Ints:
    times = reader.clock(name, unit="ms")
    reader.refuse(name, times.missing, "is missing (say of every row when it was written, or of none)")
    reader.refuse(name, times.beyond, "is no time from 1970 to 9999 (write ms since the epoch)")
    return times.values
