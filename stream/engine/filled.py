"""Asks, off the hot path, how far the rows of a definition are."""

from collections.abc import Callable

from features.definition.model import Definition, RowKind
from features.keys import Namespace
from features.store import StoreRejected, StoreUnavailable
from features.stores.deadline import DeadlineReader
from stream.engine.heads import request_heads
from stream.engine.lacking import Filled, Lacking, lacking
from stream.errors import Retryable
from stream.pipeline.enrich import FreshnessPolicy


class RowsReader:
    """For one thread to use, with connections of its own."""

    def __init__(
        self,
        events_topic: str,
        labels_topic: str,
        partitions_of: Callable[[str], int],
        reader: DeadlineReader,
        policy: FreshnessPolicy,
        now_ms: Callable[[], int],
    ) -> None:
        """partitions_of: how many partitions a topic has; may raise `Retryable`."""
        self._events_topic = events_topic
        self._labels_topic = labels_topic
        self._partitions_of = partitions_of
        self._reader = reader
        self._policy = policy
        self._now_ms = now_ms

    def lacking(self, definition: Definition, replaced: Definition | None) -> Lacking:
        """What the rows of a definition lack, beside those that they would replace. Raises `Retryable`."""
        rows = self._filled(definition)
        others = self._filled(replaced) if replaced is not None else None
        return lacking(definition, rows, others, self._policy, self._now_ms())

    def close(self) -> None:
        self._reader.close()

    def _filled(self, definition: Definition) -> Filled:
        reads_labels = any(row.kind is RowKind.LABELS for row in definition.rows)
        namespace = Namespace.of(definition)
        events = self._partitions_of(self._events_topic)
        labels = self._partitions_of(self._labels_topic) if reads_labels else 0
        topics = [(self._events_topic, events), (self._labels_topic, labels)]
        heads = request_heads(namespace, topics, namespace.previous())
        try:
            answer = self._reader.submit(heads.keys).result()
        except (StoreUnavailable, StoreRejected) as error:
            raise Retryable(f"the online store did not say how far rows are: {error}") from None
        return Filled(*heads.decode(answer).progress)
