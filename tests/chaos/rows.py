"""What the online store holds of a use case in the end: its keys, how far it is, what its rows give."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from confluent_kafka import Consumer, TopicPartition

from features.arrays import Ints
from features.definition.model import Definition
from features.event import EventBatch, pack_positions
from features.keys import Namespace
from features.matrix import FeatureMatrix, FeaturePlan
from features.rows import assemble_rows, request_rows
from tests.integration.stage import Stage
from tests.integration.usecase import Visit, history_of

BEYOND = 10**9
"""An offset after all that were written."""


class InStore:
    """Of one use case, read past the workers."""

    def __init__(self, stage: Stage) -> None:
        self._stage, self.definition = stage, stage.definition
        self._namespace = Namespace.of(stage.definition)
        self._client = stage.store

    def is_whole(self) -> bool:
        """Whether every record of both topics is in the rows, and the store says so."""
        for topic in ("events", "labels"):
            progress = self._stage.progress(topic)
            for partition, end in enumerate(log_ends(self._stage, topic)):
                known = progress.get(partition)
                if known is None or known.offset < end or known.rebuilding:
                    return False
        return True

    def entities(self) -> dict[str, set[str]]:
        """By entity and kind, the keys of all rows there are."""
        found = {}
        for schema in self.definition.rows:
            prefix = self._namespace.row_prefix(schema.entity, schema.kind)
            keys = self._client.scan_iter(match=prefix + b"*", count=1_000)
            found[f"{schema.entity} {schema.kind.name}"] = {key.removeprefix(prefix).decode() for key in keys}
        return found

    def evaluate(self, asked: Sequence[Visit]) -> FeatureMatrix:
        """The features of events that nobody sent, as a scorer would read and evaluate them."""
        events = _as_live(self.definition, asked)
        request = request_rows(self.definition, events)
        keys = list(request.store_keys)
        stored = [value if isinstance(value, bytes) else None for value in self._client.mget(keys)]
        rows, corrupt = assemble_rows(self.definition, events, request, stored, {})
        assert not corrupt.any()
        return FeaturePlan(self.definition).evaluate(events, rows)


def log_ends(stage: Stage, topic: str) -> list[int]:
    """The offset after the last record of each partition."""
    consumer = Consumer({"bootstrap.servers": stage.kafka, "group.id": f"{stage.name}.ends"})
    try:
        places = [TopicPartition(stage.topics[topic], partition) for partition in range(stage.partitions)]
        return [consumer.get_watermark_offsets(place, timeout=10)[1] for place in places]
    finally:
        consumer.close()


def _as_live(definition: Definition, asked: Sequence[Visit]) -> EventBatch:
    events = history_of(definition, asked).events
    offsets: Ints = BEYOND + np.arange(len(events))
    return replace(events, positions=pack_positions(np.zeros(len(events), np.int64), offsets))
