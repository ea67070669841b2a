"""Rows of a table as columns: checked as live decoding checks events, and nothing made a Python object.

Texts stay Arrow's. Only where a field's values are asked for do strings become an object array.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from features.arrays import Bools, Column, Floats, Ints
from features.definition.model import Definition, Field, RecordLabel
from features.past.table import ColumnError, TableReader, Times, are_null, floats, strings
from features.past.texts import as_texts, byte_lengths, is_numbered, join_texts, take_texts

if TYPE_CHECKING:
    from features.past.table import Chunked

OBSERVED_AT = "observed_at"
"""A column of this name says when each label became known; without it, or at null, the label's delay does."""
ID_BYTES_MAX = 256
KEY_BYTES_MAX = 512
"""What live decoding holds ids and keys to; a test keeps the two alike."""


@dataclass(frozen=True, slots=True)
class EventColumns:
    """n events of a table; every array has shape (n,)."""

    ids: "Chunked"
    """Texts, or integers that stand for their decimal texts; none null."""
    times: Ints
    columns: Mapping[str, Column]
    """The fields that were asked for."""
    keys: Mapping[str, "Chunked"]
    """Texts by entity, plain or encoded by a dictionary; null where a field of the key is missing."""
    labels: Floats
    """The label (a class's index for multiclass); NaN where there is none."""
    observed_at: Ints
    """When each label became visible, in the time unit."""

    def __len__(self) -> int:
        return len(self.times)

    def take(self, index: Ints) -> "EventColumns":
        """The events at `index`, in its order; a run of them as views."""
        some = _as_run(index)
        return EventColumns(
            ids=take_texts(self.ids, some),
            times=self.times[some],
            columns={name: column[some] for name, column in self.columns.items()},
            keys={name: take_texts(keys, some) for name, keys in self.keys.items()},
            labels=self.labels[some],
            observed_at=self.observed_at[some],
        )


def read_columns(
    definition: Definition, reader: TableReader, wanted: AbstractSet[str]
) -> tuple[EventColumns, Ints]:
    """The rows that live decoding would accept, in the order of the table, and their places in it.

    wanted: the fields whose values are needed. Raises `ColumnError` for the first value that means nothing.
    """
    time = reader.times(definition.time.field)
    accepted = ~(time.missing | time.beyond)
    columns: dict[str, Column] = {}
    texts: dict[str, Chunked] = {}
    keys_of = {name for entity in definition.entities for name in entity.fields}
    numbered = {*definition.id_fields} - keys_of if len(definition.id_fields) == 1 else set()
    keyed = keys_of.union(definition.id_fields)
    for field in definition.fields:
        if field.name in keyed:
            texts[field.name] = _key_texts(definition, field, reader, allow_numbers=field.name in numbered)
        if field.type == "string":
            text = texts[field.name] if field.name in texts else reader.declared(field)
            accepted &= _text_passes(field, text)
            if field.name in wanted:
                columns[field.name] = _text_column(field, text)
            continue
        column, valid = _numbers(definition, field, reader, time)
        column, passed = _checked(field, column)
        accepted &= valid & passed
        if field.name in wanted:
            columns[field.name] = column
    ids = _joined([texts[name] for name in definition.id_fields])
    keys = {entity.name: _joined([texts[name] for name in entity.fields]) for entity in definition.entities}
    for name in definition.id_fields:
        accepted &= ~are_null(ids) if is_numbered(ids) else byte_lengths(texts[name]) > 0
    if not is_numbered(ids):
        accepted &= byte_lengths(ids) <= ID_BYTES_MAX
    for joined in keys.values():
        accepted &= byte_lengths(joined) <= KEY_BYTES_MAX
    labels, observed_at = _labels(definition, reader, time.values)
    read = EventColumns(ids, time.values, columns, keys, labels, observed_at)
    places = np.flatnonzero(accepted)
    return read if len(places) == len(read) else read.take(places), places


def _key_texts(
    definition: Definition, field: Field, reader: TableReader, *, allow_numbers: bool
) -> "Chunked":
    """A field of ids or keys; of ids each is another one, so that no dictionary is worth its while."""
    if allow_numbers:
        return reader.numbered(field)
    return as_texts(reader.declared(field)) if field.name in definition.id_fields else reader.keys(field)


