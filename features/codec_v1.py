"""Rows of layout 1, which live on under keys of their own until they expire, and in bundles of their time.

A row is a sequence of entries of 24 + 8k bytes, little-endian, without any checksum: event time (int64),
event id (uint64), position or `observed_at` (64 bits), and the k values (float64). Nothing writes
it any more.
"""

from collections.abc import Sequence

import numpy as np

from features.arrays import Bools
from features.codec import Entries, encode_entries
from features.definition.kinds import RowSchema

_WORD = 8
_HEAD_WORDS = 3


def decode_rows_v1(schema: RowSchema, rows: Sequence[bytes | None]) -> tuple[Entries, Bools]:
    """The entries of rows as the store gave them; row r is `rows[r]`.

    Also returns, per row, whether it is corrupt: not a whole number of entries. It gives none then.
    """
    size = _WORD * (_HEAD_WORDS + len(schema.columns))
    lengths = np.array([0 if row is None else len(row) for row in rows], dtype=np.int64)
    corrupt = lengths % size != 0
    if corrupt.any():
        rows = [None if bad else row for row, bad in zip(rows, corrupt.tolist(), strict=True)]
        lengths[corrupt] = 0
    words = np.frombuffer(b"".join([row for row in rows if row]), dtype="<u8").reshape(-1, size // _WORD)
    entries = Entries(
        row=np.repeat(np.arange(len(rows)), lengths // size),
        times=words[:, 0].view(np.int64),
        ids=words[:, 1],
        marks=words[:, 2],
        values=words[:, _HEAD_WORDS:].view(np.float64),
    )
    return entries, corrupt


def from_v1(schema: RowSchema, row: bytes) -> bytes:
    """The row in today's layout; a corrupt one as it is, which is corrupt there as well."""
    entries, corrupt = decode_rows_v1(schema, [row])
    if corrupt.any():
        return row
    return encode_entries(entries.times, entries.ids, entries.marks, entries.values)
