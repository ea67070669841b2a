"""The two ends of a soak run: events at a rate, and what came out, by the position of what it answers."""

import threading
import time
from collections.abc import Sequence

import msgspec
import numpy as np
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, Producer, TopicPartition

from tests.integration.usecase import Visit

TEXT = """
name: NAME
task: binary
event:
  id: visit
  time: {field: at, unit: ms}
  fields:
    visit: string
    at: timestamp
    person: string
    door: {type: string, missing: allow}
    weight: {type: float64, min: 0, max: 1000, missing: reject, out_of_range: reject}
entities: {person: person, door: door}
label: {field: bad, delay: 5000ms}
grace: 20s
history: none
features:
  - fields: [weight]
  - window: {entity: person, spans: [1m, 10m], aggregates: [count, mean(weight), std(weight)]}
  - {window: {entity: person, spans: [10m], aggregates: [count], where: "weight > 4", name: heavy}}
  - window: {entity: person, spans: [20 events], aggregates: [max(weight)]}
  - window: {entity: door, spans: [10m], delay: 10s, empty: 0, aggregates: [count, count(label), mean(label)]}
rules:
  - {when: "weight > 5", score: 0.9, reason: heavy}
  - {otherwise: 0.1}
decisions:
  - {when: "score > 0.5", decision: stop}
  - {otherwise: go}
output: {features: all}
training: {rounds: 20, parameters: {num_leaves: 7, min_child_samples: 20}}
"""
PEOPLE, DOORS = 20_000, 1_000
TICK_S = 0.05
LABELLED, POISONED = 0.2, 0.002
POISON = (
    None, b"", b"{", b"\xff\xfe", b"[" * 2_000, b'{"visit": 1}', b'{"visit": "p", "at": 0, "person": "a"}',
    b'{"visit": "p", "at": 4102444800000, "person": "a", "weight": 1}', b"x" * 200_000,
    b'{"visit": "", "at": 1, "person": "a", "weight": 1}',
    b'{"visit": "p", "at": 1, "person": "a", "weight": -5}',
)  # fmt: skip


class Load(threading.Thread):
    """Produces events, a share of labels, and a share of records that nobody can read."""

    def __init__(self, bootstrap: str, events: str, labels: str, rate: int, seed: int) -> None:
        super().__init__(name="load", daemon=True)
        config = {"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "linger.ms": 5}
        self._producer = Producer(config | {"enable.idempotence": True, "message.timeout.ms": 600_000})
        self._events, self._labels, self._rate = events, labels, rate
        self._draw = np.random.default_rng(seed)
        self._done = threading.Event()
        self.sent = 0
        self.failed: list[str] = []

    def run(self) -> None:
        began, asked = time.monotonic(), 0
        while not self._done.wait(TICK_S):
            due = int((time.monotonic() - began) * self._rate)
            self._send(
                min(due - asked, self._rate)
            )  # what a restart held up comes at no more than twice the rate
            asked = due

    def finish(self) -> None:
        """No more events; returns when what was sent stands in the log."""
        self._done.set()
        self.join()
        assert self._producer.flush(120) == 0
        assert not self.failed, self.failed[:3]
        self._producer.close()

    def poison(self, count: int) -> None:
        """So many bad records at once, from any thread."""
        for at in range(count):
            self._produce(self._events, b"poison", POISON[at % len(POISON)])

    def _send(self, count: int) -> None:
        now = time.time_ns() // 1_000_000
        people = self._draw.integers(PEOPLE, size=count)
        doors, weights = self._draw.integers(DOORS, size=count), self._draw.normal(4.0, 2.0, count).clip(0)
        kinds = self._draw.random(count)
        for at in range(count):
            visit = Visit(
                f"v-{self.sent + at}", now, f"p{people[at]}", f"d{doors[at]}", round(float(weights[at]), 2),
                bool(weights[at] > 5), now,
            )  # fmt: skip
            record = visit.record()
            self._produce(self._events, record.key, record.value)
            if kinds[at] < LABELLED:
                label = visit.label_record()
                self._produce(self._labels, label.key, label.value)
            elif kinds[at] > 1 - POISONED:
                self.poison(1)
        self.sent += count

    def _produce(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, on_delivery=self._note)
                break
            except BufferError:
                self._producer.poll(0.1)
        self._producer.poll(0)

    def _note(self, error: object, _: object) -> None:
        if error is not None:
            self.failed.append(str(error))


class _Origin(msgspec.Struct):
    partition: int
    offset: int


class _Answer(msgspec.Struct):
    origin: _Origin


class Account(threading.Thread):
    """Reads both output topics and counts how often each position of the events topic was answered."""

    def __init__(self, bootstrap: str, outputs: Sequence[str], partitions: int) -> None:
        super().__init__(name="account", daemon=True)
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"{outputs[0]}.account",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
            }
        )
        places = [TopicPartition(t, p, OFFSET_BEGINNING) for t in outputs for p in range(partitions)]
        self._consumer.assign(places)
        self._answers = [bytearray() for _ in range(partitions)]
        self._decoder = msgspec.json.Decoder(_Answer)
        self._done = threading.Event()
        self.answered = 0

    def run(self) -> None:
        while not self._done.is_set():
            for message in self._consumer.consume(2_000, 0.2):
                if message.error() is None:
                    self._count(*self._origin(message))
        self._consumer.close()

    def _origin(self, message: Message) -> tuple[int, int]:
        headers = dict(message.headers() or [])
        if "riverrun.reason" in headers:
            return int(headers["riverrun.partition"] or 0), int(headers["riverrun.offset"] or 0)
        origin = self._decoder.decode(message.value() or b"").origin
        return origin.partition, origin.offset

    def _count(self, partition: int, offset: int) -> None:
        counts = self._answers[partition]
        if offset >= len(counts):
            counts.extend(bytes(offset + 1 - len(counts) + 4_096))
        self.answered += counts[offset] == 0
        counts[offset] = min(255, counts[offset] + 1)

    def ends(self, events: str) -> list[int]:
        """How many records each partition of the events topic holds."""
        places = [TopicPartition(events, p) for p in range(len(self._answers))]
        return [self._consumer.get_watermark_offsets(place, timeout=30)[1] for place in places]

    def lost(self, ends: Sequence[int]) -> int:
        """Records before `ends` that nothing answers."""
        return sum(end - sum(map(bool, c[:end])) for end, c in zip(ends, self._answers, strict=True))

    def doubled(self) -> int:
        """Records that were answered more than once."""
        return sum(sum(count > 1 for count in counts) for counts in self._answers)

    def finish(self) -> None:
        self._done.set()
        self.join()
