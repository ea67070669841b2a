"""How large a record the output topics take, on Apache Kafka."""

import logging
from collections.abc import Callable

import pytest

from stream.demo.kafka_server import CLIENT_PROPERTIES, EmbeddedKafka
from stream.errors import Fatal, Fenced
from stream.transport.endpoints import record_bytes
from stream.transport.kafka import KafkaConnection, KafkaSink
from stream.transport.kafka.limits import BYTES_LEAST, TopicLimits
from tests.contract.clusters import create_with_admin

Names = Callable[[str], str]
SMALL = 5_000


def limits_of(kafka: str, *topics: str) -> TopicLimits:
    limits = TopicLimits(KafkaConnection(kafka, {}), topics)
    limits.read(lambda: None)
    return limits


def test_records_within_the_smallest_limit_are_delivered_however_many_come_at_once(
    kafka: str, fresh_name: Names
) -> None:
    small, large = fresh_name("small"), fresh_name("large")
    create_with_admin(kafka, {"max.message.bytes": str(SMALL)})(small)
    create_with_admin(kafka)(large)
    limits = limits_of(kafka, small, large)
    sink = KafkaSink(KafkaConnection(kafka, {"linger.ms": "50"}), limits=limits)
    try:
        assert (sink.bytes_max(small), sink.bytes_max(large)) == (SMALL, 1_000_000)
        value = b"x" * (SMALL - record_bytes(b"k", b"", []))
        acknowledged: list[int] = []
        for topic in (small, large):
            sink.produce_batch(topic, [b"k"] * 20, [value] * 20, None, acknowledged.append)
            sink.produce_batch(topic, [b"k"] * 500, [b"little"] * 500, None, acknowledged.append)
        assert sink.flush(30_000) == 0
        assert sorted(acknowledged) == [20, 20, 500, 500]
    finally:
        sink.close()


def test_a_topic_that_takes_less_by_now_has_the_worker_start_again(kafka: str, fresh_name: Names) -> None:
    topic = fresh_name("shrunk")
    create_with_admin(kafka, {"max.message.bytes": str(SMALL)})(topic)
    limits = limits_of(kafka, topic)
    limits._known[topic] = 100_000  # as it was when the producer began
    sink = KafkaSink(KafkaConnection(kafka, {}), limits=limits)
    try:
        sink.produce_batch(topic, [b"k"], [b"x" * 50_000], None, lambda _: None)
        with pytest.raises(Fenced, match=f"{topic}.*start again"):
            sink.flush(30_000)
    finally:
        sink.close()


def test_an_absent_topic_and_one_that_takes_next_to_nothing_are_told_at_once(
    kafka: str, fresh_name: Names
) -> None:
    absent, tiny = fresh_name("absent"), fresh_name("tiny")
    with pytest.raises(Fatal, match=rf"{absent}.*riverrun topics create"):
        limits_of(kafka, absent)
    create_with_admin(kafka, {"max.message.bytes": "1000"})(tiny)
    with pytest.raises(Fatal, match=rf"{tiny}.*max\.message\.bytes={BYTES_LEAST}"):
        limits_of(kafka, tiny)


def test_where_kafka_does_not_say_the_producers_own_limit_must_do_and_that_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with EmbeddedKafka() as kafka, caplog.at_level(logging.WARNING, "librdkafka"):
        connection = KafkaConnection(kafka.bootstrap, CLIENT_PROPERTIES)
        limits = TopicLimits(connection, ["one", "two"])
        limits.read(lambda: None)
        assert [limits.of(topic) for topic in ("one", "two")] == [None, None]
        assert not limits.refresh()
        sink = KafkaSink(connection, limits=limits)
        assert sink.bytes_max("one") == 1_000_000
        sink.close()
    said = [record for record in caplog.records if "max.message.bytes is not known" in record.getMessage()]
    assert len(said) == 1
