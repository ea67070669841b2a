"""Exactly once: outputs, dead letters and offsets of some batches stand together, or none of them."""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet

import numpy as np

from features.arrays import Ints
from stream.engine.publisher import Outputs, OutputTopics, produce, waited_s
from stream.engine.transaction import Transaction, aborted, assigned, committed, extended, left
from stream.errors import AbortCause, Aborted
from stream.metrics import ScoreMetrics
from stream.transport.endpoints import Source, TransactionalSink

DELIVER_MS = 100
"""How long `commit` itself waits for acknowledgements, before it leaves the loop a turn at its group."""


class TransactionalPublisher:
    """Opens a transaction with the first batch, and ends it in `commit`."""

    def __init__(
        self,
        sink: TransactionalSink,
        topics: OutputTopics,
        metrics: ScoreMetrics,
        now_ms: Callable[[], int],
        patience_ms: int,
    ) -> None:
        """patience_ms: a transaction whose records are not acknowledged in that time is aborted."""
        self._sink = sink
        self._topics = topics
        self._metrics = metrics
        self._now_ms = now_ms
        self._patience_ms = patience_ms
        self._transaction = Transaction()
        self._number = 0
        self._unacknowledged = 0
        self._timestamps: list[Ints] = []
        self._began_ms = 0
        self._torn = False
        self.is_closing = False

    @property
    def in_flight(self) -> int:
        return self._transaction.batches

    @property
    def is_open(self) -> bool:
        return self._transaction.is_open

    def predictions_bytes_max(self) -> int:
        return self._sink.bytes_max(self._topics.predictions)

    def letters_bytes_max(self) -> int:
        return self._sink.bytes_max(self._topics.deadletters)

    def assigned(self, committed: Mapping[int, int]) -> None:
        self._transaction = assigned(self._transaction, committed)

    def publish(self, outputs: Outputs, next_offsets: Mapping[int, int]) -> None:
        if not len(outputs) and not next_offsets:
            return
        if not self._transaction.is_open:
            self._sink.begin()
            self._number += 1
            self._unacknowledged, self._timestamps, self._began_ms = 0, [], self._now_ms()
        self._transaction = extended(self._transaction, next_offsets)
        self._unacknowledged += len(outputs)
        self._timestamps.append(outputs.timestamps)
        number = self._number

        def on_ack(count: int) -> None:
            if number == self._number:
                self._unacknowledged -= count

        self._torn = True  # what is raised in the midst of it leaves some of its outputs out
        produce(self._sink, self._topics, outputs, on_ack, on_ack)
        self._torn = False

    def serve_acks(self) -> None:
        self._sink.poll()

    def flush(self, wait_ms: int) -> int:
        return self._sink.flush(wait_ms)

    def commit(self, source: Source) -> dict[int, int]:
        """May leave it open, `is_closing`, while acknowledgements are missing and there is still time."""
        if not self._transaction.is_open:
            return self._begin_group(source) if source.unstored else {}
        try:
            with self._metrics.stage("commit"):
                if not self._settle():
                    self.is_closing = True
                    return {}
                self._sink.commit(source, self._transaction.reached)
        except Aborted as refused:
            return self._passed_over(refused.cause)
        self._metrics.transaction_committed(self._open_ms() / 1000)
        timestamps = np.concatenate(self._timestamps)
        self._metrics.latency.observe(waited_s(timestamps, self._now_ms()))
        self._transaction, self.is_closing = committed(self._transaction), False
        return {}

    def _begin_group(self, source: Source) -> dict[int, int]:
        """Store where it begins: until then no record comes that a transaction could be of."""
        try:
            self._sink.begin()
            self._sink.commit(source, {})
        except Aborted as refused:
            self._metrics.transaction_aborted(refused.cause.value)
        return {}

    def forget(self, partitions: AbstractSet[int]) -> None:
        self._transaction = left(self._transaction, partitions)

    def _open_ms(self) -> int:
        """For how long, whichever way the clock was set."""
        return abs(self._now_ms() - self._began_ms)

    def _settle(self) -> bool:
        """Whether it may be committed now. Raises `Aborted`, having aborted it, where it never may."""
        if self._unacknowledged and not self._is_doomed():
            self._sink.flush(DELIVER_MS)
        doom = self._is_doomed()
        if doom is None and self._unacknowledged and self._open_ms() >= self._patience_ms:
            doom = Aborted(AbortCause.TIMED_OUT, f"{self._unacknowledged} records are not acknowledged")
        if doom is not None:
            self._sink.abort()
            raise doom
        return not self._unacknowledged

    def _is_doomed(self) -> Aborted | None:
        if self._torn:
            return Aborted(AbortCause.TORN, "a batch was not produced as a whole")
        if self._transaction.lost:
            return Aborted(AbortCause.PARTITIONS_LEFT, "it holds outputs of partitions that were taken away")
        return self._sink.doom

    def _passed_over(self, cause: AbortCause) -> dict[int, int]:
        self._metrics.transaction_aborted(cause.value)
        self._number += 1  # acknowledgements that come from now on are nobody's
        self._torn = self.is_closing = False
        self._transaction, again = aborted(self._transaction)
        return again
