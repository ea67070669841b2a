"""Publish a batch's outputs, and know from their acknowledgements which offsets may be committed."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from features.arrays import Ints
from stream.engine.delivery import Delivery, acknowledged, committed, forgotten, opened
from stream.errors import Retryable
from stream.metrics import ScoreMetrics
from stream.records import Headers
from stream.transport.deadletter import DeadLetter
from stream.transport.endpoints import OnAck, Sink, Source


@dataclass(frozen=True, slots=True)
class OutputTopics:
    predictions: str
    deadletters: str


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a batch of records gave: n predictions and the dead letters."""

    keys: Sequence[bytes | None]
    values: Sequence[bytes]
    headers: Sequence[Headers]
    timestamps: Ints
    """Of the records answered, ms since the epoch; -1 where there is none."""
    letters: Sequence[DeadLetter]


class Publisher:
    """For one thread; acknowledgements come from inside `publish` and `flush`."""

    def __init__(
        self, sink: Sink, topics: OutputTopics, metrics: ScoreMetrics, now_ms: Callable[[], int]
    ) -> None:
        self._sink = sink
        self._topics = topics
        self._metrics = metrics
        self._now_ms = now_ms
        self._delivery = Delivery()

    @property
    def in_flight(self) -> int:
        """Batches not yet committable."""
        return self._delivery.in_flight

    @property
    def message_bytes_max(self) -> int:
        return self._sink.message_bytes_max

    def publish(self, outputs: Outputs, next_offsets: Mapping[int, int]) -> None:
        """Produce everything a batch gave; `next_offsets` may be committed once all of it is acknowledged."""
        letters, expected = outputs.letters, len(outputs.values) + len(outputs.letters)
        self._delivery, number = opened(self._delivery, next_offsets, expected)
        if letters:
            self._sink.produce_batch(
                self._topics.deadletters,
                [letter.key for letter in letters],
                [letter.value for letter in letters],
                [letter.headers for letter in letters],
                self._on_ack(number, None),
            )
        if outputs.values:
            on_ack = self._on_ack(number, outputs.timestamps)
            self._sink.produce_batch(
                self._topics.predictions, outputs.keys, outputs.values, outputs.headers, on_ack
            )

    def serve_acks(self) -> None:
        self._sink.poll()

    def flush(self, wait_ms: int) -> int:
        """Wait for acknowledgements; returns how many records still lack theirs."""
        return self._sink.flush(wait_ms)

    def commit(self, source: Source) -> None:
        """Commit what is acknowledged. Refused, records are answered again; none goes without an answer."""
        offsets = dict(self._delivery.reached)
        if not offsets:
            return
        try:
            source.commit(offsets)
        except Retryable:
            self._metrics.commit_failed()
            return
        self._delivery = committed(self._delivery, offsets)

    def forget(self, partitions: AbstractSet[int]) -> None:
        """These partitions are another worker's now."""
        self._delivery = forgotten(self._delivery, partitions)

    def _on_ack(self, number: int, timestamps: Ints | None) -> OnAck:
        def on_ack(count: int) -> None:
            self._delivery = acknowledged(self._delivery, number, count)
            if timestamps is not None:
                waited = np.where(timestamps >= 0, self._now_ms() - timestamps, np.nan)
                self._metrics.latency.observe(waited / 1000.0)

        return on_ack
