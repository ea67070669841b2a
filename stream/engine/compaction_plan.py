"""Which rows have grown past their limits, told by the lengths that appends answer. Pure."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.arrays import Ints
from features.codec import entry_bytes
from features.definition.model import RowSchema
from features.keys import Namespace

LIMITS_MAX = 100_000
"""Limits that are remembered; a row whose limit is forgotten is looked at once more."""
DUE_MAX = 10_000
"""Rows that wait; more are found again when something is appended to them."""


@dataclass(frozen=True, slots=True)
class Growth:
    """How far the rows of one schema may grow."""

    prefix: bytes
    schema: RowSchema
    first: int
    """Bytes that no row exceeds without being looked at."""
    allowance: int
    """Bytes it may grow by after that, until it is looked at again."""


def growth_of(namespace: Namespace, schemas: Sequence[RowSchema]) -> list[Growth]:
    """Twice the exact entries at first, then as many once more."""
    return [
        Growth(
            prefix=namespace.row_prefix(schema.entity, schema.kind),
            schema=schema,
            first=2 * schema.exact * entry_bytes(schema),
            allowance=schema.exact * entry_bytes(schema),
        )
        for schema in schemas
    ]


@dataclass(frozen=True, slots=True)
class Due:
    """A row to look at."""

    key: bytes
    growth: Growth
    length: int


class CompactionPlan:
    """Rows that are due, and the limits of those that were looked at; both bounded."""

    def __init__(self, growths: Sequence[Growth]) -> None:
        self._growths = growths
        self._least = min((growth.first for growth in growths), default=0)
        self._limits: OrderedDict[bytes, int] = OrderedDict()
        """The one used longest ago first."""
        self._due: OrderedDict[bytes, Due] = OrderedDict()

    def __len__(self) -> int:
        return len(self._due)

    def grew(self, keys: Sequence[bytes], lengths: Ints) -> None:
        """Rows were appended to; their lengths in bytes after that."""
        if not self._growths:
            return
        for at in np.flatnonzero(lengths > self._least).tolist():
            key, length = keys[at], int(lengths[at])
            growth = next(one for one in self._growths if key.startswith(one.prefix))
            limit = self._limits.get(key)
            if limit is not None:
                self._limits.move_to_end(key)
            if length > (growth.first if limit is None else limit) and (
                key in self._due or len(self._due) < DUE_MAX
            ):
                self._due[key] = Due(key, growth, length)

    def take(self, rows_max: int, bytes_max: int) -> list[Due]:
        """The rows that wait longest; only a row that comes alone may be larger than `bytes_max`."""
        taken: list[Due] = []
        size = 0
        while self._due and len(taken) < rows_max:
            due = next(iter(self._due.values()))
            size += due.length
            if taken and size > bytes_max:
                break
            del self._due[due.key]
            taken.append(due)
        return taken

    def looked_at(self, due: Due, length: int) -> None:
        """The row is as small as it can be, at so many bytes."""
        self._limits[due.key] = max(length, due.growth.first - due.growth.allowance) + due.growth.allowance
        self._limits.move_to_end(due.key)
        if len(self._limits) > LIMITS_MAX:
            self._limits.popitem(last=False)

    def forget(self) -> None:
        """The store lost its state: what was known of rows no longer holds."""
        self._limits.clear()
        self._due.clear()
