"""Lookups as bytes: the values that others write beside the rows, layout 1.

There is one value for each (use case, entity, key), under ``rr:<use case>:lookup:<entity>:<key>``. With k
fields it takes 24 + 8k bytes, little-endian:

====== ======== =====================================================================
offset type     meaning
====== ======== =====================================================================
0      4 bytes  ``RRL1``
4      uint32   CRC-32 (of zlib, PNG and gzip) of all that follows, from offset 8 on
8      uint64   fingerprint of the field list (`fingerprint`)
16     int64    `written_at`: when the values came to be, in ms since the epoch
24     float64  the fields in the order of the use case file; NaN is missing, infinity is not
                allowed. A text is the number `features.event.hash_texts` makes of it
====== ======== =====================================================================

A JSON object is read too: ``{"written_at": 1533712353000, "segment": "gold", "credit_limit": 5000}``,
with numbers, true, false, texts for text fields, and null, which is the same as absent; other names are
skipped. Whatever else stands there is unreadable, and so is what was written for another field list:
it gives no numbers at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias
from zlib import crc32

import msgspec
import numpy as np

from features.arrays import Bools, Floats, Ints
from features.definition.model import LookupFeature
from features.event import hash_ids, hash_texts
from features.timestamps import TIME_END_MS

MAGIC = b"RRL1"
WORD = 8
HEAD_WORDS = 3
JSON_BYTES_MAX = 1 << 16
NEVER = -(2**62)
"""The `written_at` of what does not say; older than any age allows."""
WRITTEN_AT = "written_at"

_MAGIC_WORD = np.uint64(int.from_bytes(MAGIC, "little"))
_HALF_WORD = np.uint64(32)
_TIME_END = np.uint64(TIME_END_MS)

Fields: TypeAlias = tuple[LookupFeature, ...]
"""The lookups of one entity in the order of the file."""


@dataclass(frozen=True, slots=True)
class Lookups:
    """What m keys of one entity hold."""

    written_at: Ints
    """Shape (m,): ms since the epoch, or `NEVER`."""
    values: Floats
    """Shape (m, fields); NaN is missing."""
    found: Bools
    """Shape (m,): whether there is a value that can be read."""
    unreadable: Bools
    """Shape (m,): whether there is one that cannot."""


def lookup_prefix(use_case: str, entity: str) -> bytes:
    """What precedes the entity key (UTF-8) in a store key. No state fingerprint: others write here."""
    return f"rr:{use_case}:lookup:{entity}:".encode()


def fingerprint(fields: Fields) -> int:
    """BLAKE2b, 64 bits, of each field's line ``<name> number`` or ``<name> text``, line feed included."""
    lines = (f"{f.field} {'text' if f.is_category else 'number'}\n" for f in fields)
    return int(hash_ids(["".join(lines)])[0])


def lookup_bytes(fields: Fields) -> int:
    """The size of a packed value."""
    return WORD * (HEAD_WORDS + len(fields))


def encode_lookups(fields: Fields, written_at: Ints, values: Floats) -> list[bytes]:
    """Packed values of m keys; `values` has shape (m, fields), texts hashed."""
    words = np.empty((len(written_at), HEAD_WORDS + len(fields)), dtype="<u8")
    words[:, 1] = fingerprint(fields)
    words[:, 2] = written_at.view(np.uint64)
    words[:, HEAD_WORDS:] = np.ascontiguousarray(values).view(np.uint64)
    bodies = words[:, 1:].tobytes()
    size = lookup_bytes(fields) - WORD
    parts = [bodies[at : at + size] for at in range(0, len(bodies), size)]
    return [MAGIC + crc32(body).to_bytes(4, "little") + body for body in parts]


def decode_lookups(fields: Fields, values: Sequence[bytes | None]) -> Lookups:
    """What stands in values as the store gave them; None is absent. Never raises."""
    m, size = len(values), lookup_bytes(fields)
    sized = [value for value in values if value is not None and len(value) == size]
    packed, sound = _read_packed(fields, sized)
    if len(sized) == m and sound.all():  # as nearly always: nothing to sort out
        return packed
    lookups = Lookups(
        written_at=np.full(m, NEVER),
        values=np.full((m, len(fields)), np.nan),
        found=np.zeros(m, np.bool_),
        unreadable=np.array([value is not None for value in values], np.bool_),
    )
    places = [at for at, value in enumerate(values) if value is not None and len(value) == size]
    index = np.array(places, np.int64)[sound]
    lookups.written_at[index] = packed.written_at[sound]
    lookups.values[index] = packed.values[sound]
    lookups.found[index] = True
    lookups.unreadable[index] = False
    for at in np.flatnonzero(lookups.unreadable).tolist():
        _read_json(fields, values[at] or b"", lookups, at)
    return lookups


def _read_packed(fields: Fields, values: Sequence[bytes]) -> tuple[Lookups, Bools]:
    """What stands in values of a packed one's size, and which of them are whole values of these fields."""
    words = np.frombuffer(b"".join(values), dtype="<u8").reshape(-1, HEAD_WORDS + len(fields))
    written_at, numbers = words[:, 2].view(np.int64), words[:, HEAD_WORDS:].view(np.float64)
    sums = np.fromiter([crc32(value[WORD:]) for value in values], np.uint64, len(values))
    sound = words[:, 0] == (sums << _HALF_WORD | _MAGIC_WORD)
    sound &= words[:, 1] == _layout(fields).fingerprint
    # As an unsigned number a time before 1970 is larger than any.
    sound &= words[:, 2] < _TIME_END
    sound &= ~np.isinf(numbers).any(axis=1)
    found = np.ones(len(values), np.bool_)
    return Lookups(written_at, numbers, found, ~found), sound


def _read_json(fields: Fields, value: bytes, lookups: Lookups, at: int) -> None:
    """Fill in one that is a JSON object of these fields."""
    if len(value) > JSON_BYTES_MAX:
        return
    try:
        found = _layout(fields).decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    written_at, *held = msgspec.structs.astuple(found)
    if written_at is not None and not 0 <= written_at < TIME_END_MS:
        return
    lookups.written_at[at] = NEVER if written_at is None else written_at
    lookups.values[at] = [hash_texts([one])[0] if isinstance(one, str) else one for one in held]
    lookups.found[at] = True
    lookups.unreadable[at] = False


@dataclass(frozen=True, slots=True)
class _Layout:
    fingerprint: np.uint64
    decoder: msgspec.json.Decoder[Any]


@lru_cache(maxsize=64)
def _layout(fields: Fields) -> _Layout:
    """What reading needs of a field list, worked out once."""
    members: list[tuple[str, Any, None]] = [(WRITTEN_AT, int | None, None)]
    members += [
        (f"f{at}", str | None if field.is_category else float | bool | None, None)
        for at, field in enumerate(fields)
    ]
    names = {f"f{at}": field.field for at, field in enumerate(fields)}
    struct = msgspec.defstruct("Lookup", members, rename=names)
    return _Layout(np.uint64(fingerprint(fields)), msgspec.json.Decoder(struct))
