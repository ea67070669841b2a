"""Exactly once, on a real Kafka: whatever becomes of the workers, a `read_committed` reader sees each
prediction and each dead letter once, and every person's in the order of their events.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from stream.errors import ExitCode
from tests.integration.processes import Worker, await_that
from tests.integration.records import Position, Record
from tests.integration.stage import PARTITIONS, Stage, now_ms
from tests.integration.test_restarts import assert_in_order, await_shared, partitions_of
from tests.integration.usecase import some_visits

pytestmark = pytest.mark.slow
MODE = "delivery.mode=exactly_once"
QUICK = ("delivery.transaction_ms=300", "delivery.transaction_timeout_ms=5000")
GIVEN_UP_S = 60.0
"""Kafka looks for transactions that are open for too long every ten seconds."""
BAD = b"no event"
STARTS_MAX = 10
PROTOCOLS = {
    "cooperative": ["partition.assignment.strategy=cooperative-sticky"],
    "eager": ["partition.assignment.strategy=range"],
    "static": ["group.instance.id={name}"],
    "broker-side": ["group.protocol=consumer"],
    "broker-side static": ["group.protocol=consumer", "group.instance.id={name}"],
}
"""How a group shares its partitions: what each worker is told, by its name."""


def exactly_once(stage: Stage, name: str, *sets: str) -> Worker:
    return stage.start("score", MODE, f"delivery.worker={name}", *QUICK, *sets, models=False)


class Onlooker:
    """A reader that does not ask whether what it reads stands."""

    def __init__(self, stage: Stage) -> None:
        self._topic = stage.topics["predictions"]
        self._places = [TopicPartition(self._topic, p) for p in range(PARTITIONS)]
        self._readers = [
            Consumer(
                {
                    "bootstrap.servers": stage.kafka,
                    "group.id": f"{self._topic}.{level}",
                    "isolation.level": level,
                    "enable.auto.commit": False,
                    "enable.partition.eof": True,
                }
            )
            for level in ("read_uncommitted", "read_committed")
        ]

    def sees_open_transaction(self) -> bool:
        """Whether the log goes on beyond what a `read_committed` reader is shown."""
        ends = [
            sum(reader.get_watermark_offsets(place, timeout=10)[1] for place in self._places)
            for reader in self._readers
        ]
        return ends[0] > ends[1]

    def count(self) -> int:
        """Everything in the log."""
        reader = self._readers[0]
        reader.assign([TopicPartition(self._topic, p, OFFSET_BEGINNING) for p in range(PARTITIONS)])
        found, ended = 0, set[int]()
        while len(ended) < PARTITIONS:
            for message in reader.consume(1_000, 1.0):
                if message.error() is None:
                    found += 1
                else:
                    ended.add(message.partition() or 0)
        return found

    def close(self) -> None:
        for reader in self._readers:
            reader.close()


@contextmanager
def onlooker(stage: Stage) -> Iterator[Onlooker]:
    made = Onlooker(stage)
    try:
        yield made
    finally:
        made.close()


def await_open(looking: Onlooker) -> None:
    await_that(looking.sees_open_transaction, "no transaction is open")


def assert_once(stage: Stage, positions: list[Position], bad: list[Position]) -> None:
    stage.outputs.await_predictions(positions, GIVEN_UP_S)
    stage.outputs.await_letters(len(bad))
    stage.outputs.read_to_end()
    assert not stage.outputs.doubled
    assert Counter(p.of for p in stage.outputs.predictions) == Counter(positions)
    assert Counter(letter.of for letter in stage.outputs.letters) == Counter(bad)


def send_bad(stage: Stage) -> list[Position]:
    """One record to each partition that is no event."""
    records = [Record(b"k", BAD, partition=partition) for partition in range(PARTITIONS)]
    return stage.sender.send(stage.topics["events"], records)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_workers_that_come_go_and_are_killed_answer_everything_once(stage: Stage, protocol: str) -> None:
    def joined(name: str) -> Worker:
        """Started again where brokers do not yet believe that the one before it is gone."""
        sets = [f"kafka.properties.{text.format(name=name)}" for text in PROTOCOLS[protocol]]
        for _ in range(STARTS_MAX):
            worker = exactly_once(stage, name, *sets)
            await_that(lambda: worker.is_ready or not worker.is_alive, f"{worker.name} was not ready")  # noqa: B023
            if worker.is_alive:
                return worker
            assert worker.await_end() == ExitCode.FENCED
        raise AssertionError(f"{name} does not start")

    first = joined("a")
    with stage.flow() as flow, onlooker(stage) as looking:
        stage.outputs.await_predictions(flow.await_more(100))
        second = joined("b")
        await_shared(first, second)
        stage.outputs.await_predictions(flow.await_more(100))
        bad = send_bad(stage)
        await_open(looking)
        second.kill()
        second = joined("b")
        await_shared(first, second)
        stage.outputs.await_predictions(flow.await_more(100))
        bad += send_bad(stage)
        assert first.terminate() == ExitCode.OK
        stage.outputs.await_predictions(flow.await_more(200))
    assert_once(stage, flow.positions, bad)
    assert_in_order(stage, flow.visits, flow.positions)
    metrics = second.metrics()
    assert metrics.total("transactions_total") > 0
    assert second.terminate() == ExitCode.OK


def test_a_worker_that_stood_still_for_too_long_doubles_nothing_and_says_that_it_was_fenced(
    stage: Stage,
) -> None:
    first, second = exactly_once(stage, "a"), exactly_once(stage, "b")
    with stage.flow() as flow, onlooker(stage) as looking:
        for worker in (first, second):
            worker.await_ready()
        await_shared(first, second)
        stage.outputs.await_predictions(flow.await_more(100))
        await_open(looking)
        first.pause()
        await_that(lambda: len(partitions_of(second)) == PARTITIONS, "nobody takes over")
        stage.outputs.await_predictions(flow.await_more(100), GIVEN_UP_S)
        first.may_end()
        first.resume()
        # Either Kafka gave its transaction up meanwhile, or it is aborted: its partitions are gone.
        stage.outputs.await_predictions(flow.await_more(200), GIVEN_UP_S)
        if not first.is_alive:
            assert first.await_end() == ExitCode.FENCED
            exactly_once(stage, "a").await_ready()
        stage.outputs.await_predictions(flow.await_more(100), GIVEN_UP_S)
    assert_once(stage, flow.positions, [])
    assert_in_order(stage, flow.visits, flow.positions)


def test_a_second_worker_of_the_same_name_fences_the_first(stage: Stage) -> None:
    first = exactly_once(stage, "a").await_ready()
    visits = some_visits(200, now_ms() - 60_000)
    positions = stage.send(visits[:100])
    stage.outputs.await_predictions(positions)
    first.may_end()
    second = exactly_once(stage, "a").await_ready()
    positions += stage.send(visits[100:])
    assert first.await_end() == ExitCode.FENCED
    assert "start again" in first.log.read_text() or "fenced" in first.log.read_text()
    assert_once(stage, positions, [])
    assert second.is_alive
