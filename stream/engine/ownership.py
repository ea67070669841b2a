"""What a score worker does when partitions come and go."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import numpy as np

from features.arrays import Bools
from features.keys import Namespace
from stream.engine.overlay import Overlay
from stream.engine.reads import GuardedReads
from stream.engine.scoring import decode_all, progress_keys
from stream.pipeline.causes import Cause
from stream.records import RecordBatch
from stream.transport.endpoints import PartitionLag

REPLAY_RECORDS_MAX = 1_000_000


class Ownership:
    """Partitions in hand: from where each is read, and from where each is scored.

    Between the materializer's progress and the committed offset lie events that were scored but whose
    entries may not be in the store: they are read again, into the overlay, without being scored.
    """

    def __init__(self, topic: str, namespace: Namespace, reads: GuardedReads, overlay: Overlay) -> None:
        self._topic = topic
        self._namespace = namespace
        self._reads = reads
        self._overlay = overlay
        self._score_from: dict[int, int] = {}
        """By owned partition: the offset from which events are scored."""

    @property
    def owned(self) -> frozenset[int]:
        """The partitions in hand."""
        return frozenset(self._score_from)

    def caught_up(self, lags: Mapping[int, PartitionLag]) -> bool:
        """Whether everything that had to be read again was. lags: the source's."""
        return all(lag.position >= self._score_from.get(p, 0) for p, lag in lags.items())

    def took(self, committed: Mapping[int, int]) -> Mapping[int, int]:
        """Partitions were assigned; returns where to read from."""
        reached = self._materialized(max(committed, default=-1) + 1)
        starts: dict[int, int] = {}
        for partition, offset in committed.items():
            start = min(offset, reached.get(partition, offset))
            if offset - start > REPLAY_RECORDS_MAX:
                start = offset - REPLAY_RECORDS_MAX
                self._overlay.mark_missing(partition, start)
            if partition not in reached:
                self._overlay.mark_missing(partition, offset)
            self._score_from[partition] = offset
            starts[partition] = start
        return starts

    def log_begins(self, partition: int, first: int) -> None:
        """Retention deleted what lies before `first`: nobody can read it again."""
        self._overlay.mark_missing(partition, first)

    def gave(self, partitions: AbstractSet[int]) -> None:
        """Partitions are another worker's now."""
        for partition in partitions:
            self._score_from.pop(partition, None)
        self._overlay.revoke(set(partitions))

    def to_score(self, records: RecordBatch) -> Bools:
        """Per record whether it is to be answered; False for one that is only read again."""
        starts = np.zeros(int(records.partitions.max()) + 1, np.int64)
        for partition, start in self._score_from.items():
            if partition < len(starts):
                starts[partition] = start
        return np.asarray(records.offsets >= starts[records.partitions])

    def committable(self, next_offsets: Mapping[int, int]) -> dict[int, int]:
        """Those that may be committed once everything before them is delivered.

        While events are only read again the group's offset lies further on, and must not be moved back.
        """
        return {p: offset for p, offset in next_offsets.items() if offset > self._score_from.get(p, -1)}

    def _materialized(self, partitions: int) -> dict[int, int]:
        answer = self._reads.read(progress_keys(self._namespace, self._topic, partitions))
        if isinstance(answer, Cause):
            return {}
        return {p: known.offset for p, known in enumerate(decode_all(answer)) if known is not None}
