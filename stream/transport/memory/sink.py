"""Produces to a `MemoryBroker`."""

import time
from collections.abc import Callable, Mapping, Sequence

from stream.errors import AbortCause, Aborted, Fatal, Fenced
from stream.records import Headers
from stream.transport.endpoints import OnAck, Source, record_bytes
from stream.transport.memory.broker import MemoryBroker, OpenTransaction

QUEUE_MAX = 100_000
IDLE_STEP_S = 0.001


class MemorySink:
    """Produces to a `MemoryBroker`; acknowledges in `poll` and `flush`."""

    def __init__(
        self, broker: MemoryBroker, waiting: Callable[[], None] = lambda: None, queue_max: int = QUEUE_MAX
    ) -> None:
        self._broker, self._waiting, self._queue_max = broker, waiting, queue_max
        self._queue: list[tuple[str, bytes | None, bytes | None, Headers, Callable[[], None]]] = []
        self._transaction: OpenTransaction | None = None

    def bytes_max(self, topic: str) -> int:
        return self._broker.bytes_max(topic)

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
            if record_bytes(key, value, of_record) > self.bytes_max(topic) + 512:
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
            self._broker.append(topic, key, value, headers, transaction=self._transaction)
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


class MemoryTransactions(MemorySink):
    """What is produced between `begin` and `commit` stands or falls together."""

    def __init__(self, broker: MemoryBroker, name: str, waiting: Callable[[], None] = lambda: None) -> None:
        super().__init__(broker, waiting)
        self._name = name
        self.doom: Aborted | None = None
        """Tests set it to have the open transaction fail."""
        self.refusal: Aborted | None = None
        """Tests set it to have the next commit refused."""
        self._open = broker.open_transaction(name)
        broker.end_transaction(self._open, None, {})

    def begin(self) -> None:
        self._check()
        self.doom = None
        self._open = self._transaction = self._broker.open_transaction(self._name)

    def commit(self, source: Source, offsets: Mapping[int, int]) -> None:
        self._check()
        member = source.group_metadata()
        refusal, self.refusal = self.refusal or self.doom, None
        if refusal is None and self._broker.down:
            refusal = Aborted(AbortCause.TIMED_OUT, "no broker answers")
        begun = source.unstored
        if refusal is None and (begun or offsets) and not self._broker.takes_offsets(member):
            refusal = Aborted(AbortCause.GROUP_MOVED, f"group {member.group} moved on")
        if refusal is not None:
            self.abort()
            raise refusal
        self.poll()
        self._broker.end_transaction(self._open, member, {**begun, **offsets})
        self._transaction = None
        source.stored(begun.keys())

    def abort(self) -> None:
        self._check()
        self._queue.clear()
        self._broker.end_transaction(self._open, None, {})
        self._transaction = None

    def poll(self) -> None:
        if self._queue:
            self._check()
            assert self._transaction is not None, "produced outside a transaction"
        super().poll()

    def close(self) -> None:
        super().close()
        if self._transaction is not None and not self._broker.is_fenced(self._open):
            self.abort()

    def _check(self) -> None:
        if self._broker.is_fenced(self._open):
            raise Fenced(f"transactional id {self._name}: a newer producer took its place")
