"""Rows and times on one line of integers, and ranges of it."""

from dataclasses import dataclass

import numpy as np

from features.arrays import Ints


@dataclass(frozen=True, slots=True)
class Axis:
    """Row number and time in one integer that orders like the pair.

    Dense where the product of rows and time range fits 63 bits, else over the ranks of `distinct`.
    """

    base: int
    width: int
    distinct: Ints | None

    @classmethod
    def over(cls, times: Ints, rows_max: int) -> "Axis":
        base, last = (int(times.min()), int(times.max())) if len(times) else (0, 0)
        width = last - base + 3
        if (rows_max + 1) * width < 2**63:
            return cls(base, width, None)
        distinct = np.unique(times)
        return cls(0, len(distinct) + 2, distinct)

    def keys(self, row: Ints, times: Ints) -> Ints:
        """Comparable integers: an entry's is at most that of (r, t) exactly where its time is not after t."""
        if self.distinct is None:
            along = np.clip(times, self.base - 1, self.base + self.width - 2) - (self.base - 1)
        else:
            along = np.searchsorted(self.distinct, times, side="right")
        return row * self.width + along

    def keys_within(self, row: Ints, times: Ints) -> Ints:
        """The same, of times that the axis was made over and is dense for."""
        keys = row * self.width
        keys += times
        keys -= self.base - 1
        return keys

    def times(self, row: Ints, keys: Ints) -> Ints:
        """What `keys_within` was given."""
        times = row * -self.width
        times += keys
        times += self.base - 1
        return times


def search_from(keys: Ints, begin: Ints, reach: int, wanted: Ints) -> Ints:
    """`np.searchsorted(keys, wanted, side="right")`, where that is from `begin` to `begin + reach`.

    All searches take each step together, without branches: one by one, a processor guesses half of them
    wrong, and that is what they cost.
    """
    found = begin.copy()
    step = (1 << reach.bit_length()) >> 1
    while step:
        found += (keys.take(found + (step - 1), mode="clip") <= wanted) * np.int64(step)
        step >>= 1
    return np.minimum(found, len(keys))


def ragged_arange(starts: Ints, lengths: Ints) -> Ints:
    """``starts[0] … starts[0] + lengths[0] - 1, starts[1] …``, as one array."""
    ends = np.cumsum(lengths)
    return np.repeat(starts - (ends - lengths), lengths) + np.arange(int(ends[-1]) if len(ends) else 0)
