"""What a score worker does when partitions come and go, and when it moves to other rows."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import numpy as np

from features.arrays import Bools
from features.definition.model import Definition
from features.keys import Namespace
from stream.engine.heads import request_heads
from stream.engine.overlay import Overlay
from stream.engine.reads import GuardedReads
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
        self._unread: set[int] = set()
        """Owned partitions whose progress could not be read when it was needed."""

    @property
    def namespace(self) -> Namespace:
        """The rows that events are scored with."""
        return self._namespace

    @property
    def owned(self) -> frozenset[int]:
        """The partitions in hand."""
        return frozenset(self._score_from)

    def caught_up(self, lags: Mapping[int, PartitionLag]) -> bool:
        """Whether everything that had to be read again was. lags: the source's."""
        return all(lag.position >= self._score_from.get(p, 0) for p, lag in lags.items())

    def covered(self, positions: Mapping[int, int]) -> frozenset[int]:
        """Partitions in hand of which nothing is still to be read again: before that the overlay lacks events
        that another worker answered. positions: as of `moves_to`.
        """
        return frozenset(p for p, at in self._score_from.items() if positions.get(p, -1) >= at)

    def took(self, committed: Mapping[int, int]) -> Mapping[int, int]:
        """Partitions were assigned; returns where to read from."""
        return self._begin(committed)

    def moves_to(self, definition: Definition, positions: Mapping[int, int]) -> Mapping[int, int]:
        """From now on events are scored with the rows of another definition.

        positions: by owned partition, the next offset the source will return. Returns where to read again
        from: the overlay was made of the old definition's columns.
        """
        self._namespace = Namespace.of(definition)
        self._overlay.begin(definition)
        return _earlier(self._begin(self._scored_until(positions)), positions)

    def learned(self, reached: Mapping[int, int], positions: Mapping[int, int]) -> Mapping[int, int]:
        """A batch's read told the progress that could not be read before; returns where to read again from.

        reached: by partition, the offset up to which the store holds its events.
        """
        late = {p: at for p, at in self._scored_until(positions).items() if p in self._unread}
        self._unread.clear()
        starts: dict[int, int] = {}
        for partition, at in late.items():
            if partition in reached:
                self._overlay.revoke({partition})
                starts[partition] = self._start(partition, at, reached[partition])
        return _earlier(starts, positions)

    @property
    def needs_progress(self) -> bool:
        """Whether `learned` has something to learn."""
        return bool(self._unread)

    def log_begins(self, partition: int, first: int) -> None:
        """Retention deleted what lies before `first`: nobody can read it again."""
        self._overlay.mark_missing(partition, first)

    def gave(self, partitions: AbstractSet[int]) -> None:
        """Partitions are another worker's now."""
        for partition in partitions:
            self._score_from.pop(partition, None)
        self._overlay.revoke(set(partitions))

    def passes_again(self, again: Mapping[int, int], positions: Mapping[int, int]) -> Mapping[int, int]:
        """What was answered from these offsets on does not stand; returns where to read again from.

        again: by partition. One that is only read again at the moment, and has not come so far, reads on.
        """
        mine = {p: offset for p, offset in again.items() if p in self._score_from}
        for partition, offset in mine.items():
            self._score_from[partition] = min(self._score_from[partition], offset)
        if mine:
            self._overlay.drop_from(mine)
        return _earlier(mine, positions)

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

    def _scored_until(self, positions: Mapping[int, int]) -> dict[int, int]:
        """By owned partition: where the first event stands that was not scored yet."""
        return {p: max(positions.get(p, 0), scored_from) for p, scored_from in self._score_from.items()}

    def _begin(self, scored_until: Mapping[int, int]) -> dict[int, int]:
        """Read the progress of these partitions; returns where to read each of them from."""
        reached = self._materialized(max(scored_until, default=-1) + 1)
        self._unread -= scored_until.keys()
        if reached is None:
            self._unread |= scored_until.keys()
            reached = {}
        return {p: self._start(p, at, reached.get(p, at)) for p, at in scored_until.items()}

    def _start(self, partition: int, scored_until: int, reached: int) -> int:
        """Where to read a partition from, so that from there on the overlay holds everything."""
        start = max(min(scored_until, reached), scored_until - REPLAY_RECORDS_MAX)
        self._overlay.mark_missing(partition, start)
        self._score_from[partition] = scored_until
        return start

    def _materialized(self, partitions: int) -> dict[int, int] | None:
        """By partition; None where the store did not say."""
        heads = request_heads(self._namespace, [(self._topic, partitions)], self._namespace.previous())
        answer = self._reads.read(heads.keys)
        if isinstance(answer, Cause):
            return None
        (progress,) = heads.decode(answer).progress
        return {p: known.offset for p, known in enumerate(progress) if known is not None}


def _earlier(starts: Mapping[int, int], positions: Mapping[int, int]) -> dict[int, int]:
    """Those that lie before the position."""
    return {p: start for p, start in starts.items() if start < positions.get(p, 0)}
