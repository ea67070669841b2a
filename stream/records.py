"""A batch of records, as Kafka holds them: bytes and coordinates, nothing decoded."""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

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

    def part(self, begin: int, end: int) -> "RecordBatch":
        """Records `begin` to `end`, without the latter."""
        return RecordBatch(
            topic=self.topic,
            partitions=self.partitions[begin:end],
            offsets=self.offsets[begin:end],
            timestamps=self.timestamps[begin:end],
            keys=self.keys[begin:end],
            values=self.values[begin:end],
            headers=lambda i: self.headers(begin + i),
        )

    def without(self, partitions: AbstractSet[int]) -> "RecordBatch":
        """The records of other partitions."""
        kept = np.flatnonzero(~np.isin(self.partitions, sorted(partitions)))
        if len(kept) == len(self):
            return self
        at = kept.tolist()
        return RecordBatch(
            topic=self.topic,
            partitions=self.partitions[kept],
            offsets=self.offsets[kept],
            timestamps=self.timestamps[kept],
            keys=[self.keys[i] for i in at],
            values=[self.values[i] for i in at],
            headers=lambda i: self.headers(at[i]),
        )
