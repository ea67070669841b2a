"""A checksum in the first word of fixed-size slots of 64-bit words.

The seal's lowest byte says what kind of slot it is, its other 56 bits are the checksum of the kind, of the
words and of the slot's place: each word, folded on itself so that its upper bits reach the lower ones, is
multiplied by an odd constant of its position, and the sum modulo 2**64 is mixed once more. A changed word
always changes the sum; that random bytes are taken for a slot has a probability of about 2**-56.
"""

from enum import IntEnum
from functools import cache

import numpy as np

from features.arrays import Bools, UInts


class Kind(IntEnum):
    """What a slot of a row is."""

    ENTRY = 1
    HEAD = 2
    TILE = 3


_KIND = np.uint64(0xFF)
_HALF = np.uint64(32)
_PLACE = np.uint64(0xD1342543DE82EF95)
_MIX = np.uint64(0xFF51AFD7ED558CCD)
_WORD_MAX = 2**64 - 1
_SLOTS_AT_ONCE = 16_384
"""What is worked on at once fits the processor's cache."""


def kinds(words: UInts) -> UInts:
    """What the slots in `words` say of themselves."""
    return words[:, 0] & _KIND


def seals(words: UInts, places: UInts | None = None) -> UInts:
    """The first words that m slots must have, given their kinds.

    words: shape (m, n); of the first words only the kind is taken. places: shape (m,), for slots that are
    bound to their place in the row; 0 by default.
    """
    found = np.empty(len(words), np.uint64)
    for at in range(0, len(words), _SLOTS_AT_ONCE):
        some = slice(at, at + _SLOTS_AT_ONCE)
        mixed = _mixed(words[some], kinds(words[some]), None if places is None else places[some])
        found[some] = (mixed & ~_KIND) | kinds(words[some])
    return found


def split_sealed(kind: Kind, words: UInts, columns: UInts) -> Bools:
    """Which of m slots are of this kind and carry the seal they must have at place 0: shape (m,).

    words: shape (m, n). columns: shape (n - 1, m), filled with the words but the first, column by column.
    Both at once, while the words are in the processor's cache: what reads the columns afterwards, and the
    checksums here, are several times faster where a column's words are next to each other.
    """
    m, n = words.shape
    constants = _constants(n)
    fits = np.empty(m, np.bool_)
    sums, folded = np.empty((2, min(m, _SLOTS_AT_ONCE)), np.uint64)
    for at in range(0, m, _SLOTS_AT_ONCE):
        some = slice(at, at + _SLOTS_AT_ONCE)
        total, mixed = sums[: m - at], folded[: m - at]
        total[:] = constants[:1] * np.uint64(kind)
        for place in range(1, n):
            column = columns[place - 1, some]
            column[:] = words[some, place]
            np.right_shift(column, _HALF, out=mixed)
            mixed ^= column
            mixed *= constants[place]
            total += mixed
        np.right_shift(total, _HALF, out=mixed)
        total ^= mixed
        total *= _MIX
        total |= _KIND
        total ^= _KIND ^ np.uint64(kind)
        np.equal(total, words[some, 0], out=fits[some])
    return fits


def _mixed(words: UInts, kind: UInts | Kind, places: UInts | None) -> UInts:
    folded = words >> _HALF
    folded ^= words
    folded[:, 0] = kind
    sums = folded @ _constants(words.shape[1])
    if places is not None:
        sums += places * _PLACE
    sums ^= sums >> _HALF
    sums *= _MIX
    return sums


@cache
def _constants(count: int) -> UInts:
    """Odd numbers without a pattern, by splitmix64 (Steele, Lea, Flood, 2014)."""
    found = []
    state = 0
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & _WORD_MAX
        mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _WORD_MAX
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _WORD_MAX
        found.append((mixed ^ (mixed >> 31)) | 1)
    return np.array(found, np.uint64)
