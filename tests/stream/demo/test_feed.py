"""The feed and the reader on the embedded Kafka, with a worker of three lines between them."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from features.definition import load_definition
from features.definition.model import Definition
from stream.demo import examples
from stream.demo.board import Board
from stream.demo.cards import CardWorld, simulate_cards
from stream.demo.commits import Lane
from stream.demo.ear import Ear
from stream.demo.feed import Books, Feed
from stream.demo.kafka_server import PARTITIONS, EmbeddedKafka
from stream.demo.ledger import Ledger
from stream.demo.messages import Messages, messages
from stream.demo.poison import Poisoner
from stream.demo.reader import Reader
from stream.transport.kafka.properties import KafkaConnection
from tests.stream.demo.records import batch_of, decoded

EVENTS, LABELS, PREDICTIONS, LETTERS = "t.events", "t.labels", "t.predictions", "t.deadletters"
GROUP = "t.score"


class Echo(threading.Thread):
    """Answers every record, and commits; `mute` are the values it swallows."""

    def __init__(
        self,
        kafka: KafkaConnection,
        definition: Definition,
        mute: frozenset[bytes] = frozenset(),
        *,
        twice: bool = False,
    ) -> None:
        super().__init__(daemon=True)
        self._definition = definition
        self._kafka, self._mute, self._copies = kafka, mute, 2 if twice else 1
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()
        self.join(10)

    def run(self) -> None:
        producer = Producer(self._kafka.producer())
        consumer = Consumer({**self._kafka.consumer(GROUP), "auto.offset.reset": "earliest"})
        consumer.subscribe([EVENTS])
        while not self._stopped.is_set():
            read = consumer.consume(200, 0.1)
            for message in read:
                if message.error() is None and (message.value() or b"") not in self._mute:
                    self._answer(producer, message)
            producer.flush()
            ends = {m.partition() or 0: (m.offset() or 0) + 1 for m in read if m.error() is None}
            if ends:
                offsets = [TopicPartition(EVENTS, partition, end) for partition, end in ends.items()]
                consumer.commit(offsets=offsets, asynchronous=False)
        consumer.close()

    def _answer(self, producer: Producer, message: Message) -> None:
        where = {"topic": EVENTS, "partition": message.partition(), "offset": message.offset()}
        result = decoded(self._definition, batch_of([(message.key(), message.value())]))
        if result.rejected:
            headers = [*(message.headers() or []), *((f"riverrun.{n}", str(v)) for n, v in where.items())]
            producer.produce(LETTERS, message.value(), message.key(), headers=headers)
            return
        answer = {
            "schema": "riverrun.prediction/1",
            "event_id": result.events.ids[0],
            "event_time": 0,
            "score": 0.5,
            "decision": "approve",
            "source": "model",
            "model": {"version": "v1"},
            "origin": where,
        }
        for _ in range(self._copies):
            producer.produce(PREDICTIONS, json.dumps(answer).encode(), message.key())


@dataclass
class Run:
    """Feed, reader and their books over one set of events."""

    kafka: KafkaConnection
    definition: Definition
    sent: Messages
    lane: Lane = field(default_factory=lambda: Lane.of(EVENTS, PARTITIONS, (GROUP,)))

    def __post_init__(self) -> None:
        n = len(self.sent.ids)
        self.ledger, self.board, sent_ms = Ledger(self.sent.ids), Board(n), [0] * n
        rows = {event_id: row for row, event_id in enumerate(self.sent.ids)}
        self.ear = Ear(self.definition, rows, sent_ms, self.ledger, self.board, self.lane.credit)
        self.feed = Feed(
            self.kafka,
            self.sent,
            [True] * n,
            events=self.lane,
            labels=Lane.of(LABELS, PARTITIONS, ()),
            books=Books(self.ledger, self.board, sent_ms),
            speed=None,
        )
        self.reader = Reader(self.kafka, PREDICTIONS, LETTERS, EVENTS, PARTITIONS, self.ear)

    def go(self, echo: Echo, unanswered: int = 0) -> None:
        for thread in (self.reader, echo, self.feed):
            thread.start()
        self.feed.join(60)
        assert self.feed.error is None
        assert not self.feed.is_alive()
        waited = threading.Event()
        for _ in range(600):
            if self.ledger.waiting <= unanswered:
                break
            waited.wait(0.05)
        echo.stop()
        assert self.reader.finish(30)


@pytest.fixture
def embedded() -> Iterator[KafkaConnection]:
    with EmbeddedKafka() as server:
        for topic in (EVENTS, LABELS, PREDICTIONS, LETTERS):
            server.create_topic(topic)
        yield KafkaConnection(server.bootstrap)


@pytest.fixture(scope="module")
def fraud() -> Definition:
    return load_definition(examples.path("fraud"))


@pytest.fixture(scope="module")
def sent(fraud: Definition) -> Messages:
    return messages(
        fraud, simulate_cards(CardWorld(date(2025, 1, 1), 3, customers=200, terminals=400, radius=20))
    )


def test_every_event_is_sent_once_and_its_prediction_found(
    embedded: KafkaConnection, fraud: Definition, sent: Messages
) -> None:
    run = Run(embedded, fraud, sent)
    run.go(Echo(embedded, fraud))
    account = run.ledger.close()
    assert account.clean
    assert account.events == account.predictions == len(sent.ids)
    assert sorted(run.ear.served.by_row) == list(range(len(sent.ids)))
    assert all(latency >= 0 for latency in run.ear.latencies_ms)


def test_what_a_worker_swallows_is_lost_and_what_it_repeats_doubled(
    embedded: KafkaConnection, fraud: Definition, sent: Messages
) -> None:
    run = Run(embedded, fraud, sent)
    swallowed = frozenset(value or b"" for _, value in sent.events[5:8])
    run.go(Echo(embedded, fraud, swallowed, twice=True), unanswered=3)
    account = run.ledger.close()
    assert account.lost == 3
    assert account.duplicates == len(sent.ids) - 3
    assert account.strangers == 0


def test_poison_comes_back_byte_for_byte(
    embedded: KafkaConnection, fraud: Definition, sent: Messages
) -> None:
    run = Run(embedded, fraud, sent)
    run.feed.poison_with(Poisoner(fraud, seed=0))
    run.go(Echo(embedded, fraud))
    account = run.ledger.close()
    assert account.events == len(sent.ids)
    assert account.poison > 0
    assert account.dead_letters == account.poison
    assert account.clean


def test_a_feed_that_was_told_to_hold_goes_on_when_released(
    embedded: KafkaConnection, fraud: Definition, sent: Messages
) -> None:
    run = Run(embedded, fraud, sent)
    run.feed.hold_at(10)
    run.feed.release()
    run.go(Echo(embedded, fraud))
    assert run.ledger.close().clean
