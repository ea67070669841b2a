"""Rows of a table as columns: checked as live decoding checks events, and nothing made a Python object.

Texts stay Arrow's. Only where a field's values are asked for do strings become an object array.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from features.arrays import Bools, Column, Floats, Ints, UInts
from features.definition.model import Definition, Field, RecordLabel
from features.rows import KeyIndex
from features.table import ColumnError, TableReader, Times, are_null, floats, strings

if TYPE_CHECKING:
    from features.table import Chunked

OBSERVED_AT = "observed_at"
"""A column of this name says when each label became known; without it, or at null, the label's delay does."""
ID_BYTES_MAX = 256
KEY_BYTES_MAX = 512
"""What live decoding holds ids and keys to; a test keeps the two alike."""

_WORD = 8
_ODD = np.uint64(0x9E3779B97F4A7C15)
_MASKS = np.array([(1 << 8 * n) - 1 for n in range(_WORD + 1)], np.uint64)
"""What keeps the first n bytes of a word."""


@dataclass(frozen=True, slots=True)
class EventColumns:
    """n events of a table; every array has shape (n,)."""

    ids: "Chunked"
    """Texts, none null."""
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
        """The events at `index`, in its order."""
        return EventColumns(
            ids=take_texts(self.ids, index),
            times=self.times[index],
            columns={name: column[index] for name, column in self.columns.items()},
            keys={name: take_texts(keys, index) for name, keys in self.keys.items()},
            labels=self.labels[index],
            observed_at=self.observed_at[index],
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
    keyed = {*definition.id_fields}.union(*(entity.fields for entity in definition.entities))
    for field in definition.fields:
        if field.name in keyed:
            # Of ids, each is another one.
            of_id = field.name in definition.id_fields
            texts[field.name] = as_texts(reader.declared(field)) if of_id else reader.keys(field)
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
        accepted &= byte_lengths(texts[name]) > 0
    accepted &= byte_lengths(ids) <= ID_BYTES_MAX
    for joined in keys.values():
        accepted &= byte_lengths(joined) <= KEY_BYTES_MAX
    labels, observed_at = _labels(definition, reader, time.values)
    read = EventColumns(ids, time.values, columns, keys, labels, observed_at)
    places = np.flatnonzero(accepted)
    return read if len(places) == len(read) else read.take(places), places


@dataclass(frozen=True, slots=True, eq=False)
class Texts(Sequence[str]):
    """Arrow's texts, none null, as Python's; each is made when it is asked for."""

    held: "Chunked"

    def __len__(self) -> int:
        return len(self.held)

    def __iter__(self) -> Iterator[str]:
        return iter([text or "" for text in strings(self.held)])

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> "Texts": ...
    def __getitem__(self, at: int | slice) -> "str | Texts":
        if isinstance(at, slice):
            return Texts(take_texts(self.held, np.arange(len(self))[at]))
        text: str = self.held[at].as_py()
        return text


def join_columns(parts: "Sequence[EventColumns]") -> EventColumns:
    """Parts of the same fields and entities, one after the other."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    return EventColumns(
        ids=_join_texts([part.ids for part in parts]),
        times=np.concatenate([part.times for part in parts]),
        columns={name: np.concatenate([part.columns[name] for part in parts]) for name in first.columns},
        keys={name: _join_texts([part.keys[name] for part in parts]) for name in first.keys},
        labels=np.concatenate([part.labels for part in parts]),
        observed_at=np.concatenate([part.observed_at for part in parts]),
    )


def index_texts(texts: "Chunked") -> KeyIndex:
    """`features.rows.index_keys` of Arrow's texts."""
    import pyarrow as pa  # noqa: PLC0415  as in take_texts

    is_encoded = pa.types.is_dictionary(texts.type)
    encoded: Any = texts.unify_dictionaries() if is_encoded else texts.dictionary_encode()
    encoded = encoded.combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):  # without a chunk there is no array to combine
        return KeyIndex([], np.empty(0, np.int64))
    codes = encoded.indices.cast(pa.int64()).fill_null(-1)
    return KeyIndex(encoded.dictionary.to_pylist(), np.asarray(codes))


def stand_ins(texts: "Chunked") -> UInts:
    """Numbers that tell texts apart: equal for equal texts, and hardly ever for others. None is null."""
    import pyarrow as pa  # noqa: PLC0415  as in take_texts

    parts = [np.empty(0, np.uint64)]
    for chunk in texts.cast(pa.string()).chunks:
        _, offsets, data = [memoryview(part) if part else b"" for part in chunk.buffers()]
        ends = np.frombuffer(offsets, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1].astype(np.int64)
        held = np.zeros(int(ends[-1]) + _WORD, np.uint8)
        held[:-_WORD] = np.frombuffer(data, np.uint8)[: len(held) - _WORD]
        parts.append(_mixed(held, ends[:-1], np.diff(ends)))
    return np.concatenate(parts)


def _mixed(data: NDArray[np.uint8], starts: Ints, lengths: Ints) -> UInts:
    """A number for each stretch of bytes, eight bytes at a time. data: with eight bytes more at the end."""
    words = np.ndarray(len(data) - _WORD + 1, "<u8", buffer=data, strides=(1,))
    mixed = lengths.astype(np.uint64) * _ODD
    for at in range(0, int(lengths.max(initial=0)), _WORD):
        left = np.clip(lengths - at, 0, _WORD)
        word = words[np.where(left > 0, starts + at, 0)] & _MASKS[left]
        mixed = (mixed ^ word) * _ODD
        mixed ^= mixed >> np.uint64(32)
    return mixed


def take_texts(texts: "Chunked", index: Ints) -> "Chunked":
    """The texts at `index`."""
    import pyarrow as pa  # noqa: PLC0415  only offline code needs Arrow; the scorer must not load it

    return texts.take(pa.array(index, pa.int64()))


def _join_texts(parts: "Sequence[Chunked]") -> "Chunked":
    import pyarrow as pa  # noqa: PLC0415  as above

    if any(part.type != parts[0].type for part in parts):
        parts = [part.cast(pa.string()) for part in parts]
    return pa.chunked_array([chunk for part in parts for chunk in part.chunks], parts[0].type)


def as_texts(column: "Chunked") -> "Chunked":
    """Values as they stand in ids and keys: integers exact, true and false."""
    import pyarrow as pa  # noqa: PLC0415  as above

    return column.cast(pa.string())


def byte_lengths(texts: "Chunked") -> Ints:
    """Of UTF-8; 0 for null."""
    import pyarrow as pa  # noqa: PLC0415  as above
    import pyarrow.compute as pc  # noqa: PLC0415

    if pa.types.is_dictionary(texts.type):
        index = index_texts(texts)
        known = byte_lengths(pa.chunked_array([index.keys], pa.string()))
        return np.append(known, 0)[index.of_event]
    lengths: Any = pc.binary_length(texts)
    return np.asarray(lengths.fill_null(0).to_numpy(), np.int64)


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
