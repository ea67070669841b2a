"""What there is to know of topics without being a member of any group."""

import logging

from confluent_kafka import Consumer, KafkaException

from stream.errors import Retryable
from stream.transport.kafka.errors import refused_properties, sentence
from stream.transport.kafka.properties import KafkaConnection

ASK_TIMEOUT_S = 5.0

_log = logging.getLogger("librdkafka")


class KafkaTopics:
    """Asks with a client of its own, made when the first question comes; for one thread to use."""

    def __init__(self, connection: KafkaConnection, group: str) -> None:
        """group: librdkafka wants one; it is not joined."""
        self._connection, self._group = connection, group
        self._consumer: Consumer | None = None

    def partitions_of(self, topic: str) -> int:
        """How many partitions a topic has; 0 where there is none. Raises `Retryable`."""
        if self._consumer is None:
            try:
                self._consumer = Consumer(
                    self._connection.consumer(self._group), error_cb=lambda _: None, logger=_log
                )
            except KafkaException as error:
                raise refused_properties(error) from None
        try:
            found = self._consumer.list_topics(topic, ASK_TIMEOUT_S).topics.get(topic)
        except KafkaException as error:
            self.close()  # the next question is another client's: this may have lost its brokers for good
            raise Retryable(sentence(f"topic {topic}", error.args[0])) from None
        return len(found.partitions) if found is not None else 0

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
