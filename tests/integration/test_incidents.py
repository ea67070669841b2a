"""Records that a group can never read stop the worker, which names them; what only looks so does not."""

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions  # the package does not export it to type checkers

from stream.errors import ExitCode, Fatal
from stream.transport.endpoints import Source
from tests.contract.clusters import (
    PARTITIONS,
    KafkaCluster,
    Recorder,
    create_with_admin,
    next_offsets,
    poll_until,
    produce,
    read,
)
from tests.integration.processes import await_that
from tests.integration.stage import Stage, now_ms
from tests.integration.usecase import some_visits
from tools.kafka_server import KafkaServer

Names = Callable[[str], str]
BROKER_SIDE = {"group.protocol": "consumer"}
VALUES = [b"%d" % i for i in range(80)]


class Incidents:
    """One topic of a test's own, what happens to it, and members of one group."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.topic, self.group = topic, f"{topic}.g"
        self.admin = AdminClient({"bootstrap.servers": bootstrap}, logger=logging.getLogger("librdkafka"))
        self.cluster = KafkaCluster(bootstrap, create_with_admin(bootstrap))
        self.create()

    def source(self, properties: Mapping[str, str] | None = None, start: str = "earliest") -> Source:
        self.cluster.properties = properties or {}
        self.listener = Recorder()
        return self.cluster.source(self.topic, self.group, self.listener, start)  # type: ignore[arg-type]

    def create(self) -> None:
        def created() -> bool:
            try:
                self.cluster.create(self.topic)
            except KafkaException:  # the old one is not quite gone yet
                return False
            return True

        await_that(created, "the topic cannot be created")

    def fill(self, values: list[bytes] = VALUES) -> None:
        sink = self.cluster.sink()
        produce(sink, self.topic, values)
        sink.close()

    def delete(self) -> None:
        self.admin.delete_topics([self.topic])[self.topic].result(timeout=30)

    def delete_before(self, partition: int, offset: int) -> None:
        for done in self.admin.delete_records([TopicPartition(self.topic, partition, offset)]).values():
            done.result(timeout=30)

    def committed(self, source: Source, offsets: Mapping[int, int]) -> None:
        source.commit(offsets)
        assert source.await_commits(30_000)


@pytest.fixture
def incidents(kafka: str, fresh_name: Names) -> Iterator[Incidents]:
    made = Incidents(kafka, fresh_name("events"))
    yield made
    made.cluster.clients.close()


def stopped(source: Source) -> str:
    """What stops it."""
    with pytest.raises(Fatal) as raised:
        poll_until([source], lambda: False)
    return str(raised.value)


def test_records_deleted_while_nobody_read_are_named(incidents: Incidents) -> None:
    incidents.fill()
    incidents.cluster.commit_as_operator(
        incidents.topic, incidents.group, dict.fromkeys(range(PARTITIONS), 2)
    )
    incidents.delete_before(1, 5)
    said = stopped(incidents.source())
    assert f"{incidents.topic}[1]" in said
    assert "records 2 to 4 were deleted before they were read" in said
    assert f"--group {incidents.group} --topic {incidents.topic}:1 --reset-offsets" in said


@pytest.mark.parametrize("properties", [{}, BROKER_SIDE])
def test_retention_that_overtakes_a_slow_reader_names_what_it_took(
    incidents: Incidents, properties: Mapping[str, str]
) -> None:
    incidents.fill()
    source = incidents.source(properties)
    source.pause()
    poll_until([source], lambda: len(incidents.listener.held) == PARTITIONS)
    incidents.delete_before(1, 5)
    source.resume()
    assert f"{incidents.topic}[1]: group {incidents.group} stands at offset 0" in (said := stopped(source))
    assert "records 0 to 4 were deleted before they were read" in said


def test_a_topic_deleted_under_its_reader_is_told_with_what_was_not_read(incidents: Incidents) -> None:
    source = incidents.source()
    source.pause()
    poll_until([source], lambda: len(incidents.listener.held) == PARTITIONS)
    incidents.fill()
    poll_until([source], lambda: sum(lag.records for lag in source.lag().values()) == len(VALUES))
    ends = {p: lag.end for p, lag in source.lag().items()}
    incidents.delete()
    said = stopped(source)
    assert f"topic {incidents.topic} was deleted under group {incidents.group}" in said
    assert "are lost: " + ", ".join(f"[{p}] 0 to {ends[p] - 1}" for p in range(PARTITIONS)) in said
    assert "riverrun topics create" in said


@pytest.mark.parametrize("properties", [{}, BROKER_SIDE])
@pytest.mark.parametrize("times", [1, 3])
def test_a_topic_made_anew_is_recognised_even_where_the_old_offsets_are_in_its_log(
    incidents: Incidents, properties: Mapping[str, str], times: int
) -> None:
    incidents.fill()
    source = incidents.source(properties)
    done = next_offsets(read(source, len(VALUES)))
    incidents.committed(source, done)
    incidents.delete()
    incidents.create()
    incidents.fill(VALUES * times)
    said = stopped(source)
    assert f"topic {incidents.topic} was deleted and made anew" in said
    assert "to go on from the old offsets would skip what the new one holds before them" in said
    assert re.search(r"its id was \S{22}, and is \S{22}\)", said)


def test_a_worker_that_comes_after_is_told_too_until_a_person_resets_the_offsets(
    incidents: Incidents,
) -> None:
    incidents.fill()
    source = incidents.source()
    done = next_offsets(read(source, len(VALUES)))
    incidents.delete()
    incidents.create()
    incidents.fill(VALUES * 3)
    with suppress(Fatal):  # it may know already; its last commit is on its way then
        incidents.committed(source, done)
    source.close()
    assert incidents.cluster.committed(incidents.topic, incidents.group) == done
    source = incidents.source()
    said = stopped(source)
    source.close()
    assert "was deleted and made anew" in said
    assert f"[0] {done[0]} and whatever followed" in said
    incidents.cluster.commit_as_operator(
        incidents.topic, incidents.group, dict.fromkeys(range(PARTITIONS), 0)
    )
    again = incidents.source()
    assert len(read(again, 3 * len(VALUES))) == 3 * len(VALUES)


@pytest.mark.parametrize("properties", [{}, BROKER_SIDE])
def test_partitions_that_are_added_are_read_from_their_beginning_wherever_the_group_began(
    incidents: Incidents, properties: Mapping[str, str]
) -> None:
    soon = {"topic.metadata.refresh.interval.ms": "500", **properties}
    incidents.fill()
    source = incidents.source(soon, "latest")
    poll_until([source], lambda: len(incidents.listener.held) == PARTITIONS)
    assert source.await_commits(30_000)
    more = NewPartitions(incidents.topic, PARTITIONS + 1)
    incidents.admin.create_partitions([more])[incidents.topic].result(timeout=30)
    late = [b"late %d" % i for i in range(10)]
    producer = Producer({"bootstrap.servers": incidents.cluster.bootstrap})
    for value in late:
        producer.produce(incidents.topic, value, partition=PARTITIONS)
    assert producer.flush(30) == 0
    found = read(source, len(late))
    assert [(r.partition, r.offset, r.value) for r in found] == [
        (PARTITIONS, at, value) for at, value in enumerate(late)
    ]
    assert source.partition_count == PARTITIONS + 1


@pytest.mark.slow
@pytest.mark.parametrize("grown_again", [False, True])
def test_a_log_that_lost_its_end_under_its_reader_is_told(own_kafka: KafkaServer, grown_again: bool) -> None:
    """What an unclean election leaves, or a disk that lied."""
    incidents = Incidents(own_kafka.bootstrap, "events")
    try:
        incidents.fill()
        kept = LogFiles.of(own_kafka, incidents.topic)
        before = incidents.source()
        ends = {p: before.log_range(p)[1] for p in range(PARTITIONS)}
        before.close()
        incidents.fill()
        source = incidents.source()
        done = next_offsets(read(source, 2 * len(VALUES)))
        incidents.committed(source, done)
        own_kafka.stop()
        kept.put_back()
        own_kafka.start()
        if grown_again:
            incidents.fill(VALUES * 3)
        said = stopped(source)
        found = re.search(rf"{incidents.topic}\[(\d)\]", said)
        assert found, said
        partition = int(found[1])
        if grown_again:
            assert f"its log was cut before offset {done[partition]}" in said
        else:
            assert f"records {ends[partition]} to {done[partition] - 1} are not in it: it was cut" in said
        assert f"--group {incidents.group} --topic {incidents.topic}:{partition} --reset-offsets" in said
    finally:
        incidents.cluster.clients.close()


@dataclass(frozen=True)
class LogFiles:
    """The segments of a topic's partitions, and how long they were at a moment."""

    server: KafkaServer
    bytes: Mapping[Path, int]

    @classmethod
    def of(cls, server: KafkaServer, topic: str) -> "LogFiles":
        return cls(server, {path: path.stat().st_size for path in server.data.glob(f"{topic}-*/*.log")})

    def put_back(self) -> None:
        """As they were then; the server must not run. What it knows of them it learns from them again."""
        for path, size in self.bytes.items():
            os.truncate(path, size)
            for kind in ("*index", "*.snapshot"):
                for derived in path.parent.glob(kind):
                    derived.unlink()
        (self.server.data / ".kafka_cleanshutdown").unlink(missing_ok=True)


@pytest.mark.parametrize("kind", ["score", "materialize"])
def test_a_worker_ends_with_the_incident_in_words(stage: Stage, kind: str) -> None:
    worker = stage.start(kind, models=False).await_ready()
    stage.send(some_visits(60, now_ms() - 60_000))
    count = "materialized_offset" if kind == "materialize" else "predictions_total"
    worker.await_metric(lambda m: m.total(count) == 60, "has not passed them")
    topic = stage.topics["events"]
    admin = AdminClient({"bootstrap.servers": stage.kafka})
    admin.delete_topics([topic])[topic].result(timeout=30)
    assert worker.await_end() == ExitCode.FATAL
    assert f"topic {topic} was deleted under group" in worker.log.read_text()
