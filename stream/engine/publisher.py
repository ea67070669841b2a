"""Publish a batch's outputs, and know from their acknowledgements which offsets may be committed."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from features.arrays import Ints
from stream.engine.delivery import Delivery, acknowledged, committed, forgotten, opened
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

    def __len__(self) -> int:
        return len(self.values) + len(self.letters)


class Publisher(Protocol):
    """How outputs and offsets come to stand, in either delivery mode. For one thread."""

    @property
    def in_flight(self) -> int:
        """Batches not yet committable, or not yet committed with their outputs."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether a transaction holds outputs."""
        ...

    @property
    def is_closing(self) -> bool:
        """Whether a commit waits for acknowledgements: publish nothing, flush, and commit again."""
        ...

    def predictions_bytes_max(self) -> int:
        """The largest prediction its topic takes, as `record_bytes` counts it."""
        ...

    def letters_bytes_max(self) -> int:
        """The largest dead letter its topic takes."""
        ...

    def assigned(self, committed: Mapping[int, int]) -> None:
        """Partitions came; committed: where the group stands in each."""
        ...

    def publish(self, outputs: Outputs, next_offsets: Mapping[int, int]) -> None:
        """Produce everything a batch gave; `next_offsets` are committed once, or when, all of it stands."""
        ...

    def serve_acks(self) -> None: ...

    def flush(self, wait_ms: int) -> int:
        """Wait for acknowledgements; returns how many records still lack theirs."""
        ...

    def commit(self, source: Source) -> dict[int, int]:
        """Commit what is delivered. Returns, by owned partition, from where records must be passed again."""
        ...

    def forget(self, partitions: AbstractSet[int]) -> None:
        """These partitions are another worker's now."""
        ...


def produce(sink: Sink, topics: OutputTopics, outputs: Outputs, on_letters: OnAck, on_values: OnAck) -> None:
    """Dead letters go first, so that whoever reads a prediction finds them."""
    letters = outputs.letters
    if letters:
        sink.produce_batch(
            topics.deadletters,
            [letter.key for letter in letters],
            [letter.value for letter in letters],
            [letter.headers for letter in letters],
            on_letters,
        )
    if outputs.values:
        sink.produce_batch(topics.predictions, outputs.keys, outputs.values, outputs.headers, on_values)


def waited_s(timestamps: Ints, now_ms: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Seconds since each timestamp; NaN where there is none. Shape (n,)."""
    return np.where(timestamps >= 0, now_ms - timestamps, np.nan) / 1000.0


class PlainPublisher:
    """At least once: offsets follow the acknowledgements, which come from inside `publish` and `flush`."""

    is_open = False
    is_closing = False

    def __init__(
        self, sink: Sink, topics: OutputTopics, metrics: ScoreMetrics, now_ms: Callable[[], int]
    ) -> None:
        self._sink = sink
        self._topics = topics
        self._metrics = metrics
        self._now_ms = now_ms
        self._delivery = Delivery()
        self._refused = 0  # commits of the source, as far as they are counted

    @property
    def in_flight(self) -> int:
        return self._delivery.in_flight

    def predictions_bytes_max(self) -> int:
        return self._sink.bytes_max(self._topics.predictions)

    def letters_bytes_max(self) -> int:
        return self._sink.bytes_max(self._topics.deadletters)

    def assigned(self, committed: Mapping[int, int]) -> None:
        """Nothing is ever passed again."""

    def publish(self, outputs: Outputs, next_offsets: Mapping[int, int]) -> None:
        self._delivery, number = opened(self._delivery, next_offsets, len(outputs))

        def on_ack(count: int) -> None:
            self._delivery = acknowledged(self._delivery, number, count)

        def on_answered(count: int) -> None:
            on_ack(count)
            self._metrics.latency.observe(waited_s(outputs.timestamps, self._now_ms()))

        produce(self._sink, self._topics, outputs, on_ack, on_answered)

    def serve_acks(self) -> None:
        self._sink.poll()

    def flush(self, wait_ms: int) -> int:
        return self._sink.flush(wait_ms)

    def commit(self, source: Source) -> dict[int, int]:
        """Refused for good, records are answered again by whoever reads them; none goes without an answer."""
        refused, self._refused = self._refused, source.commits_refused
        self._metrics.commits_failed(self._refused - refused)
        offsets = dict(self._delivery.reached)
        if offsets:
            source.commit(offsets)
            self._delivery = committed(self._delivery, offsets)
        return {}

    def forget(self, partitions: AbstractSet[int]) -> None:
        self._delivery = forgotten(self._delivery, partitions)
