"""The two ends of a soak run: events at a rate, and what came out, by the position of what it answers."""

import time
from collections.abc import Sequence

import msgspec
import numpy as np
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from tests.integration.usecase import Visit
from tests.soak.running import Part

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
QUIET = {"log_level": 2}
"""librdkafka says ten times a second that a broker which is being started anew refuses its calls."""
LABELLED, POISONED = 0.2, 0.002
POISON = (
    None, b"", b"{", b"\xff\xfe", b"[" * 2_000, b'{"visit": 1}', b'{"visit": "p", "at": 0, "person": "a"}',
    b'{"visit": "p", "at": 4102444800000, "person": "a", "weight": 1}', b"x" * 200_000,
    b'{"visit": "", "at": 1, "person": "a", "weight": 1}',
    b'{"visit": "p", "at": 1, "person": "a", "weight": -5}',
)  # fmt: skip


class Load(Part):
    """Produces events, a share of labels, and a share of records that nobody can read."""

    def __init__(self, bootstrap: str, events: str, labels: str, rate: int, seed: int) -> None:
        super().__init__("load")
        config = {"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "linger.ms": 5} | QUIET
        self._producer = Producer(config | {"enable.idempotence": True, "message.timeout.ms": 600_000})
        self._events, self._labels, self._rate = events, labels, rate
        self._draw = np.random.default_rng(seed)
        self.sent = 0
        self.ends: dict[int, int] = {}
        """By partition of the events topic, the offset after the last acknowledged record. Asking for it was
        seen not to come back after a broker's restart, whatever the timeout.
        """
        self._failed: list[str] = []

    def work(self) -> None:
        began, asked = time.monotonic(), 0
        while not self._asked_to_end.wait(TICK_S):
            due = int((time.monotonic() - began) * self._rate)
            self._send(min(due - asked, self._rate))  # of what was held up no more than a second's worth
            asked = due

    def finish(self, within_s: float) -> None:
        """No more events; returns when what was sent stands in the log."""
        super().finish(within_s)
        waiting = self._producer.flush(within_s)
        assert waiting == 0, f"Kafka did not take {waiting} records within {within_s:g} s"
        assert not self._failed, self._failed[:3]

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

    def _note(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed.append(str(error))
        elif message.topic() == self._events:
            partition, offset = message.partition() or 0, message.offset() or 0
            self.ends[partition] = max(self.ends.get(partition, 0), offset + 1)


class _Origin(msgspec.Struct):
    partition: int
    offset: int


class _Answer(msgspec.Struct):
    origin: _Origin


class Account(Part):
    """Reads both output topics and counts how often each position of the events topic was answered."""

    def __init__(self, bootstrap: str, outputs: Sequence[str], partitions: int) -> None:
        super().__init__("account")
        self._consumer = Consumer(
            {
                **QUIET,
                "bootstrap.servers": bootstrap,
                "group.id": f"{outputs[0]}.account",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",
            }
        )
        places = [TopicPartition(t, p, OFFSET_BEGINNING) for t in outputs for p in range(partitions)]
        self._consumer.assign(places)
        self._answers = [bytearray() for _ in range(partitions)]
        self._decoder = msgspec.json.Decoder(_Answer)
        self.answered = 0

    def work(self) -> None:
        while not self._asked_to_end.is_set():
            for message in self._consumer.consume(2_000, 0.2):
                error = message.error()
                if error is None:
                    self._count(*self._origin(message))
                elif error.fatal() or error.code() == KafkaError._AUTO_OFFSET_RESET:
                    raise KafkaException(error)
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

    def lost(self, ends: Sequence[int]) -> list[tuple[int, int]]:
        """Partition and offset of records before `ends` that nothing answers."""
        return [
            (partition, offset)
            for partition, (end, counts) in enumerate(zip(ends, self._answers, strict=True))
            for offset in range(end)
            if offset >= len(counts) or not counts[offset]
        ]

    def doubled(self) -> int:
        """Records that were answered more than once."""
        return sum(sum(count > 1 for count in counts) for counts in self._answers)
