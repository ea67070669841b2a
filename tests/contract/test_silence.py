"""A partition that a client lets lie while the others flow, on a real Kafka."""

from collections.abc import Callable

from confluent_kafka import TopicPartition

from stream.transport.kafka import KafkaSource
from tests.contract.clusters import PARTITIONS, KafkaCluster, Recorder, create_with_admin, poll_until, produce

Names = Callable[[str], str]


def test_a_partition_that_the_client_lets_lie_is_silent_until_it_flows(kafka: str, fresh_name: Names) -> None:
    cluster, topic, listener = KafkaCluster(kafka, create_with_admin(kafka)), fresh_name("events"), Recorder()
    cluster.create(topic)
    source = cluster.source(topic, f"{topic}.g", listener)
    assert isinstance(source, KafkaSource)
    poll_until([source], lambda: len(listener.held) == PARTITIONS and not source.unstored)
    # As librdkafka did with one that left while it was paused and came back: the source knows nothing of it.
    client = source._consumer
    client.pause([TopicPartition(topic, 1)])
    produce(cluster.sink(), topic, [b"%d" % i for i in range(80)])
    poll_until([source], lambda: source.silent_s.get(1, 0) >= 2)
    assert source.silent_s.keys() == {1}
    client.resume([TopicPartition(topic, 1)])
    poll_until([source], lambda: not source.silent_s)
    cluster.clients.close()
