"""What a source does when brokers refuse or let it wait: librdkafka's with a mock cluster, and in memory."""

from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError

from stream.errors import Fatal
from stream.records import RecordBatch
from stream.transport.endpoints import Start
from stream.transport.memory import MemoryBroker, MemorySource
from tests.contract.clusters import (
    PARTITIONS,
    KafkaCluster,
    Recorder,
    next_offsets,
    poll_until,
    produce,
    read,
)
from tests.contract.librdkafka import FETCH, OFFSET_COMMIT, RefusingKafka, produce_with_header

LATE_MS = 8_000


@pytest.fixture
def refusing() -> Iterator[KafkaCluster]:
    """A mock cluster with a topic `events` that holds one record, whose header has a name that is no text."""
    kafka = RefusingKafka()
    cluster = KafkaCluster(kafka.bootstrap, kafka.create_topic, refuse=kafka.refuse, delay=kafka.delay)
    cluster.create("events")
    produce_with_header(kafka.bootstrap, "events", b"value", b"\xff\xfe")
    yield cluster
    cluster.clients.close()
    kafka.close()


def test_a_refused_commit_takes_no_partition_from_us(refusing: KafkaCluster) -> None:
    listener = Recorder()
    source = refusing.source("events", "g", listener)
    done = next_offsets(read(source, 1))
    assert source.await_commits(30_000)
    codes = [KafkaError.REBALANCE_IN_PROGRESS, KafkaError.STALE_MEMBER_EPOCH]
    for refused, code in enumerate(codes, start=1):
        refusing.refuse(OFFSET_COMMIT, [code])
        source.commit(done)
        poll_until([source], lambda: source.commits_refused == refused)  # noqa: B023  # called in here
        assert source.lag().keys() == set(range(PARTITIONS))
    assert source.await_commits(30_000)
    assert refusing.committed("events", "g")[0] == 1
    assert [name for name, _ in listener.calls] == ["assigned"]


def test_records_flow_while_a_commit_waits_for_its_answer(refusing: KafkaCluster) -> None:
    source = refusing.source("events", "g", Recorder())
    done = next_offsets(read(source, 1))
    assert source.await_commits(30_000)
    refusing.delay(OFFSET_COMMIT, LATE_MS)
    source.commit(done)
    produce(refusing.sink(), "events", [b"%d" % i for i in range(20)])
    assert len(read(source, 20)) == 20
    assert not source.await_commits(0), "the answer came before the records"
    assert source.await_commits(30_000)


@pytest.mark.parametrize("start", ["earliest", "latest"])
def test_no_record_comes_before_it_is_stored_where_the_group_begins(
    refusing: KafkaCluster, start: Start
) -> None:
    refusals = 4
    refusing.refuse(OFFSET_COMMIT, [KafkaError.REBALANCE_IN_PROGRESS] * refusals)
    early: list[RecordBatch] = []
    listener = Recorder()
    source = refusing.source("events", "g", listener, start)
    poll_until([source], lambda: len(listener.held) == PARTITIONS)
    produce(refusing.sink(), "events", [b"%d" % i for i in range(20)])
    poll_until(
        [source],
        lambda: source.commits_refused == refusals or any(map(len, early)),
        lambda _, batch: early.append(batch),
    )
    assert not any(map(len, early))
    begins = source.unstored
    assert begins.keys() == set(range(PARTITIONS))
    found = read(source, 20 + (start == "earliest"))
    assert refusing.committed("events", "g") == begins == listener.committed
    assert {r.value for r in found} >= {b"%d" % i for i in range(20)}


def test_a_commit_that_no_retry_helps_stops_the_worker(refusing: KafkaCluster) -> None:
    source = refusing.source("events", "g", Recorder())
    done = next_offsets(read(source, 1))
    assert source.await_commits(30_000)
    refusing.refuse(OFFSET_COMMIT, [KafkaError.GROUP_AUTHORIZATION_FAILED])
    source.commit(done)
    with pytest.raises(Fatal, match="grant this principal READ on the group"):
        source.await_commits(30_000)


def test_a_leader_that_knows_less_for_a_moment_is_no_incident(refusing: KafkaCluster) -> None:
    source = refusing.source("events", "g", Recorder())
    done = next_offsets(read(source, 1))
    refusing.refuse(FETCH, [KafkaError.OFFSET_OUT_OF_RANGE] * 3)
    produce(refusing.sink(), "events", [b"%d" % i for i in range(20)])
    found = read(source, 20)
    assert sorted(int(r.value or b"") for r in found) == list(range(20))
    assert min(r.offset for r in found if r.partition in done) == 1


def test_a_record_whose_header_has_no_readable_name_is_read_without_headers(refusing: KafkaCluster) -> None:
    source = refusing.source("events", "g", Recorder())
    batches: list[RecordBatch] = []
    poll_until([source], lambda: any(map(len, batches)), lambda _, batch: batches.append(batch))
    (batch,) = (batch for batch in batches if len(batch))
    assert batch.values == [b"value"]
    assert [batch.headers(0), batch.headers(0)] == [[], []]


def test_in_memory_a_refused_commit_takes_no_partition_from_us() -> None:
    broker = MemoryBroker()
    broker.create_topic("t")
    listener = Recorder()
    source = MemorySource(broker, "t", "g", listener)
    source.poll(10, 0)
    broker.rebalancing = True
    source.commit({0: 7})
    assert source.commits_refused == 1
    assert not source.await_commits(0)
    assert source.lag().keys() == set(range(PARTITIONS))
    broker.rebalancing = False
    assert source.await_commits(1_000)
    assert broker.committed("t", "g")[0] == 7
    assert [name for name, _ in listener.calls] == ["assigned"]


def test_in_memory_an_expelled_member_cannot_commit_and_forgets_its_partitions() -> None:
    broker = MemoryBroker()
    broker.create_topic("t")
    listener = Recorder()
    source = MemorySource(broker, "t", "g", listener)
    source.poll(10, 0)
    broker.expel(source)
    source.commit({0: 1})
    assert source.commits_refused == 1
    assert [name for name, _ in listener.calls] == ["assigned"]
    source.poll(10, 0)
    assert listener.calls[1] == ("lost", frozenset(range(PARTITIONS)))
    assert broker.committed("t", "g")[0] == 0


def test_in_memory_records_deleted_under_a_reader_stop_it() -> None:
    broker = MemoryBroker()
    broker.create_topic("t", 1)
    listener = Recorder()
    source = MemorySource(broker, "t", "g", listener)
    source.poll(10, 0)
    for i in range(3):
        broker.append("t", b"k", b"%d" % i, [])
    broker.delete_before("t", 0, 2)
    with pytest.raises(Fatal, match=r"t\[0\]"):
        source.poll(10, 0)
