"""Produces to a `MemoryBroker`."""

import time
from collections.abc import Callable, Sequence

from stream.errors import Fatal
from stream.records import Headers
from stream.transport.endpoints import OnAck, record_bytes
from stream.transport.memory.broker import MemoryBroker

QUEUE_MAX = 100_000
IDLE_STEP_S = 0.001


class MemorySink:
    """Produces to a `MemoryBroker`; acknowledges in `poll` and `flush`."""

    def __init__(
        self, broker: MemoryBroker, waiting: Callable[[], None] = lambda: None, queue_max: int = QUEUE_MAX
    ) -> None:
        self._broker, self._waiting, self._queue_max = broker, waiting, queue_max
        self._queue: list[tuple[str, bytes | None, bytes | None, Headers, Callable[[], None]]] = []
        self._closed = False

    @property
    def message_bytes_max(self) -> int:
        return self._broker.message_bytes_max

    def produce_batch(
        self,
        topic: str,
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        headers: Sequence[Headers] | None,
        on_ack: OnAck,
    ) -> None:
        left = total = len(values)

        def acknowledged() -> None:
            nonlocal left
            left -= 1
            if not left:
                on_ack(total)

        for i, (key, value) in enumerate(zip(keys, values, strict=True)):
            of_record = [] if headers is None else headers[i]
            if record_bytes(key, value, of_record) > self.message_bytes_max + 512:
                raise Fatal(f"topic {topic}: message too large; raise max.message.bytes of the topic")
            self._broker.logs(topic)
            while len(self._queue) >= self._queue_max:
                self.poll()
                self._waiting()
            self._queue.append((topic, key, value, of_record, acknowledged))

    def poll(self) -> None:
        if self._broker.down:
            return
        queue, self._queue = self._queue, []
        for topic, key, value, headers, acknowledged in queue:
            self._broker.append(topic, key, value, headers)
            acknowledged()

    def flush(self, wait_ms: int) -> int:
        deadline = time.monotonic() + wait_ms / 1000
        self.poll()
        while self._queue and time.monotonic() < deadline:
            time.sleep(IDLE_STEP_S)
            self.poll()
        return len(self._queue)

    def close(self) -> None:
        self._queue.clear()
