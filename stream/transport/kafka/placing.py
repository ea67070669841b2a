"""A producer into partitions that the caller chooses, with an answer for each record."""

from collections.abc import Callable

from confluent_kafka import KafkaError, KafkaException, Message

from stream.records import Headers
from stream.transport.kafka.sink import BACKPRESSURE_POLL_S, KafkaSink

BY_THE_KEY = -1
"""librdkafka's number for the partition that the key decides."""


class PlacingSink(KafkaSink):
    """As its parent, but that a record which is too large for its topic is an answer and no end."""

    def produce(
        self,
        topic: str,
        partition: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        answered: Callable[[bool], None],
    ) -> None:
        """partition: None for the one that the key decides. answered: is told, once, whether the record
        stands in the log, or is too large for it. Waits while the queue is full. Raises `Fatal`.
        """

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None or error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                answered(error is None)
            else:
                self._failed(error, message)

        place = BY_THE_KEY if partition is None else partition
        while True:
            try:
                self._producer.produce(
                    topic,
                    value,
                    key,
                    place,
                    on_delivery=delivered,
                    headers=headers,  # type: ignore[arg-type]  # pairs of str and bytes are what it takes
                )
                break
            except BufferError:
                self._serve(BACKPRESSURE_POLL_S)
            except KafkaException as raised:
                if raised.args[0].code() != KafkaError.MSG_SIZE_TOO_LARGE:
                    self._refused(topic, raised.args[0])
                answered(False)
                break
        self._serve(0)

    def wait(self, wait_ms: int) -> None:
        """Serve answers as they come. Raises `Fatal`."""
        self._serve(wait_ms / 1000)
