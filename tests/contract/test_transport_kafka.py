"""What only librdkafka and a real Kafka can show about the Kafka transport."""

from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from stream.errors import ConfigurationError, Fatal
from stream.transport.kafka import KafkaConnection, KafkaSink, KafkaSource
from stream.transport.memory import MemoryBroker, MemorySink
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
from tools.kafka_server import KafkaServer

Names = Callable[[str], str]
NOBODY = "127.0.0.1:1"


@pytest.fixture
def real(kafka: str) -> Iterator[KafkaCluster]:
    cluster = KafkaCluster(kafka, create_with_admin(kafka))
    yield cluster
    cluster.clients.close()


def test_records_deleted_before_they_were_read_stop_the_worker(real: KafkaCluster, fresh_name: Names) -> None:
    topic = fresh_name("events")
    real.create(topic)
    produce(real.sink(), topic, [b"%d" % i for i in range(80)])
    real.commit_as_operator(topic, f"{topic}.g", dict.fromkeys(range(PARTITIONS), 2))
    admin = AdminClient({"bootstrap.servers": real.bootstrap})
    for deleted in admin.delete_records([TopicPartition(topic, 1, 5)]).values():
        deleted.result(timeout=30)
    source = real.source(topic, f"{topic}.g", Recorder())
    with pytest.raises(Fatal, match=rf"{topic}\[1\].*offset 2, but the log holds 5 to .*deleted before"):
        read(source, 1)


def test_records_deleted_under_a_reader_stop_the_worker(real: KafkaCluster, fresh_name: Names) -> None:
    topic, listener = fresh_name("events"), Recorder()
    real.create(topic)
    produce(real.sink(), topic, [b"%d" % i for i in range(80)])
    source = real.source(topic, f"{topic}.g", listener)
    source.pause()
    poll_until([source], lambda: len(listener.held) == PARTITIONS)
    admin = AdminClient({"bootstrap.servers": real.bootstrap})
    for deleted in admin.delete_records([TopicPartition(topic, 1, 5)]).values():
        deleted.result(timeout=30)
    source.resume()
    with pytest.raises(Fatal, match=rf"{topic}\[1\].*offset 0, but the log holds 5 to"):
        read(source, 1_000)


def test_a_member_that_was_expelled_cannot_commit_and_forgets_its_partitions(
    real: KafkaCluster, fresh_name: Names
) -> None:
    topic, slow = fresh_name("events"), Recorder()
    real.create(topic)
    produce(real.sink(), topic, [b"%d" % i for i in range(40)])
    impatient = KafkaConnection(
        real.bootstrap, {"max.poll.interval.ms": "6000", "session.timeout.ms": "6000"}
    )
    source = real.clients.keep(KafkaSource(impatient, topic, f"{topic}.g", slow))
    done = next_offsets(read(source, 40))
    other = Recorder()
    successor = real.source(topic, f"{topic}.g", other)
    poll_until([successor], lambda: len(other.held) == PARTITIONS)  # while `source` is never polled
    source.commit(done)
    source.lag()
    assert not any(name == "lost" for name, _ in slow.calls)
    # One poll then tells of everything that happened meanwhile, and the listener commits in the midst of it.
    slow.on_revoked = lambda partitions: source.commit({p: done[p] for p in partitions})
    poll_until([source, successor], lambda: any(name == "lost" for name, _ in slow.calls))
    assert real.committed(topic, f"{topic}.g") == dict.fromkeys(range(PARTITIONS), 0)


def test_an_absent_topic_stops_reader_and_writer_and_names_the_mend(
    real: KafkaCluster, fresh_name: Names
) -> None:
    absent = fresh_name("absent")
    source, sink = real.source(absent, f"{absent}.g", Recorder()), real.sink()
    with pytest.raises(Fatal, match=rf"{absent}.*riverrun topics create"):
        read(source, 1)
    sink.produce_batch(absent, [b"k"], [b"v"], None, lambda _: None)
    with pytest.raises(Fatal, match=rf"{absent}.*riverrun topics create"):
        sink.flush(90_000)


