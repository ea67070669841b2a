"""Kafka by librdkafka."""

from stream.transport.kafka.properties import OWNED, SECRET, KafkaConnection, parse_properties
from stream.transport.kafka.sink import KafkaSink
from stream.transport.kafka.source import KafkaSource

__all__ = ["OWNED", "SECRET", "KafkaConnection", "KafkaSink", "KafkaSource", "parse_properties"]
