"""Kafka by librdkafka."""

from stream.transport.kafka.properties import OWNED, SECRET, KafkaConnection, parse_properties
from stream.transport.kafka.sink import KafkaSink
from stream.transport.kafka.source import KafkaSource
from stream.transport.kafka.transactions import KafkaTransactions

__all__ = [
    "OWNED",
    "SECRET",
    "KafkaConnection",
    "KafkaSink",
    "KafkaSource",
    "KafkaTransactions",
    "parse_properties",
]
