"""Sinks that acknowledge late, or not at all."""

from collections.abc import Sequence

from stream.errors import Fatal
from stream.records import Headers
from stream.transport.endpoints import OnAck
from stream.transport.memory import MemoryBroker, MemorySink


class LateSink(MemorySink):
    """Writes at once; acknowledgements come to those who wait for them long enough."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker)
        self.late_ms = 0.0
        """Only a flush that waits so long hears of them; 0 for at once."""
        self.flushes: list[int] = []
        """How long each flush was to wait at most, in ms."""
        self._unheard: list[tuple[OnAck, int]] = []

    def produce_batch(
        self,
        topic: str,
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        headers: Sequence[Headers] | None,
        on_ack: OnAck,
    ) -> None:
        super().produce_batch(
            topic, keys, values, headers, lambda count: self._unheard.append((on_ack, count))
        )
        super().poll()

    def poll(self) -> None:
        super().poll()
        self._hear(0)

    def flush(self, wait_ms: int) -> int:
        self.flushes.append(wait_ms)
        super().poll()
        self._hear(wait_ms)
        return sum(count for _, count in self._unheard)

    def _hear(self, waited_ms: int) -> None:
        if waited_ms >= self.late_ms:
            unheard, self._unheard = self._unheard, []
            for on_ack, count in unheard:
                on_ack(count)


class BrokenSink(MemorySink):
    """Once it is `broken` every call raises, as after an error that no retry helps."""

    broken = False

    def produce_batch(
        self,
        topic: str,
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        headers: Sequence[Headers] | None,
        on_ack: OnAck,
    ) -> None:
        self._check()
        super().produce_batch(topic, keys, values, headers, on_ack)

    def poll(self) -> None:
        self._check()
        super().poll()

    def flush(self, wait_ms: int) -> int:
        self._check()
        return super().flush(wait_ms)

    def _check(self) -> None:
        if self.broken:
            raise Fatal("topic visits.predictions: the topic was deleted")