@pytest.mark.slow
def test_a_broker_restart_loses_nothing_and_shows_as_unreachable(own_kafka: KafkaServer) -> None:
    cluster = KafkaCluster(own_kafka.bootstrap, create_with_admin(own_kafka.bootstrap))
    cluster.create("events")
    listener, acknowledged = Recorder(), list[int]()
    source, sink = cluster.source("events", "g", listener), cluster.sink()
    try:
        poll_until([source], lambda: len(listener.held) == PARTITIONS)
        own_kafka.kill()
        poll_until([source], lambda: not source.reachable)
        sink.produce_batch("events", [b"k"] * 3, [b"1", b"2", b"3"], None, acknowledged.append)
        assert sink.flush(200) == 3
        assert not acknowledged
        own_kafka.restart()
        assert sink.flush(60_000) == 0
        assert acknowledged == [3]
        found = read(source, 3)
        assert [r.value for r in found] == [b"1", b"2", b"3"]
        assert source.reachable
    finally:
        cluster.clients.close()


def test_what_was_given_up_was_never_acknowledged() -> None:
    sink, acknowledged = KafkaSink(KafkaConnection(NOBODY, {})), list[int]()
    for count in (1, 3):
        sink.produce_batch("t", [b"k"] * count, [b"v"] * count, None, acknowledged.append)
    assert sink.flush(100) == 4
    sink.close()
    assert acknowledged == []


def test_a_full_queue_holds_the_caller_until_it_is_told_to_give_up() -> None:
    class GivenUp(Exception):
        pass

    waits: list[int] = []

    def waiting() -> None:
        waits.append(1)
        if len(waits) == 2:
            raise GivenUp

    sink = KafkaSink(KafkaConnection(NOBODY, {"queue.buffering.max.messages": "5"}), waiting)
    with pytest.raises(GivenUp):
        sink.produce_batch("t", [b"k"] * 9, [b"v"] * 9, None, lambda _: None)
    assert sink.flush(0) == 5
    sink.close()
    broker = MemoryBroker()
    broker.create_topic("t")
    broker.down = True
    waits.clear()
    fake = MemorySink(broker, waiting, queue_max=5)
    with pytest.raises(GivenUp):
        fake.produce_batch("t", [b"k"] * 9, [b"v"] * 9, None, lambda _: None)
    assert fake.flush(0) == 5


def test_a_property_that_librdkafka_does_not_know_is_a_mistake_in_the_settings() -> None:
    for make in (
        lambda c: KafkaSource(c, "t", "g", Recorder()),
        KafkaSink,
    ):
        with pytest.raises(ConfigurationError, match=r"kafka\.properties.*no\.such\.thing"):
            make(KafkaConnection(NOBODY, {"no.such.thing": "1"}))


def test_aborted_records_and_control_records_at_the_end_are_no_lag(
    real: KafkaCluster, fresh_name: Names
) -> None:
    topic = fresh_name("events")
    real.create(topic)
    source = real.source(topic, f"{topic}.g", Recorder())
    producer = Producer({"bootstrap.servers": real.bootstrap, "transactional.id": topic})
    producer.init_transactions(30)
    for end in (producer.commit_transaction, producer.abort_transaction):
        producer.begin_transaction()
        for i in range(20):
            producer.produce(topic, b"%d" % i, b"%d" % i)
        assert producer.flush(30) == 0
        end(30)
    assert len(read(source, 20)) == 20
    poll_until([source], lambda: sum(lag.records for lag in source.lag().values()) == 0)
    assert {p: source.log_range(p)[1] for p in range(PARTITIONS)} == {
        p: lag.position for p, lag in source.lag().items()
    }


def test_a_record_larger_than_any_fetch_limit_is_read(real: KafkaCluster, fresh_name: Names) -> None:
    topic, size = fresh_name("events"), 12_000_000
    create_with_admin(real.bootstrap, {"max.message.bytes": str(2 * size)})(topic)
    producer = Producer({"bootstrap.servers": real.bootstrap, "message.max.bytes": 2 * size})
    producer.produce(topic, b"x" * size, b"large")
    producer.produce(topic, b"small", b"large")
    assert producer.flush(30) == 0
    assert size > int(real.connection().consumer("g")["fetch.max.bytes"])
    found = read(real.source(topic, f"{topic}.g", Recorder()), 2)
    assert [len(r.value or b"") for r in found] == [size, 5]
