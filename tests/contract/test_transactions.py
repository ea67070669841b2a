"""What every transactional sink does: in memory, and on Apache Kafka.

librdkafka's mock cluster commits no offsets in transactions, and writes no marks: it proves nothing here.
"""

from collections.abc import Callable, Iterator

import pytest

from stream.errors import AbortCause, Aborted, Fenced
from stream.transport.endpoints import Source, TransactionalSink
from stream.transport.kafka import KafkaSource, KafkaTransactions
from stream.transport.memory import MemorySource, MemoryTransactions
from tests.contract.clusters import (
    PARTITIONS,
    Cluster,
    KafkaCluster,
    MemoryCluster,
    Read,
    Recorder,
    create_with_admin,
    next_offsets,
    poll_until,
    produce,
    read,
    rows,
)

Names = Callable[[str], str]
VALUES = [b"%d" % i for i in range(20)]
TIMEOUT_MS = 10_000
IDLE_POLLS = 20
"""In which records would have come."""


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    chosen: Cluster = MemoryCluster()
    if request.param == "kafka":
        bootstrap = request.getfixturevalue("kafka")
        chosen = KafkaCluster(bootstrap, create_with_admin(bootstrap))
    yield chosen
    chosen.clients.close()


@pytest.fixture
def topics(cluster: Cluster, fresh_name: Names) -> tuple[str, str]:
    """Events, which are there, and outputs, which are not."""
    events, outputs = fresh_name("events"), fresh_name("outputs")
    for topic in (events, outputs):
        cluster.create(topic)
    produce(cluster.sink(), events, VALUES)
    return events, outputs


def transactions(cluster: Cluster, name: str) -> TransactionalSink:
    if isinstance(cluster, MemoryCluster):
        return cluster.clients.keep(MemoryTransactions(cluster.broker, name))
    assert isinstance(cluster, KafkaCluster)
    return cluster.clients.keep(KafkaTransactions(cluster.connection(), name, TIMEOUT_MS))


def joined(cluster: Cluster, topic: str, listener: Recorder | None = None) -> tuple[Source, dict[int, int]]:
    """A member that has read everything, and what it would commit."""
    source = cluster.source(topic, f"{topic}.g", listener or Recorder())
    return source, next_offsets(read(source, len(VALUES)))


def send(sink: TransactionalSink, topic: str, *values: bytes) -> None:
    sink.produce_batch(topic, values, values, None, lambda _: None)


def seen(cluster: Cluster, topic: str, count: int) -> set[bytes | None]:
    """What a new `read_committed` reader sees, once it sees so many."""
    reader = cluster.source(topic, f"{topic}.reader", Recorder())
    try:
        found = [*read(reader, count), *rows(reader.poll(1_000, 200))]
        return {r.value for r in found}
    finally:
        reader.close()


def test_outputs_and_offsets_stand_together(cluster: Cluster, topics: tuple[str, str]) -> None:
    events, outputs = topics
    source, done = joined(cluster, events)
    sink = transactions(cluster, f"{events}.a")
    for offsets, values in ((dict.fromkeys(done, 1), (b"1", b"2")), (done, (b"3",))):
        sink.begin()
        send(sink, outputs, *values)
        sink.commit(source, offsets)
        assert cluster.committed(events, f"{events}.g") == offsets
    assert seen(cluster, outputs, 3) == {b"1", b"2", b"3"}


def test_nothing_stands_of_what_is_aborted_and_the_next_one_does(
    cluster: Cluster, topics: tuple[str, str]
) -> None:
    events, outputs = topics
    source, done = joined(cluster, events)
    sink = transactions(cluster, f"{events}.a")
    sink.begin()
    send(sink, outputs, b"aborted")
    assert sink.flush(30_000) == 0
    sink.abort()
    assert cluster.committed(events, f"{events}.g") == dict.fromkeys(range(PARTITIONS), 0)
    sink.begin()
    send(sink, outputs, b"stands")
    sink.commit(source, done)
    assert seen(cluster, outputs, 1) == {b"stands"}


def test_offsets_advance_though_nothing_was_produced(cluster: Cluster, topics: tuple[str, str]) -> None:
    events, _ = topics
    source, done = joined(cluster, events)
    sink = transactions(cluster, f"{events}.a")
    sink.begin()
    sink.commit(source, done)
    assert cluster.committed(events, f"{events}.g") == done


def test_a_new_producer_of_a_name_fences_the_one_before_and_aborts_what_it_left_open(
    cluster: Cluster, topics: tuple[str, str]
) -> None:
    events, outputs = topics
    source, done = joined(cluster, events)
    zombie = transactions(cluster, f"{events}.a")
    zombie.begin()
    send(zombie, outputs, b"of the zombie")
    assert zombie.flush(30_000) == 0
    successor = transactions(cluster, f"{events}.a")
    successor.begin()
    send(successor, outputs, b"of the successor")
    successor.commit(source, done)
    with pytest.raises(Fenced):
        zombie.commit(source, dict.fromkeys(done, 1))
    with pytest.raises(Fenced):
        zombie.begin()
    assert cluster.committed(events, f"{events}.g") == done
    assert seen(cluster, outputs, 1) == {b"of the successor"}


