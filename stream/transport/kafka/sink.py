"""An idempotent producer that waits rather than gives up a record."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stream.errors import Fatal, Fenced
from stream.records import Headers
from stream.transport.endpoints import OnAck
from stream.transport.kafka.errors import is_fatal, refused_properties, sentence
from stream.transport.kafka.limits import TopicLimits
from stream.transport.kafka.properties import KafkaConnection
from stream.transport.kafka.statistics import Statistics

BACKPRESSURE_POLL_S = 0.1
ANY_PARTITION = -1
MESSAGE_BYTES_MAX_DEFAULT = 1_000_000
BATCH_BYTES_DEFAULT = 1_000_000
PURGED = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})

_log = logging.getLogger("librdkafka")


def error_of(raised: KafkaException | SystemError) -> KafkaError:
    """What a call of the client says that serves callbacks.

    A callback that runs after the client has raised trips over it; then a SystemError comes out.
    """
    if isinstance(raised, SystemError):
        if not isinstance(raised.__cause__, KafkaException):
            raise raised
        raised = raised.__cause__
    error: KafkaError = raised.args[0]
    return error


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

    def __init__(
        self,
        connection: KafkaConnection,
        waiting: Callable[[], None] = lambda: None,
        limits: TopicLimits | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """`waiting` is called ten times a second while the queue is full; what it raises passes through.

        limits: of the topics that are produced to, read already; without them the producer's own holds.
        config: librdkafka's, beyond what every producer of ours has.
        """
        self._waiting, self._limits = waiting, limits
        self._failure: Fatal | Fenced | None = None
        self._closed = False
        given = connection.producer() | dict(config or {})
        self._bytes_max = int(given.get("message.max.bytes", MESSAGE_BYTES_MAX_DEFAULT))
        # The broker judges whole batches, and librdkafka does not cut one that was refused.
        self._batch_bytes = int(given.get("batch.size", BATCH_BYTES_DEFAULT))
        if limits is not None and limits.least is not None:
            self._batch_bytes = min(self._batch_bytes, limits.least)
        given["batch.size"] = self._batch_bytes
        self._statistics = Statistics("Kafka (producer)")
        try:
            self._producer = Producer(self._statistics.config(given), error_cb=self._on_error, logger=_log)
        except KafkaException as error:
            raise refused_properties(error) from None

    def bytes_max(self, topic: str) -> int:
        of_topic = self._limits.of(topic) if self._limits is not None else None
        return self._bytes_max if of_topic is None else min(self._bytes_max, of_topic)

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
        named: Iterable[Headers | None] = headers if headers is not None else [None] * len(values)
        for value, key, own in zip(values, keys, named, strict=True):
            while True:
                try:
                    produce(topic, value, key, ANY_PARTITION, acks, None, 0, own)  # type: ignore[arg-type]
                    break
                except BufferError:
                    self._serve(BACKPRESSURE_POLL_S)
                    self._waiting()
                except KafkaException as raised:
                    self._refused(topic, raised.args[0])
                    return
        self.poll()

    def poll(self) -> None:
        self._serve(0)
        if self._limits is not None and self._limits.refresh():
            self._limits_changed(self._limits.least)

    def flush(self, wait_ms: int) -> int:
        with self._heard():
            self._producer.flush(wait_ms / 1000)
        self._check()
        return len(self._producer)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._producer.purge()
            with self._heard():
                self._producer.close()

    # ---------------------------------------------------------------------------------------------- internals

    def _serve(self, wait_s: float) -> None:
        with self._heard():
            self._producer.poll(wait_s)
        self._check()

    @contextmanager
    def _heard(self) -> Iterator[None]:
        """Around calls that serve callbacks: they raise what is the producer's end."""
        try:
            yield
        except (KafkaException, SystemError) as raised:
            self._ended(error_of(raised))

    def _refused(self, topic: str, error: KafkaError) -> None:
        """`produce` did not take a record."""
        raise Fatal(sentence(f"topic {topic}", error))

    def _failed(self, error: KafkaError, message: Message) -> None:
        """A record will never be delivered."""
        topic = message.topic() or ""
        known = self._limits is not None and self._limits.of(topic) is not None
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE and known:
            self._failure = Fenced(f"topic {topic}: takes less than when this producer began: start again")
        elif error.code() not in PURGED:
            self._failure = Fatal(sentence(f"topic {topic}", error))

    def _ended(self, error: KafkaError) -> None:
        """The producer takes no more."""
        self._failure = self._failure or Fatal(sentence("Kafka (producer)", error))

    def _on_error(self, error: KafkaError) -> None:
        if is_fatal(error):
            self._ended(error)
        else:
            _log.info(sentence("Kafka (producer)", error))

    def _limits_changed(self, least: int | None) -> None:
        """Larger ones hold at once. For a smaller one, batches must become smaller, and cannot."""
        if least is not None and least < self._batch_bytes:
            self._failure = Fenced(
                f"an output topic takes batches of {least} bytes by now, and this producer makes them of "
                f"{self._batch_bytes}: start again"
            )

    def _check(self) -> None:
        self._statistics.check()
        if self._failure is not None:
            raise self._failure
