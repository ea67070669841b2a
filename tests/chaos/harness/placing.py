"""Where records stand whose acknowledgement did not say: of a repeated batch a broker tells no offsets."""

from collections.abc import Sequence
from dataclasses import dataclass

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from tests.chaos.harness.books import Books, Planned, Sent
from tests.integration.processes import await_that

_AT_ONCE = 1_000
_READ_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A record that stands somewhere in its partition."""

    planned: Planned
    acked_ms: int
    is_late: bool


def place(bootstrap: str, topic: str, unplaced: Sequence[Unplaced], books: Books) -> list[Unplaced]:
    """Look for them among what the books do not know, and note them; returns those that are nowhere."""
    left = list(unplaced)
    reader = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"{topic}.placing",
            "enable.auto.commit": False,
            "fetch.message.max.bytes": 10_000_000,
            "log_level": 2,
        }
    )
    partitions = sorted({one.planned.partition for one in left})
    ends = {p: reader.get_watermark_offsets(TopicPartition(topic, p), timeout=30)[1] for p in partitions}
    reader.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in partitions])

    def is_read() -> bool:
        for message in reader.consume(_AT_ONCE, 0.5):
            partition, offset = message.partition(), message.offset()
            if partition is None or offset is None or message.error() is not None:
                continue
            ends[partition] = 0 if offset + 1 >= ends[partition] else ends[partition]
            found = _of(message.key(), message.value(), partition, left)
            if found is not None and books.get((partition, offset)) is None:
                left.remove(found)
                books.insert(Sent.of(found.planned, offset, found.acked_ms, found.is_late))
        return not left or not any(ends.values())

    try:
        await_that(is_read, f"{topic} is not read to its end", _READ_WITHIN_S)
    finally:
        reader.close()
    return left


def _of(key: bytes | None, value: bytes | None, partition: int, among: Sequence[Unplaced]) -> Unplaced | None:
    wanted = (partition, key, value)
    of_it = (one for one in among if (one.planned.partition, one.planned.key, one.planned.value) == wanted)
    return next(of_it, None)
