"""Rows of layouts 1 and 2 read slot by slot in plain Python integers, from the words of the contract."""

from collections.abc import Sequence
from dataclasses import dataclass

from features.definition.model import RowSchema

WORD = 8
ENTRY, HEAD, TILE = 1, 2, 3
MOMENTS = 7
_FULL = 2**64 - 1

PlainEntry = tuple[int, int, int, tuple[int, ...]]
"""Time, id, mark and the bits of the values."""


@dataclass(frozen=True)
class PlainRow:
    """What a sound row holds. Words of 64 bits, without seals."""

    entries: list[PlainEntry]
    head: tuple[int, ...] | None
    tiles: list[tuple[int, ...]]


def words_of(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + WORD], "little") for at in range(0, len(data), WORD)]


def bytes_of(words: Sequence[int]) -> bytes:
    return b"".join(word.to_bytes(WORD, "little") for word in words)


def seal(kind: int, payload: Sequence[int], place: int) -> int:
    """The first word of a slot; place is 0 for entries."""
    constants = _constants(1 + len(payload))
    total = kind * constants[0]
    for word, constant in zip(payload, constants[1:], strict=True):
        total += (word ^ (word >> 32)) * constant
    total = (total + place * 0xD1342543DE82EF95) & _FULL
    mixed = ((total ^ (total >> 32)) * 0xFF51AFD7ED558CCD) & _FULL
    return (mixed & ~0xFF) | kind


def _constants(count: int) -> list[int]:
    found, state = [], 0
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & _FULL
        mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _FULL
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _FULL
        found.append((mixed ^ (mixed >> 31)) | 1)
    return found


def slot_words(schema: RowSchema) -> int:
    return 4 + len(schema.columns)


def tile_words(schema: RowSchema) -> int:
    groups = 1 + len(schema.conditions)
    values = [c for c in schema.columns if c not in schema.conditions or c.isidentifier()]
    return 1 + 3 * groups + MOMENTS * groups * len(values)


def plain_row(schema: RowSchema, data: bytes) -> PlainRow | None:
    """None for a lost row."""
    size = slot_words(schema)
    if len(data) % (WORD * size):
        return None
    words = words_of(data)
    slots = [words[at : at + size] for at in range(0, len(words), size)]
    is_entry = [slot[0] == seal(ENTRY, slot[1:], 0) for slot in slots]
    entries = [_entry(slot) for slot, sound in zip(slots, is_entry, strict=True) if sound]
    others = [at for at, sound in enumerate(is_entry) if not sound]
    if not others:
        return PlainRow(entries, None, [])
    if others != list(range(len(others))):
        return None
    payload = size - 1
    heads, each = -(-4 // payload), -(-tile_words(schema) // payload)
    for at in others:
        kind = HEAD if at < heads else TILE
        if slots[at][0] != seal(kind, slots[at][1:], at):
            return None
    if len(others) < heads:
        return None
    head = [word for slot in slots[:heads] for word in slot[1:]][:4]
    if head[3] * each != len(others) - heads:
        return None
    body = [word for slot in slots[heads : len(others)] for word in slot[1:]]
    whole = each * payload
    tiles = [tuple(body[at : at + tile_words(schema)]) for at in range(0, len(body), whole)]
    return PlainRow(entries, tuple(head), tiles)


def plain_row_v1(schema: RowSchema, data: bytes) -> list[PlainEntry] | None:
    """None for a lost row."""
    size = 3 + len(schema.columns)
    if len(data) % (WORD * size):
        return None
    words = words_of(data)
    return [_entry([0, *words[at : at + size]]) for at in range(0, len(words), size)]


def _entry(slot: Sequence[int]) -> PlainEntry:
    time = slot[1] - 2**64 if slot[1] >= 2**63 else slot[1]
    return time, slot[2], slot[3], tuple(slot[4:])
