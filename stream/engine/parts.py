"""What a poll brought, cut into batches that are answered one after the other, as if each had been polled."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from stream.records import RecordBatch
from stream.transport.endpoints import PartitionLag


@dataclass(frozen=True, slots=True)
class Part:
    """A batch out of a poll."""

    records: RecordBatch
    lags: Mapping[int, PartitionLag]
    """By assigned partition, how far the source would be if it had been polled no further."""


def cut(records: RecordBatch, events_max: int, lags: Mapping[int, PartitionLag], now_ms: int) -> list[Part]:
    """Parts of `events_max` records at most, alike in size. lags: the source's after the poll."""
    count = -(-len(records) // events_max)
    if count <= 1:
        return [Part(records, lags)]
    bounds = [len(records) * at // count for at in range(count + 1)]
    return [
        Part(records.part(begin, end), {**lags, **_before(records, end, lags, now_ms)})
        for begin, end in pairwise(bounds)
    ]


def _before(
    records: RecordBatch, at: int, lags: Mapping[int, PartitionLag], now_ms: int
) -> dict[int, PartitionLag]:
    """How far the source was before the records from place `at` on, in the partitions that they are of."""
    partitions, offsets, timestamps = (
        column[at:] for column in (records.partitions, records.offsets, records.timestamps)
    )
    found = {}
    for partition in lags.keys() & set(partitions.tolist()):
        lag, mine = lags[partition], partitions == partition
        oldest, newest = int(timestamps[mine].min()), int(timestamps[mine].max())
        # Before its timestamp a record did not stand in the log; one without, or dated ahead, tells nothing.
        is_told = oldest >= 0 and newest <= now_ms
        since = min(oldest, lag.seen_until_ms(now_ms)) if is_told else -1
        found[partition] = PartitionLag(int(offsets[mine][0]), lag.end, since, lag.end_at_ms)
    return found
