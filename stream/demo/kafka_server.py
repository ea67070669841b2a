"""Kafka inside this process: librdkafka's mock cluster, for the demo and quick tests.

It keeps about 5 MB or 100,000 records a partition and drops the oldest silently, creates topics (4
partitions) by itself, and is no proof of delivery. A group's first member waits 3 s. Later rebalances
last a whole session timeout and never finish when they are cooperative, hence `CLIENT_PROPERTIES`.
"""

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Self

from confluent_kafka import Producer

START_TIMEOUT_S = 10.0
PARTITIONS = 4
"""What every topic of it has."""
CLIENT_PROPERTIES: Mapping[str, str] = MappingProxyType(
    {"partition.assignment.strategy": "range", "session.timeout.ms": "6000", "heartbeat.interval.ms": "500"}
)
"""What its clients should be configured with, so that a worker that left is replaced in seconds."""


class EmbeddedKafka:
    """Lives as long as this object is held and not closed; other clients connect to `bootstrap`."""

    def __init__(self) -> None:
        self._host: Producer | None = Producer(
            {"test.mock.num.brokers": 1, "bootstrap.servers": "embedded"},
            logger=logging.getLogger("librdkafka"),
        )
        brokers = self._host.list_topics(timeout=START_TIMEOUT_S).brokers.values()
        self.bootstrap = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    def create_topic(self, topic: str) -> None:
        """Topics come into being when somebody asks for them."""
        assert self._host is not None, "closed"
        self._host.list_topics(topic, timeout=START_TIMEOUT_S)

    def close(self) -> None:
        """Stop serving. Idempotent; clients see their brokers go away."""
        self._host = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
