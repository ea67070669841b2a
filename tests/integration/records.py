"""Records into a real Kafka, and everything that comes out, by the position of what it answers."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, Producer, TopicPartition

from stream.records import Headers
from tests.integration.processes import SOON_S

Position: TypeAlias = tuple[int, int]
"""Partition and offset in the events topic."""
BY_THE_KEY = -1
"""librdkafka's number for a partition that the partitioner chooses."""


@dataclass(frozen=True, slots=True)
class Record:
    """One to be produced; the key decides the partition unless one is given."""

    key: bytes | None
    value: bytes | None
    headers: Headers = field(default_factory=list)
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """One record of the predictions topic."""

    of: Position
    key: bytes | None
    headers: Headers
    raw: bytes
    data: dict[str, Any]

    @property
    def source(self) -> str:
        return str(self.data["source"])

    @property
    def version(self) -> str:
        return str(self.data["model"]["version"])

    @property
    def degradations(self) -> list[str]:
        return list(self.data["degradations"])

    @property
    def features(self) -> dict[str, float | None]:
        return dict(self.data["features"])


@dataclass(frozen=True, slots=True)
class Letter:
    """One record of the dead-letter topic."""

    of: Position
    key: bytes | None
    value: bytes | None
    headers: Headers

    def header(self, name: str) -> str:
        return (dict(self.headers)[f"riverrun.{name}"] or b"").decode()


class Sender:
    """The upstream services. What is sent stands in the log when `send` returns."""

    def __init__(self, bootstrap: str) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "linger.ms": 2,
                "compression.type": "gzip",  # so that a value may be larger than what a topic takes
                "message.max.bytes": 10_000_000,
            }
        )

    def send(self, topic: str, records: Iterable[Record]) -> list[Position]:
        """Where each record stands, in their order."""
        places: dict[int, Position] = {}

        def delivered(number: int) -> Callable[[KafkaError | None, Message], None]:
            def note(error: KafkaError | None, message: Message) -> None:
                assert error is None, error
                places[number] = (message.partition() or 0, message.offset() or 0)

            return note

        count = 0
        for number, record in enumerate(records):
            self._producer.produce(
                topic,
                record.value,
                record.key,
                BY_THE_KEY if record.partition is None else record.partition,
                on_delivery=delivered(number),
                headers=list(record.headers),
            )
            self._producer.poll(0)
            count += 1
        assert self._producer.flush(SOON_S) == 0
        return [places[number] for number in range(count)]

    def close(self) -> None:
        self._producer.close()


class Outputs:
    """A downstream consumer of everything, from the beginning."""

    def __init__(
        self,
        bootstrap: str,
        predictions: str,
        deadletters: str,
        partitions: int,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """check: raises what makes waiting for outputs pointless."""
        self.predictions: list[Prediction] = []
        """In the order of the log within each partition."""
        self.letters: list[Letter] = []
        self._predictions, self._check = predictions, check
        self._places = [(topic, p) for topic in (predictions, deadletters) for p in range(partitions)]
        self._next = dict.fromkeys(self._places, 0)
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"{predictions}.reader",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.message.max.bytes": 10_000_000,
            }
        )
        self._consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for topic, p in self._places])

    @property
    def first(self) -> dict[Position, Prediction]:
        """What a consumer takes that keeps the first prediction of an event."""
        found: dict[Position, Prediction] = {}
        for prediction in self.predictions:
            found.setdefault(prediction.of, prediction)
        return found

    @property
    def doubled(self) -> list[Position]:
        """Positions that were answered more than once."""
        return [of for of, count in Counter(p.of for p in self.predictions).items() if count > 1]

    def await_predictions(self, of: Sequence[Position], within_s: float = SOON_S) -> list[Prediction]:
        """The first prediction of each of these positions; fails with those that never came."""
        missing = set(of) - {p.of for p in self.predictions}

        def there() -> bool:
            missing.difference_update(p.of for p in self.predictions)
            return not missing

        self._read_until(there, lambda: f"no predictions of {sorted(missing)[:10]}", within_s)
        first = self.first
        return [first[position] for position in of]

    def await_letters(self, count: int) -> list[Letter]:
        self._read_until(
            lambda: len(self.letters) >= count, lambda: f"{len(self.letters)} of {count} letters"
        )
        return self.letters

    def await_one(self, condition: Callable[[Prediction], bool], what: str) -> None:
        """Read until there is a prediction, read now or before, that the condition holds for."""
        seen = [0]

        def there() -> bool:
            since = seen[0]
            seen[0] = len(self.predictions)
            return any(map(condition, self.predictions[since:]))

        self._read_until(there, lambda: what)

    def read_to_end(self) -> None:
        """Read whatever stands in the log now."""
        ends = {
            place: self._consumer.get_watermark_offsets(TopicPartition(*place), timeout=10)[1]
            for place in self._places
        }
        self._read_until(
            lambda: all(self._next[p] >= end for p, end in ends.items()), lambda: "the log's end"
        )

    def close(self) -> None:
        self._consumer.close()

    def _read_until(
        self, condition: Callable[[], bool], what: Callable[[], str], within_s: float = SOON_S
    ) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            self._check()
            assert time.monotonic() < deadline, f"not read within {within_s:g} s: {what()}"
            for message in self._consumer.consume(500, 0.05):
                self._take(message)

    def _take(self, message: Message) -> None:
        error = message.error()
        topic, partition, offset = message.topic() or "", message.partition() or 0, message.offset() or 0
        if error is not None and error.code() == KafkaError._PARTITION_EOF:
            self._next[topic, partition] = offset  # behind the last record may be marks of transactions
            return
        assert error is None or error.retriable(), error
        if error is not None:
            return
        self._next[topic, partition] = offset + 1
        headers: Headers = list(message.headers() or [])  # type: ignore[arg-type]  # librdkafka gives pairs
        if topic == self._predictions:
            raw = message.value() or b""
            data = msgspec.json.decode(raw)
            of = (data["origin"]["partition"], data["origin"]["offset"])
            self.predictions.append(Prediction(of, message.key(), headers, raw, data))
            return
        named = {name: (value or b"").decode() for name, value in headers if name.startswith("riverrun.")}
        of = (int(named["riverrun.partition"]), int(named["riverrun.offset"]))
        self.letters.append(Letter(of, message.key(), message.value(), headers))
