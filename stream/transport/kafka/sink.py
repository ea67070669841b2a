"""An idempotent producer that waits rather than gives up a record."""

import logging
from collections.abc import Callable, Sequence

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stream.errors import Fatal
from stream.records import Headers
from stream.transport.endpoints import OnAck
from stream.transport.kafka.errors import is_fatal, refused_properties, sentence
from stream.transport.kafka.properties import KafkaConnection

BACKPRESSURE_POLL_S = 0.1
MESSAGE_BYTES_MAX_DEFAULT = 1_000_000

_log = logging.getLogger("librdkafka")


class _Acks:
    """One delivery callback for all records of a call."""

    __slots__ = ("_left", "_on_ack", "_on_failure", "_total")

    def __init__(self, total: int, on_ack: OnAck, on_failure: Callable[[KafkaError, Message], None]) -> None:
        self._left = self._total = total
        self._on_ack, self._on_failure = on_ack, on_failure

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._on_failure(error, message)
            return
        self._left -= 1
        if not self._left:
            self._on_ack(self._total)


class KafkaSink:
    """Records are retried for as long as it takes; one that never can be delivered stops the worker."""

    def __init__(self, connection: KafkaConnection, waiting: Callable[[], None] = lambda: None) -> None:
        """`waiting` is called ten times a second while the queue is full; what it raises passes through."""
        self._waiting = waiting
        self._failure: Fatal | None = None
        self._closed = False
        config = connection.producer()
        self._bytes_max = int(config.get("message.max.bytes", MESSAGE_BYTES_MAX_DEFAULT))
        try:
            self._producer = Producer(config, error_cb=self._on_error, logger=_log)
        except KafkaException as error:
            raise refused_properties(error) from None

    @property
    def message_bytes_max(self) -> int:
        return self._bytes_max

    def produce_batch(
        self,
        topic: str,
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        headers: Sequence[Headers] | None,
        on_ack: OnAck,
    ) -> None:
        if not values:
            return
        acks = _Acks(len(values), on_ack, self._failed)
        produce = self._producer.produce
        for i, (key, value) in enumerate(zip(keys, values, strict=True)):
            while True:
                try:
                    if headers is None:
                        produce(topic, value, key, on_delivery=acks)
                    else:
                        produce(topic, value, key, on_delivery=acks, headers=headers[i])  # type: ignore[arg-type]
                    break
                except BufferError:
                    self._producer.poll(BACKPRESSURE_POLL_S)
                    self._check()
                    self._waiting()
                except KafkaException as raised:
                    raise Fatal(sentence(f"topic {topic}", raised.args[0])) from None
        self.poll()

    def poll(self) -> None:
        self._producer.poll(0)
        self._check()

    def flush(self, wait_ms: int) -> int:
        left = self._producer.flush(wait_ms / 1000)
        self._check()
        return left

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._producer.purge()
            self._producer.close()

    def _failed(self, error: KafkaError, message: Message) -> None:
        if error.code() not in (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT):
            self._failure = Fatal(sentence(f"topic {message.topic()}", error))

    def _on_error(self, error: KafkaError) -> None:
        if is_fatal(error):
            self._failure = Fatal(sentence("Kafka (producer)", error))
        else:
            _log.info(sentence("Kafka (producer)", error))

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
