"""What compaction leaves of a row beside its entries: a head and tiles, and their bytes."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from features.arrays import Bools, Floats, Ints, UInts
from features.definition.kinds import RowSchema
from features.seal import Kind, kinds, seals

HEAD_WORDS = 4
"""Of a head, without seals."""
MOMENTS = 7
"""What a tile keeps of a column: `features.windows.aggregate.Moment`."""
UNBOUNDED = -(2**63)
"""Where nothing is folded or dropped."""


@dataclass(frozen=True, slots=True)
class Tiles:
    """n tiles of one schema, sorted by (row, number)."""

    row: Ints
    numbers: Ints
    counts: Ints
    """Shape (n, groups)."""
    firsts: Ints
    """Shape (n, groups): event times."""
    lasts: Ints
    moments: Floats
    """Shape (n, groups, value columns, `MOMENTS`)."""

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, slots=True)
class Folded:
    """What compaction left of rows beside the entries; by row number."""

    boundaries: Ints
    """Everything before this time is in tiles; `UNBOUNDED` in rows without."""
    whole_from: Ints
    """Entries before this time were dropped; `UNBOUNDED` where none was."""
    tiles: Tiles


def value_columns(schema: RowSchema) -> tuple[str, ...]:
    """The columns that windows may aggregate: all but conditions that are no field's name."""
    return tuple(c for c in schema.columns if c not in schema.conditions or c.isidentifier())


def tile_slots(schema: RowSchema) -> int:
    """How many slots a tile takes."""
    return -(-_tile_words(schema) // _payload(schema))


def head_slots(schema: RowSchema) -> int:
    """How many slots a head takes."""
    return -(-HEAD_WORDS // _payload(schema))


def encode_folded(schema: RowSchema, boundary: int, whole_from: int, mark: int, tiles: Tiles) -> bytes:
    """The beginning of a compacted row: its head and its tiles, all of one row."""
    payload, heads, each = _payload(schema), head_slots(schema), tile_slots(schema)
    words = np.zeros((heads + len(tiles) * each, 1 + payload), dtype="<u8")
    words[:heads, 0] = Kind.HEAD
    words[heads:, 0] = Kind.TILE
    head = np.zeros(heads * payload, np.uint64)
    head[:2] = np.array([boundary, whole_from], np.int64).view(np.uint64)
    head[2:HEAD_WORDS] = mark, len(tiles)
    words[:heads, 1:] = head.reshape(heads, payload)
    body = np.zeros((len(tiles), each * payload), np.uint64)
    parts = (tiles.numbers.reshape(-1, 1), tiles.counts, tiles.firsts, tiles.lasts)
    integers = np.concatenate(parts, axis=1)
    body[:, : integers.shape[1]] = integers.view(np.uint64)
    moments = np.ascontiguousarray(tiles.moments).reshape(len(tiles), _tile_words(schema) - integers.shape[1])
    body[:, integers.shape[1] : _tile_words(schema)] = moments.view(np.uint64)
    words[heads:, 1:] = body.reshape(-1, payload)
    words[:, 0] = seals(words, np.arange(len(words), dtype=np.uint64))
    return words.tobytes()


def decode_folded(
    schema: RowSchema, words: UInts, row: Ints, starts: Ints, other: Ints
) -> tuple[Folded | None, Bools]:
    """The heads and tiles among the slots of rows, and which rows are corrupt.

    row: of each slot. starts: the first slot of each row. other: the slots that are not sound entries.
    """
    heads, each = head_slots(schema), tile_slots(schema)
    of_row, kind = row[other], kinds(words[other])
    places = other - starts[of_row]
    sound = seals(words[other], places.astype(np.uint64)) == words[other, 0]
    sound &= kind == np.where(places < heads, int(Kind.HEAD), int(Kind.TILE))
    counts, furthest = np.bincount(of_row, minlength=len(starts)), np.full(len(starts), -1)
    np.maximum.at(furthest, of_row, places)
    corrupt = (counts > 0) & ((furthest != counts - 1) | (counts < heads))
    corrupt[of_row[~sound]] = True

    compacted = np.flatnonzero((counts > 0) & ~corrupt)
    head = words[starts[compacted, None] + np.arange(heads)][:, :, 1:]
    head = head.reshape(len(compacted), heads * _payload(schema))
    cut = counts[compacted].astype(np.uint64) != heads + head[:, 3] * np.uint64(each)
    corrupt[compacted[cut]] = True
    compacted, head = compacted[~cut], head[~cut]
    if not len(compacted):
        return None, corrupt
    boundaries, whole_from = np.full(len(starts), UNBOUNDED), np.full(len(starts), UNBOUNDED)
    boundaries[compacted], whole_from[compacted] = head[:, 0].view(np.int64), head[:, 1].view(np.int64)
    chosen = (kind == Kind.TILE) & ~corrupt[of_row]
    return Folded(boundaries, whole_from, _tiles(schema, words[other[chosen], 1:], of_row[chosen])), corrupt


def _tiles(schema: RowSchema, words: UInts, row: Ints) -> Tiles:
    each, groups = tile_slots(schema), 1 + len(schema.conditions)
    body = words.reshape(-1, each * _payload(schema))[:, : _tile_words(schema)]
    ints = body.view(np.int64)
    columns = len(value_columns(schema))
    moments = np.ascontiguousarray(body[:, 1 + 3 * groups :]).view(np.float64)
    return Tiles(
        row=row[::each],
        numbers=ints[:, 0],
        counts=ints[:, 1 : 1 + groups],
        firsts=ints[:, 1 + groups : 1 + 2 * groups],
        lasts=ints[:, 1 + 2 * groups : 1 + 3 * groups],
        moments=moments.reshape(len(body), groups, columns, MOMENTS),
    )


def _payload(schema: RowSchema) -> int:
    """The words of a slot without its seal."""
    return 3 + len(schema.columns)


@cache
def _tile_words(schema: RowSchema) -> int:
    groups = 1 + len(schema.conditions)
    return 1 + 3 * groups + groups * len(value_columns(schema)) * MOMENTS
