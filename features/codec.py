"""Rows as bytes: the layout of the online store's rows, version 2 (`features.keys.LAYOUT`).

A row is a sequence of slots of one size, little-endian. With k value columns a slot is 4 + k words of eight
bytes. The materializer appends entries without reading; compaction alone puts a head and tiles before them.

======= ======== ======================================================================================
offset  type     meaning
======= ======== ======================================================================================
0       uint64   the seal (`features.seal`): kind in the lowest byte (1 entry, 2 head, 3 tile), checksum above
**entry**: one event's, or one label's
8       int64    event time, in the definition's time unit
16      uint64   event id: BLAKE2b of its text, 64 bits
24      uint64   event entries: position, (partition + 1) << 48 | offset
        int64    label entries: `observed_at`, in the time unit
32      float64  the values, in the order of the schema's columns; NaN is missing
**head**: of a compacted row; one slot, or two where k = 0; zeros fill it up
8       int64    boundary: everything before this time is in tiles; an entry from before it is left out
16      int64    from when on the row is whole: before that, entries were dropped
24      uint64   BLAKE2b of what was compacted, so that no two rows that differ begin with the same bytes
32      uint64   how many tiles follow
**tile**: as many slots as it needs; zeros fill the last
8       int64    number: it covers the times from number * resolution to before the next one's
16      int64    how many entries, for each of g groups: all entries, then those that meet each condition
16+8g   int64    the first event time of each group; 0 without entries
16+16g  int64    the last event time of each group
16+24g  float64  for each group and each value column, of the values that are not missing: how many, their
                 sum, the sum of their squared deviations from their mean, minimum, maximum, first, last
======= ======== ======================================================================================

Slots of heads and tiles are sealed for their place in the row, so a lost, added or moved one is noticed.
Entries are a set: they may stand in any order, and any number of times. The end of a row is not sealed: a row
cut between two entries is what it was before the others were appended.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.arrays import Bools, Floats, Ints, UInts
from features.definition.kinds import RowSchema
from features.seal import Kind, seals, split_sealed
from features.windows.folded import Folded, decode_folded

WORD = 8
ENTRY_WORDS = 4
"""Of an entry, before its values."""


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


@dataclass(frozen=True, slots=True)
class StoredRows:
    """Rows as the store gave them."""

    entries: Entries
    folded: Folded | None
    """None where no row was compacted."""
    corrupt: Bools
    """By row; a corrupt row gives no entries and no tiles at all."""


def entry_bytes(schema: RowSchema) -> int:
    """The size of one entry, and of every other slot."""
    return WORD * (ENTRY_WORDS + len(schema.columns))


def encode_entries(times: Ints, ids: UInts, marks: UInts, values: Floats) -> bytes:
    """M entries, one after the other."""
    words = np.empty((len(times), ENTRY_WORDS + values.shape[1]), dtype="<u8")
    words[:, 0] = Kind.ENTRY
    words[:, 1] = times.view(np.uint64)
    words[:, 2] = ids
    words[:, 3] = marks
    words[:, ENTRY_WORDS:] = np.ascontiguousarray(values).view(np.uint64)
    words[:, 0] = seals(words)
    return words.tobytes()


def split_entries(data: bytes, schema: RowSchema) -> list[bytes]:
    """What `encode_entries` gave, entry by entry."""
    size = entry_bytes(schema)
    return [data[at : at + size] for at in range(0, len(data), size)]


def decode_rows(schema: RowSchema, rows: Sequence[bytes | None], first: Sequence[Entries] = ()) -> StoredRows:
    """What rows hold, as the store gave them; row r is `rows[r]`.

    first: entries that come before those of the rows; so they need not be joined afterwards. A row is corrupt
    that is no whole number of slots, has a slot whose seal does not fit, or a head or tiles anywhere but at
    its beginning, and complete.
    """
    size = entry_bytes(schema)
    lengths = np.array([0 if row is None else len(row) for row in rows], dtype=np.int64)
    corrupt = lengths % size != 0
    if corrupt.any():
        rows = [None if bad else row for row, bad in zip(rows, corrupt.tolist(), strict=True)]
        lengths[corrupt] = 0
    words = np.frombuffer(b"".join([row for row in rows if row]), dtype="<u8").reshape(-1, size // WORD)
    row = np.repeat(np.arange(len(rows)), lengths // size)
    begin = sum(map(len, first))
    columns = np.empty((size // WORD - 1, begin + len(words)), np.uint64)
    is_entry = split_sealed(Kind.ENTRY, words, columns[:, begin:])
    entries = _entries(columns, np.concatenate([*(part.row for part in first), row]))
    _fill(entries, first)
    if is_entry.all():
        return StoredRows(entries, None, corrupt)
    starts = np.cumsum(lengths // size) - lengths // size
    folded, unsound = decode_folded(schema, words, row, starts, np.flatnonzero(~is_entry))
    kept = np.ones(len(entries), np.bool_)
    kept[begin:] = is_entry & ~unsound[row]
    corrupt |= unsound
    return StoredRows(take_entries(entries, kept), folded, corrupt)


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


def take_entries(entries: Entries, index: Ints | Bools | slice) -> Entries:
    """The entries at `index`: an index, a mask or a slice."""
    return Entries(
        row=entries.row[index],
        times=entries.times[index],
        ids=entries.ids[index],
        marks=entries.marks[index],
        values=entries.values[index],
    )


def _entries(columns: UInts, row: Ints) -> Entries:
    """columns: the words of entries without their seals, shape (words, m)."""
    return Entries(
        row=row,
        times=columns[0].view(np.int64),
        ids=columns[1],
        marks=columns[2],
        values=columns[ENTRY_WORDS - 1 :].view(np.float64).T,
    )


def _fill(entries: Entries, first: Sequence[Entries]) -> None:
    """Write the first of `entries`, but for their rows."""
    at = 0
    for part in first:
        here = slice(at, at := at + len(part))
        entries.times[here], entries.ids[here] = part.times, part.ids
        entries.marks[here], entries.values[here] = part.marks, part.values
