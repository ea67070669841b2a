"""What a downstream consumer of one fleet reads, committed records only, as it comes; and when it came."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

from stream.records import Headers
from tests.chaos.harness.books import Books, Sent
from tests.integration.processes import await_that
from tests.integration.records import Position

_AT_ONCE = 1_000
_READ_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Predicted:
    """One record of the predictions topic."""

    of: Position
    """What it answers: partition and offset in the events topic."""
    partition: int
    """Where it stands in the predictions topic; within one the order of reading is that of the log."""
    read_ms: int
    key: bytes | None
    event_id: str
    event_time: int
    entity_key: str | None
    topic: str
    score: float
    decision: str | None
    source: str
    version: str
    degradations: tuple[str, ...]
    features: tuple[float, ...]
    """In model order, NaN where missing."""
    scored_at: int


@dataclass(frozen=True, slots=True)
class Letter:
    """One record of the dead-letter topic."""

    of: Position
    read_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = field(default_factory=list)

    def said(self, name: str) -> str | None:
        """What riverrun says under this name, after the record's own headers; None for nothing."""
        found = [value for key, value in self.headers if key == f"riverrun.{name}"]
        return (found[-1] or b"").decode() if found else None


class Outputs(threading.Thread):
    """Reads predictions and dead letters from the beginning until `finish`."""

    def __init__(self, name: str, bootstrap: str, predictions: str, deadletters: str, books: Books) -> None:
        """name: of the fleet. books: to know what is still to be answered."""
        super().__init__(name=f"outputs of {name}", daemon=True)
        self.fleet = name
        self.predictions: list[Predicted] = []
        self.letters: list[Letter] = []
        self.answered: set[Position] = set()
        """Positions with a prediction or a dead letter."""
        self._brokers = bootstrap
        self._topics = (predictions, deadletters)
        self._books = books
        self._over = threading.Event()
        self._raised: BaseException | None = None
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"{predictions}.reader",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.message.max.bytes": 10_000_000,
                "fetch.wait.max.ms": 100,
                "enable.partition.eof": True,
                "reconnect.backoff.max.ms": 500,
                "log_level": 2,
            }
        )
        found = self._consumer.list_topics(timeout=10).topics
        self._places = [
            TopicPartition(t, p, OFFSET_BEGINNING) for t in self._topics for p in found[t].partitions
        ]
        self._next: dict[tuple[str, int], int] = {}
        self._passed = 0
        self._settled: dict[int, int] = {}

    def run(self) -> None:
        self._consumer.assign(self._places)
        try:
            while not self._over.is_set():
                for message in self._consumer.consume(_AT_ONCE, 0.1):
                    self._take(message)
        except BaseException as error:  # noqa: BLE001  whoever waits for this thread is told
            self._raised = error

    def settled_ms(self) -> dict[int, int]:
        """By partition: when the newest record was acknowledged up to which nothing waits for its answer,
        of whatever partition.
        """
        self._pass_answered()
        return self._settled

    def waiting(self) -> list[Sent]:
        """What was acknowledged and not answered yet, the oldest first."""
        self._pass_answered()
        return [sent for sent in self._books.in_order[self._passed :] if sent.position not in self.answered]

    def _pass_answered(self) -> None:
        if self._raised is not None:
            raise self._raised
        order = self._books.in_order
        while self._passed < len(order) and order[self._passed].position in self.answered:
            sent = order[self._passed]
            self._settled[sent.position[0]] = sent.acked_ms
            self._passed += 1

    def finish(self) -> None:
        """Read to the end of what is committed, then stop."""
        ends = log_ends(self._brokers, self._places)
        await_that(
            lambda: self._raised is not None or self._is_at(ends),
            f"the outputs of {self.fleet} are not read to their end",
            _READ_WITHIN_S,
        )
        self._over.set()
        self.join()
        self._consumer.close()
        if self._raised is not None:
            raise self._raised

    def _is_at(self, ends: dict[tuple[str, int], int]) -> bool:
        return all(self._next.get(place, 0) >= end for place, end in ends.items())

    def _take(self, message: Message) -> None:
        error = message.error()
        place, offset = (message.topic() or "", message.partition() or 0), message.offset() or 0
        if error is not None:
            # The end is past the control records of transactions, which are no messages.
            if error.code() == KafkaError._PARTITION_EOF:
                self._next[place] = offset
            else:
                assert error.retriable(), error
            return
        self._next[place] = offset + 1
        now = time.time_ns() // 1_000_000
        headers: Headers = list(message.headers() or [])  # type: ignore[arg-type]  # librdkafka gives pairs
        if message.topic() == self._topics[0]:
            predicted = _predicted(message, msgspec.json.decode(message.value() or b""), now)
            self.predictions.append(predicted)
            self.answered.add(predicted.of)
            return
        letter = Letter((-1, -1), now, message.key(), message.value(), headers)
        of = int(letter.said("partition") or -1), int(letter.said("offset") or -1)
        self.letters.append(Letter(of, now, letter.key, letter.value, headers))
        self.answered.add(of)


def log_ends(bootstrap: str, places: Sequence[TopicPartition]) -> dict[tuple[str, int], int]:
    """By topic and partition, the offset after the last committed record."""
    asker = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "ends", "isolation.level": "read_committed"}
    )
    try:
        return {(p.topic, p.partition): asker.get_watermark_offsets(p, timeout=30)[1] for p in places}
    finally:
        asker.close()


def _predicted(message: Message, data: dict[str, Any], now_ms: int) -> Predicted:
    origin = data["origin"]
    features = data.get("features") or {}
    return Predicted(
        of=(origin["partition"], origin["offset"]),
        partition=message.partition() or 0,
        read_ms=now_ms,
        key=message.key(),
        event_id=data["event_id"],
        event_time=data["event_time"],
        entity_key=data["entity_key"],
        topic=origin["topic"],
        score=data["score"],
        decision=data["decision"],
        source=data["source"],
        version=data["model"]["version"],
        degradations=tuple(data["degradations"]),
        features=tuple(float("nan") if value is None else float(value) for value in features.values()),
        scored_at=data["scored_at"],
    )
