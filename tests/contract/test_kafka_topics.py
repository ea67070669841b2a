"""What is asked of Kafka by who is no member of any group."""

from collections.abc import Callable

import pytest
from confluent_kafka.admin import AdminClient

from stream.errors import Retryable
from stream.transport.kafka import KafkaConnection
from stream.transport.kafka import topics as module
from stream.transport.kafka.topics import KafkaTopics
from tests.contract.clusters import PARTITIONS, create_with_admin

NOBODY = "127.0.0.1:1"


def test_partitions_are_counted_without_joining_or_creating_anything(
    kafka: str, fresh_name: Callable[[str], str]
) -> None:
    topic, absent, group = (fresh_name(name) for name in ("events", "absent", "group"))
    create_with_admin(kafka)(topic)
    topics = KafkaTopics(KafkaConnection(kafka, {}), group)
    assert topics.partitions_of(topic) == PARTITIONS
    assert topics.partitions_of(absent) == 0
    topics.close()
    topics.close()
    admin = AdminClient({"bootstrap.servers": kafka})
    assert absent not in admin.list_topics(timeout=30).topics
    groups = admin.list_consumer_groups().result(timeout=30).valid
    assert group not in {listed.group_id for listed in groups}


def test_a_kafka_that_does_not_answer_is_asked_again_another_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ASK_TIMEOUT_S", 0.1)
    topics = KafkaTopics(KafkaConnection(NOBODY, {}), "g")
    with pytest.raises(Retryable, match="topic events: "):
        topics.partitions_of("events")
    topics.close()