def test_the_offsets_of_who_is_no_member_any_more_are_refused_and_the_producer_goes_on(
    cluster: Cluster, topics: tuple[str, str]
) -> None:
    events, outputs = topics
    source, done = joined(cluster, events)
    sink = transactions(cluster, f"{events}.a")
    sink.begin()
    send(sink, outputs, b"in vain")
    metadata = source.group_metadata()
    source.close()
    with pytest.raises(Aborted) as refused:
        sink.commit(Gone(source, metadata), done)  # type: ignore[arg-type]  # all that a sink asks of it
    assert refused.value.cause is AbortCause.GROUP_MOVED
    again, done = joined(cluster, events)
    sink.begin()
    send(sink, outputs, b"again")
    sink.commit(again, done)
    assert seen(cluster, outputs, 1) == {b"again"}


def test_after_a_rebalance_who_stayed_commits_as_the_member_that_it_is_now(
    cluster: Cluster, topics: tuple[str, str]
) -> None:
    events, outputs = topics
    source, done = joined(cluster, events)
    sink = transactions(cluster, f"{events}.a")
    sink.begin()
    sink.commit(source, dict.fromkeys(done, 1))
    listener = Recorder()
    other = cluster.source(events, f"{events}.g", listener)
    poll_until([source, other], lambda: len(source.lag()) == len(listener.held) == PARTITIONS // 2)
    kept = {partition: done[partition] for partition in source.lag()}
    sink.begin()
    send(sink, outputs, b"stands")
    sink.commit(source, kept)
    assert cluster.committed(events, f"{events}.g") == dict.fromkeys(done, 1) | kept
    assert seen(cluster, outputs, 1) == {b"stands"}


class Gone:
    """A source that left its group, with what was its membership."""

    def __init__(self, source: Source, metadata: object) -> None:
        self.topic, self.commit_note = source.topic, source.commit_note
        self._metadata = metadata
        self.unstored = dict[int, int]()

    def group_metadata(self) -> object:
        return self._metadata


def test_a_transaction_may_be_committed_while_partitions_are_revoked(
    cluster: Cluster, topics: tuple[str, str]
) -> None:
    events, outputs = topics
    listener = Recorder()
    source, done = joined(cluster, events, listener)
    sink = transactions(cluster, f"{events}.a")
    sink.begin()
    send(sink, outputs, b"just in time")
    listener.on_revoked = lambda _: sink.commit(source, done)
    source.close()
    assert cluster.committed(events, f"{events}.g") == done
    assert seen(cluster, outputs, 1) == {b"just in time"}


def test_where_a_group_begins_is_stored_by_a_transaction_and_no_record_comes_before(
    cluster: Cluster, topics: tuple[str, str]
) -> None:
    events, _ = topics
    listener = Recorder()
    source = begun_in_transactions(cluster, events, listener)
    sink = transactions(cluster, f"{events}.a")
    early: list[Read] = []
    polls = iter(range(IDLE_POLLS))
    poll_until(
        [source],
        lambda: len(listener.held) == PARTITIONS and next(polls, None) is None,
        lambda _, batch: early.extend(rows(batch)),
    )
    sink.begin()
    sink.abort()
    early += rows(source.poll(1_000, 100))
    assert early == []
    assert cluster.committed(events, f"{events}.g") == {}
    assert source.unstored == dict.fromkeys(range(PARTITIONS), 0)
    source.pause()
    sink.begin()
    sink.commit(source, {})
    assert rows(source.poll(1_000, 100)) == []
    source.resume()
    assert source.unstored == {}
    assert cluster.committed(events, f"{events}.g") == dict.fromkeys(range(PARTITIONS), 0)
    done = next_offsets(read(source, len(VALUES)))
    sink.begin()
    sink.commit(source, done)
    assert cluster.committed(events, f"{events}.g") == done


def test_what_the_group_did_not_store_of_partitions_that_left_is_no_transactions_any_more(
    cluster: Cluster, topics: tuple[str, str]
) -> None:
    events, _ = topics
    listener, other = Recorder(), Recorder()
    source = begun_in_transactions(cluster, events, listener)
    poll_until([source], lambda: len(listener.held) == PARTITIONS)
    successor = begun_in_transactions(cluster, events, other)
    members = [source, successor]
    poll_until(members, lambda: len(listener.held) == len(other.held) == PARTITIONS // 2)
    assert [source.unstored.keys(), successor.unstored.keys()] == [listener.held, other.held]


def begun_in_transactions(cluster: Cluster, topic: str, listener: Recorder) -> Source:
    """A member of a group whose offsets are stored by transactions alone."""
    group = f"{topic}.g"
    if isinstance(cluster, MemoryCluster):
        made: Source = MemorySource(cluster.broker, topic, group, listener, in_transactions=True)
    else:
        assert isinstance(cluster, KafkaCluster)
        made = KafkaSource(cluster.connection(), topic, group, listener, in_transactions=True)
    return cluster.clients.keep(made)


def test_closing_aborts_what_is_open(cluster: Cluster, topics: tuple[str, str]) -> None:
    events, outputs = topics
    source, done = joined(cluster, events)
    sink = transactions(cluster, f"{events}.a")
    sink.begin()
    send(sink, outputs, b"left")
    assert sink.flush(30_000) == 0
    sink.close()
    other = transactions(cluster, f"{events}.b")
    other.begin()
    send(other, outputs, b"seen")
    other.commit(source, done)
    assert seen(cluster, outputs, 1) == {b"seen"}


# --------------------------------------------------------------------------------------- only on Kafka
