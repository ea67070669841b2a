"""A batch of events: decoded, valid, and laid out as one array per field."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from features.arrays import Column, Floats, Ints, UInts

POSITION_OFFSET_BITS = 48
HISTORY_PARTITION = -1
_TEXT_HASH_SHIFT = np.uint64(12)
_UNUSED = hashlib.blake2b(digest_size=8)


@dataclass(frozen=True, slots=True)
class EventBatch:
    """n events in the order of their source; every array has shape (n,)."""

    ids: Sequence[str]
    """Event ids as text."""
    hashes: UInts
    """`hash_ids(ids)`."""
    times: Ints
    """Event time in the definition's time unit: ms since the epoch, or the sequence number."""
    positions: UInts
    """`pack_positions` of source partition and offset."""
    columns: Mapping[str, Column]
    """Every field of the definition by name."""
    keys: Mapping[str, Sequence[str | None]]
    """Entity keys by entity name; None where a field of the key is missing."""

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, index: Ints) -> "EventBatch":
        """The events at `index`, in its order."""
        picked = index.tolist()
        return EventBatch(
            ids=[self.ids[i] for i in picked],
            hashes=self.hashes[index],
            times=self.times[index],
            positions=self.positions[index],
            columns={name: column[index] for name, column in self.columns.items()},
            keys={name: [keys[i] for i in picked] for name, keys in self.keys.items()},
        )


def pack_positions(partitions: Ints, offsets: Ints) -> UInts:
    """Source positions as integers that order by (partition, offset).

    The partition plus one takes the upper 16 bits, so that history (partition -1) comes first, and
    the offset the lower 48.
    """
    upper = (np.asarray(partitions, np.int64) + 1).astype(np.uint64) << np.uint64(POSITION_OFFSET_BITS)
    return upper | np.asarray(offsets, np.int64).astype(np.uint64)


def position_partitions(positions: UInts) -> Ints:
    """The partitions of packed positions; -1 for history."""
    return (positions >> np.uint64(POSITION_OFFSET_BITS)).astype(np.int64) - 1


def position_offsets(positions: UInts) -> Ints:
    """The offsets of packed positions."""
    return (positions & np.uint64((1 << POSITION_OFFSET_BITS) - 1)).astype(np.int64)


def hash_ids(ids: Iterable[str]) -> UInts:
    """BLAKE2b of each id's UTF-8 bytes, cut to 64 bits (little-endian)."""
    digests: list[bytes] = []
    for i in ids:
        state = _UNUSED.copy()  # costs half of what making one does
        state.update(i.encode())
        digests.append(state.digest())
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64, copy=False)


def hash_texts(texts: Sequence[str | None]) -> Floats:
    """Texts as numbers: the upper 52 bits of `hash_ids`, all that a float64 holds exactly; None is NaN."""
    hashes = hash_ids(["" if text is None else text for text in texts]) >> _TEXT_HASH_SHIFT
    return np.where([text is None for text in texts], np.nan, hashes.astype(np.float64))


def entity_key(parts: Sequence[str]) -> str:
    """The key of an entity of one or more fields; parts are joined by U+001F, which is escaped in them."""
    if len(parts) == 1:
        return parts[0]
    return "\x1f".join(part.replace("\\", "\\\\").replace("\x1f", "\\u001f") for part in parts)
