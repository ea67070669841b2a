"""Columns of texts, as Arrow holds them: ids and keys, made Python objects only where they must be."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from features.arrays import Ints, UInts
from features.past.table import strings
from features.rows import KeyIndex

if TYPE_CHECKING:
    from features.past.table import Chunked

_WORD = 8
_BLOCK = 1 << 15
_ODD = np.uint64(0x9E3779B97F4A7C15)
_MASKS = np.array([(1 << 8 * n) - 1 for n in range(_WORD + 1)], np.uint64)
"""What keeps the first n bytes of a word."""


@dataclass(frozen=True, slots=True, eq=False)
class Texts(Sequence[str]):
    """Arrow's texts (or integers), none null, as Python's; each is made when it is asked for."""

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
        return str(self.held[at].as_py())


def is_numbered(ids: "Chunked") -> bool:
    """Whether ids are held as integers."""
    import pyarrow as pa  # noqa: PLC0415  as in take_texts

    return pa.types.is_integer(ids.type)


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

    if is_numbered(texts):
        return np.asarray(texts.to_numpy()).astype(np.uint64)
    parts = [np.empty(0, np.uint64)]
    for chunk in texts.cast(pa.string()).chunks:
        _, offsets, data = [memoryview(part) if part else b"" for part in chunk.buffers()]
        ends = np.frombuffer(offsets, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1].astype(np.int64)
        held = np.zeros(int(ends[-1]) + _WORD, np.uint8)
        held[:-_WORD] = np.frombuffer(data, np.uint8)[: len(held) - _WORD]
        for start in range(0, len(chunk), _BLOCK):  # a few at a time stay in the processor's cache
            some = ends[start : start + _BLOCK + 1]
            parts.append(_mixed(held, some[:-1], np.diff(some)))
    return np.concatenate(parts)


def byte_lengths(texts: "Chunked") -> Ints:
    """Of UTF-8; 0 for null."""
    import pyarrow as pa  # noqa: PLC0415  as above
    import pyarrow.compute as pc  # noqa: PLC0415

    if pa.types.is_dictionary(texts.type):
        index = index_texts(texts)
        known = byte_lengths(pa.chunked_array([index.keys], pa.string()))
        return np.append(known, 0)[index.of_event]
    lengths: Any = pc.binary_length(texts)
    if lengths.null_count:
        lengths = lengths.fill_null(0)
    return np.asarray(lengths.to_numpy(), np.int64)


def as_texts(column: "Chunked") -> "Chunked":
    """Values as they stand in ids and keys: integers exact, true and false."""
    import pyarrow as pa  # noqa: PLC0415  as above

    return column.cast(pa.string())


def take_texts(texts: "Chunked", index: "Ints | slice") -> "Chunked":
    """The texts at `index`; a slice has a start, an end and no step."""
    import pyarrow as pa  # noqa: PLC0415  only offline code needs Arrow; the scorer must not load it

    if isinstance(index, slice):
        return texts.slice(index.start, index.stop - index.start)
    return texts.take(pa.array(index, pa.int64()))


def join_texts(parts: "Sequence[Chunked]") -> "Chunked":
    import pyarrow as pa  # noqa: PLC0415  as above

    if any(part.type != parts[0].type for part in parts):
        parts = [part.cast(pa.string()) for part in parts]
    return pa.chunked_array([chunk for part in parts for chunk in part.chunks], parts[0].type)


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
