"""Load at a fixed rate, and how long each record took until a reader had what became of it.

When each record is due is settled before the first is sent, and its latency counts from then: a sender or a
worker that falls behind makes all that follows late, and none of it is left out (no coordinated omission).
The record's Kafka timestamp is the moment it was due, too. The reader is a process of its own.
"""

import gc
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

import msgspec
import numpy as np
from confluent_kafka import Consumer, Producer, TopicPartition

from features.arrays import Floats, Ints

SETTLE_NS = 20_000_000
"""From the call until the first record is due."""
AT_ONCE = 2_000
IDLE_S = 0.02
LOOSE_ENDS_S = 0.2
"""How long the reader waits, once it has all, for records that should not come."""


@dataclass(frozen=True, slots=True)
class Sent:
    """n records and when each was due, in ns of the monotonic clock."""

    ids: Ints
    due_ns: Ints
    late_ns: Ints
    """How late the sender itself got to each: part of its latency, and the same for whoever answers."""


@dataclass(frozen=True, slots=True)
class Read:
    """m records of an output topic, in the order in which they were read."""

    ids: Ints
    read_ns: Ints
    by_model: int
    """How many a model answered; those of a pass-through count as none."""
    versions: Sequence[str]
    """Which model version answered each; empty for a pass-through."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of n records that were sent."""

    due_ns: Ints
    latency_ms: Floats
    """Shape (n,), of the first output of each; NaN where there is none."""
    lost: int
    doubled: int
    by_model: int
    versions: Sequence[str]
    """Shape (n,): by which version each was answered."""


class _Message(msgspec.Struct, gc=False):
    """A prediction's, or an event's that was passed through."""

    event_id: str = ""
    transaction_id: str = ""
    source: str = ""
    model: dict[str, str | None] = {}


class Sender:
    """Sends at a fixed rate from this thread."""

    def __init__(self, bootstrap: str, linger_ms: float) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "partitioner": "murmur2_random",
                "linger.ms": linger_ms,
                "queue.buffering.max.messages": 1_000_000,
            }
        )

    def send(
        self, topic: str, ids: Sequence[int], records: Sequence[tuple[bytes | None, bytes | None]], rate: int
    ) -> Sent:
        """Each record when it is due, or as soon after that as this thread gets to it."""
        produce, poll, clock, sleep = (
            self._producer.produce,
            self._producer.poll,
            time.monotonic_ns,
            time.sleep,
        )
        start_ns = clock() + SETTLE_NS
        due_ns = start_ns + (np.arange(len(records)) * (1e9 / rate)).astype(np.int64)
        stamps_ms = ((time.time_ns() - clock() + due_ns) // 1_000_000).tolist()
        late_ns: list[int] = []
        gc.disable()
        try:
            for (key, value), due, stamp in zip(records, due_ns.tolist(), stamps_ms, strict=True):
                while (ahead := due - clock()) > 0:
                    poll(0)
                    sleep(ahead / 1e9)
                late_ns.append(-ahead)
                produce(topic, value, key, timestamp=stamp)
        finally:
            gc.enable()
        assert self._producer.flush(60) == 0, "not everything was sent"
        return Sent(np.array(ids, np.int64), due_ns, np.array(late_ns))


class Reader:
    """What comes out of a topic from now on; it reads in a process of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def take(self, count: int, patience_s: float) -> Read:
        """So many records, and whatever else came by then; fewer where they do not come in time."""
        self._connection.send((count, patience_s))
        found: Read = self._connection.recv()
        return found


@contextmanager
def reading(bootstrap: str, topic: str, partitions: int) -> Iterator[Reader]:
    """A reader that is in place: it misses nothing that is produced from then on."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_read, args=(theirs, bootstrap, topic, partitions), daemon=True)
    process.start()
    try:
        ours.recv()
        yield Reader(ours)
        ours.send(None)
        process.join(10)
    finally:
        process.kill()


def outcome(sent: Sent, read: Read) -> Outcome:
    """Match what was read with what was sent, by id."""
    order = np.argsort(sent.ids)
    place = np.searchsorted(sent.ids[order], read.ids)
    known = place < len(order)
    known[known] = sent.ids[order][place[known]] == read.ids[known]
    row = order[place[known]]
    first, at, counts = np.unique(row, return_index=True, return_counts=True)
    latency_ms = np.full(len(sent.ids), np.nan)
    latency_ms[first] = (read.read_ns[known][at] - sent.due_ns[first]) / 1e6
    versions = np.full(len(sent.ids), "", dtype=object)
    versions[first] = np.array(read.versions, dtype=object)[known][at]
    return Outcome(
        sent.due_ns,
        latency_ms,
        lost=len(sent.ids) - len(first),
        doubled=int((counts - 1).sum()),
        by_model=read.by_model,
        versions=versions.tolist(),
    )


def _read(connection: Connection, bootstrap: str, topic: str, partitions: int) -> None:
    """The reader's process: collect, and decode only when nothing is timed."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"{topic}.latency-reader",
            "enable.auto.commit": False,
            "fetch.min.bytes": 1,
        }
    )
    places = [TopicPartition(topic, p) for p in range(partitions)]
    for place in places:
        _, place.offset = consumer.get_watermark_offsets(place, timeout=10)
    consumer.assign(places)
    consumer.consume(1, 0.5)
    connection.send(True)
    gc.disable()
    found = _Found()
    while True:
        found.look(consumer)
        if connection.poll(0):
            asked = connection.recv()
            if asked is None:
                break
            count, patience_s = asked
            deadline_s = time.monotonic() + patience_s
            while len(found.values) < count and time.monotonic() < deadline_s:
                found.look(consumer)
            until_s = time.monotonic() + LOOSE_ENDS_S
            while time.monotonic() < until_s:
                found.look(consumer)
            connection.send(found.decoded())
            found = _Found()
            gc.collect()
    consumer.close()


class _Found:
    """What was read, as it came."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.read_ns: list[int] = []

    def look(self, consumer: Consumer) -> None:
        messages = consumer.consume(1, IDLE_S)
        if messages:
            messages += consumer.consume(AT_ONCE, 0)
        now_ns = time.monotonic_ns()
        for message in messages:
            if error := message.error():
                raise SystemExit(str(error))
            self.values.append(message.value() or b"")
        self.read_ns += [now_ns] * len(messages)

    def decoded(self) -> Read:
        decode = msgspec.json.Decoder(_Message).decode
        found = [decode(value) for value in self.values]
        return Read(
            ids=np.array([int(one.event_id or one.transaction_id) for one in found], np.int64),
            read_ns=np.array(self.read_ns, np.int64),
            by_model=sum(one.source == "model" for one in found),
            versions=[one.model.get("version") or "" for one in found],
        )