def _as_run(index: Ints) -> Ints | slice:
    """The same as a slice, if it is one place after the other."""
    if len(index) and (index[1:] - index[:-1] == 1).all():
        return slice(int(index[0]), int(index[-1]) + 1)
    return index


def join_columns(parts: "Sequence[EventColumns]") -> EventColumns:
    """Parts of the same fields and entities, one after the other."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    return EventColumns(
        ids=join_texts([part.ids for part in parts]),
        times=np.concatenate([part.times for part in parts]),
        columns={name: np.concatenate([part.columns[name] for part in parts]) for name in first.columns},
        keys={name: join_texts([part.keys[name] for part in parts]) for name in first.keys},
        labels=np.concatenate([part.labels for part in parts]),
        observed_at=np.concatenate([part.observed_at for part in parts]),
    )


def _text_passes(field: Field, text: "Chunked") -> Bools | np.bool_:
    if field.missing not in ("reject", "default") or field.default is not None:
        return np.True_
    return ~are_null(text)


def _text_column(field: Field, text: "Chunked") -> Column:
    default = field.default
    values = strings(text)
    return np.array(
        values if default is None else [default if v is None else v for v in values], dtype=object
    )


def _numbers(
    definition: Definition, field: Field, reader: TableReader, time: Times
) -> tuple[Floats, Bools | np.bool_]:
    """A field's values, and where they are possible in a live event."""
    if field.name == definition.time.field:
        return time.values.astype(np.float64), np.True_
    if field.type == "timestamp":
        times = reader.clock(field.name)
        return np.where(times.missing, np.nan, times.values.astype(np.float64)), ~times.beyond
    values = floats(reader.declared(field))
    return values, ~np.isinf(values)  # JSON has no infinity


def _checked(field: Field, column: Floats) -> tuple[Floats, Bools | np.bool_]:
    """The column, with defaults and clipped as the field says, and where its policies reject nothing."""
    passed: Bools | np.bool_ = np.True_
    if field.missing in ("reject", "default"):
        there = ~np.isnan(column)
        if field.default is None:
            passed = there
        else:
            column = np.where(there, column, field.default)
    if field.minimum is None and field.maximum is None:
        return column, passed
    if field.out_of_range == "reject":
        low = -np.inf if field.minimum is None else field.minimum
        high = np.inf if field.maximum is None else field.maximum
        passed = passed & ~((column < low) | (column > high))
    clipped = np.clip(column, field.minimum, field.maximum) if field.out_of_range == "clip" else column
    return clipped, passed


def _joined(parts: "Sequence[Chunked]") -> "Chunked":
    """The key of one or more fields, as `features.event.entity_key` makes it; null where a part is."""
    import pyarrow as pa  # noqa: PLC0415  as above
    import pyarrow.compute as pc  # noqa: PLC0415

    if len(parts) == 1:
        return parts[0]
    replace: Callable[..., Any] = pc.replace_substring
    escaped = [
        replace(replace(as_texts(part), "\\", "\\\\"), "\x1f", "\\u001f").combine_chunks() for part in parts
    ]
    joined: Any = pc.binary_join_element_wise(*escaped, "\x1f")
    return pa.chunked_array([joined])


def _labels(definition: Definition, reader: TableReader, times: Ints) -> tuple[Floats, Ints]:
    """Labels (NaN: none), and when each became visible, which only rows with a label can say."""
    label, columns = definition.label, reader.table.column_names
    if not isinstance(label, RecordLabel) or label.field not in columns:
        return np.full(len(times), np.nan), times
    labels = _classes(label, reader) if label.classes else reader.numbers(label.field)
    default = times + label.delay
    if OBSERVED_AT not in columns:
        return labels, default
    observed_at = reader.times(OBSERVED_AT, ~np.isnan(labels))
    reader.refuse(OBSERVED_AT, observed_at.beyond, "is beyond what times may be")
    return labels, np.where(observed_at.missing, default, observed_at.values)


def _classes(label: RecordLabel, reader: TableReader) -> Floats:
    place = {name: float(at) for at, name in enumerate(label.classes)}
    names = reader.texts(label.field)
    unknown = sorted({name for name in names if name is not None and name not in place})
    if unknown:
        shown = "" if reader.is_personal(label.field) else f" {', '.join(unknown)}"
        raise ColumnError(f"column {label.field} has classes{shown} that `classes` does not list")
    return np.array([np.nan if name is None else place[name] for name in names], np.float64)
