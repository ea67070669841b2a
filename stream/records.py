"""A batch of records, as Kafka holds them: bytes and coordinates, nothing decoded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from features.arrays import Ints

Headers: TypeAlias = list[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """n records of one topic, in partition order; every sequence has n items."""

    topic: str
    partitions: Ints
    offsets: Ints
    timestamps: Ints
    """The record's timestamp in ms since the epoch; -1 where the producer gave none."""
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    headers: Callable[[int], Headers]
    """The headers of record i; read only where they are needed."""

    def __len__(self) -> int:
        return len(self.values)
