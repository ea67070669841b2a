"""Entries as bytes: the layout of the rows in the online store, version 1 (`features.keys.LAYOUT`).

A row is the concatenation of entries of one size, little-endian, with no header, so that the
materializer can append to it without reading. With k value columns an entry takes 24 + 8k bytes:

====== ======== =====================================================================
offset type     meaning
====== ======== =====================================================================
0      int64    event time, in the definition's time unit
8      uint64   event id: BLAKE2b of its text, 64 bits
16     uint64   event entries: position, (partition + 1) << 48 | offset
       int64    label entries: `observed_at`, in the time unit
24     float64  the values, in the order of the schema's columns; NaN is missing
====== ======== =====================================================================
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.arrays import Bools, Floats, Ints, UInts
from features.definition.model import RowSchema

WORD = 8
HEAD_WORDS = 3


@dataclass(frozen=True, slots=True)
class Entries:
    """m entries of one schema, each belonging to a numbered row."""

    row: Ints
    times: Ints
    ids: UInts
    marks: UInts
    """The position of event entries; `observed_at` of label entries (view it as int64)."""
    values: Floats
    """Shape (m, columns)."""

    def __len__(self) -> int:
        return len(self.row)


def entry_bytes(schema: RowSchema) -> int:
    """The size of one entry."""
    return WORD * (HEAD_WORDS + len(schema.columns))


def encode_entries(times: Ints, ids: UInts, marks: UInts, values: Floats) -> bytes:
    """M entries, one after the other."""
    words = np.empty((len(times), HEAD_WORDS + values.shape[1]), dtype="<u8")
    words[:, 0] = times.view(np.uint64)
    words[:, 1] = ids
    words[:, 2] = marks
    words[:, HEAD_WORDS:] = np.ascontiguousarray(values).view(np.uint64)
    return words.tobytes()


def split_entries(data: bytes, schema: RowSchema) -> list[bytes]:
    """What `encode_entries` gave, entry by entry."""
    size = entry_bytes(schema)
    return [data[at : at + size] for at in range(0, len(data), size)]


def decode_rows(schema: RowSchema, rows: Sequence[bytes | None]) -> tuple[Entries, Bools]:
    """The entries of rows as the store gave them; row r is `rows[r]`.

    Also returns, per row, whether it is corrupt: not a whole number of entries. A corrupt row gives
    no entries at all, because a shifted one would give wrong numbers.
    """
    size = entry_bytes(schema)
    lengths = np.array([0 if row is None else len(row) for row in rows], dtype=np.int64)
    corrupt = lengths % size != 0
    if corrupt.any():
        rows = [None if bad else row for row, bad in zip(rows, corrupt.tolist(), strict=True)]
        lengths[corrupt] = 0
    words = np.frombuffer(b"".join([row for row in rows if row]), dtype="<u8").reshape(-1, size // WORD)
    entries = Entries(
        row=np.repeat(np.arange(len(rows)), lengths // size),
        times=words[:, 0].view(np.int64),
        ids=words[:, 1],
        marks=words[:, 2],
        values=words[:, HEAD_WORDS:].view(np.float64),
    )
    return entries, corrupt


def join_entries(parts: Sequence[Entries]) -> Entries:
    """Entries of the same schema and row numbering, one part after the other."""
    if len(parts) == 1:
        return parts[0]
    return Entries(
        row=np.concatenate([part.row for part in parts]),
        times=np.concatenate([part.times for part in parts]),
        ids=np.concatenate([part.ids for part in parts]),
        marks=np.concatenate([part.marks for part in parts]),
        values=np.concatenate([part.values for part in parts]),
    )


def take_entries(entries: Entries, index: Ints | Bools) -> Entries:
    """The entries at `index`, an index or a mask."""
    return Entries(
        row=entries.row[index],
        times=entries.times[index],
        ids=entries.ids[index],
        marks=entries.marks[index],
        values=entries.values[index],
    )
