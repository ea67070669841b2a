"""Structure read off bytes, so that a fuzzer that changes bytes changes what is built of them."""

import struct
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Drawing:
    """Reads the input from its beginning; past its end everything is zero, so that any input is one."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return max(0, len(self._data) - self._at)

    def taken(self, count: int) -> bytes:
        """The next bytes, filled up with zeros."""
        found = self._data[self._at : self._at + count]
        self._at += count
        return found.ljust(count, b"\0")

    def rest(self) -> bytes:
        """All that is left."""
        return self.taken(self.left)

    def below(self, bound: int) -> int:
        """An integer from 0 up to, not including, a bound of at most 65,536."""
        size = 1 if bound <= 256 else 2
        return int.from_bytes(self.taken(size), "little") % bound

    def choice(self, among: Sequence[T]) -> T:
        return among[self.below(len(among))]

    def flag(self) -> bool:
        return bool(self.below(2))

    def int64(self) -> int:
        return int.from_bytes(self.taken(8), "little", signed=True)

    def float64(self) -> float:
        """Any, infinities and NaN included."""
        (number,) = struct.unpack("<d", self.taken(8))
        return float(number)

    def some_bytes(self, count_max: int) -> bytes:
        return self.taken(min(self.below(count_max + 1), self.left))
