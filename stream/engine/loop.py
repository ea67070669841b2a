"""The score worker's loop: poll, score, publish, and commit what is acknowledged; all in one thread."""

import threading
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from stream.engine.answers import Answers
from stream.engine.batch import BatchPolicy, next_size
from stream.engine.entries import next_offsets
from stream.engine.ownership import Ownership
from stream.engine.parts import cut
from stream.engine.publisher import Publisher
from stream.engine.rejects import RejectLimit
from stream.engine.scoring import BatchScorer, Partitions
from stream.engine.serving import CHAMPION_VARIANT, Serving
from stream.metrics import ScoreMetrics
from stream.records import RecordBatch
from stream.transport.endpoints import PartitionLag, Source

BACKPRESSURE_WAIT_MS = 100


@dataclass(frozen=True, slots=True)
class LoopPolicy:
    batch: BatchPolicy
    """How many records a poll brings."""
    events_at_once: int
    """How many of them are answered at once, as one batch."""
    wait_ms: int
    """How long a batch waits for its first record."""
    in_flight_max: int
    """Batches that may wait for acknowledgement."""
    commit_interval_ms: int
    revoke_flush_ms: int
    """How long to wait for acknowledgements when partitions are taken away."""
    labels_topic: str
    waiting: Callable[[], None]
    """Called over and over while too many outputs are not acknowledged."""


class ScoreLoop:
    """The listener of its source: `attach` the source, `serve` something, then call `step` in a loop."""

    def __init__(
        self,
        publisher: Publisher,
        scorer: BatchScorer,
        ownership: Ownership,
        rejects: RejectLimit,
        metrics: ScoreMetrics,
        policy: LoopPolicy,
        now_ms: Callable[[], int],
    ) -> None:
        self._publisher = publisher
        self._scorer = scorer
        self._ownership = ownership
        self._rejects = rejects
        self._answers = Answers(publisher, scorer, ownership, rejects, metrics)
        self._metrics = metrics
        self._policy = policy
        self._now_ms = now_ms
        self._source: Source | None = None
        self._serving: Serving | None = None
        self._next_serving: Serving | None = None
        self._swap = threading.Lock()
        self._size = policy.batch.events_min
        self._committed_ms = 0
        self._drained = False
        self._holding_back = False
        self._label_partitions = 0
        self.is_adrift = False
        """Whether partitions were lost, and none came since: nobody took them over in good order."""
        self._again: dict[int, int] = {}
        """By partition, from where to read again once the poll that heard of it returns."""

    def attach(self, source: Source) -> None:
        self._source = source

    def serve(self, serving: Serving) -> None:
        """Serve with this from the next batch on; may be called from any thread.

        Where its rows are others, events that they may lack are read again before the next is answered.
        """
        with self._swap:
            self._next_serving = serving

    def step(self) -> int:
        """Poll once and answer what came; returns how many records were passed."""
        self._hold_back()
        serving = self._current()
        records = self._poll()
        self._publisher.serve_acks()
        if len(records):
            self._metrics.polled(len(records))
            lags = self._attached.lag()
            self._pass(serving, records, lags)
            waiting = sum(lag.records for lag in lags.values())
            self._size = next_size(self._size, len(records), waiting, self._policy.batch)
        if abs(self._now_ms() - self._committed_ms) >= self._policy.commit_interval_ms:
            self._commit()
        return len(records)

    @property
    def now_ms(self) -> int:
        """By the clock it goes by, ms since the epoch."""
        return self._now_ms()

    @property
    def in_flight(self) -> int:
        """Batches whose outputs are not all acknowledged."""
        return self._publisher.in_flight

    def drain(self, within_ms: int) -> bool:
        """Wait for what is in flight, and commit it; whether all of it stands in time."""
        began_ms = self._now_ms()
        left = self._publisher.flush(within_ms)
        self._commit()
        self._drained = True
        left_ms = max(within_ms - abs(self._now_ms() - began_ms), 0)
        return self._attached.await_commits(left_ms) and left == 0

    # ------------------------------------------------------------------------------------------ partitions

    def assigned(self, committed: Mapping[int, int]) -> Mapping[int, int]:
        self.is_adrift = False
        self._count_label_partitions()
        self._publisher.assigned(committed)
        starts = self._ownership.took(committed)
        again = {p: start for p, start in starts.items() if start < committed[p]}
        return {**starts, **self._in_the_log(again)}

    def revoked(self, partitions: AbstractSet[int]) -> None:
        try:
            if not self._drained:
                self._publisher.flush(self._policy.revoke_flush_ms)
                self._again |= self._committed_else_again()
        finally:
            self._leave(partitions)

    def lost(self, partitions: AbstractSet[int]) -> None:
        self.is_adrift = True
        self._leave(partitions)

    def _leave(self, partitions: AbstractSet[int]) -> None:
        self._publisher.forget(partitions)
        self._ownership.gave(partitions)
        for partition in partitions:
            self._again.pop(partition, None)

    # --------------------------------------------------------------------------------------------- a batch

    def _poll(self) -> RecordBatch:
        """The next records. A transaction may be aborted meanwhile, for one whose partitions left: then what
        came of the partitions that stay lies behind what is to be read again.
        """
        records = self._attached.poll(self._size, self._policy.wait_ms)
        if self._again:
            records = records.without(self._again.keys())
            again, self._again = self._again, {}
            self._pass_again(again)
        return records

    def _pass(self, serving: Serving, records: RecordBatch, lags: Mapping[int, PartitionLag]) -> None:
        now_ms = self._now_ms()
        parts = cut(records, self._policy.events_at_once, lags, now_ms)
        batches = [(part.records, self._partitions(serving, part.lags, now_ms)) for part in parts]
        reached: Mapping[int, int] | None = None
        for batch, outputs in self._answers.to(serving, batches):
            with self._metrics.stage("publish"):
                self._publisher.publish(outputs, self._ownership.committable(next_offsets(batch)))
            if len(outputs.values) and self._scorer.reached is not None:
                reached = self._scorer.reached
        # Only now: to read again is to go back behind all of the poll.
        if self._ownership.needs_progress and reached is not None:
            self._read_again(self._ownership.learned(reached, _positions(lags)))

    def _partitions(self, serving: Serving, lags: Mapping[int, PartitionLag], now_ms: int) -> Partitions:
        covered = self._ownership.covered(_positions(lags))
        return Partitions(
            self._attached.partition_count,
            self._ownership.owned,
            {p: lags[p].seen_until_ms(now_ms) for p in covered},
            self._policy.labels_topic if serving.reads_labels else None,
            self._label_partitions,
        )

    # ------------------------------------------------------------------------------------------- internals

    def _hold_back(self) -> None:
        """While too much lacks acknowledgement fetch nothing, and keep polling: the group must not think
        us dead, and whoever wants to stop us must get a word in.
        """
        if self._is_full():
            self._publisher.flush(BACKPRESSURE_WAIT_MS)
        if self._is_full():
            self._commit()
        full = self._is_full()
        if full:
            self._policy.waiting()
        if full and not self._holding_back:
            self._attached.pause()
        elif self._holding_back and not full:
            self._attached.resume()
        self._holding_back = full

    def _is_full(self) -> bool:
        return self._publisher.is_closing or self._publisher.in_flight >= self._policy.in_flight_max

    def _current(self) -> Serving:
        """What to serve with. It changes between two transactions only."""
        if self._next_serving is not None and self._publisher.is_open:
            self._commit()
        if self._next_serving is not None and not self._publisher.is_open:
            with self._swap:
                self._serving, self._next_serving = self._next_serving, None
            if self._serving.namespace != self._ownership.namespace:
                self._count_label_partitions()
                self._read_again(self._ownership.moves_to(self._serving.definition, self._positions()))
            self._metrics.serves(_in_force(self._serving), _compiled(self._serving))
        assert self._serving is not None, "nothing to serve with"
        return self._serving

    def _read_again(self, starts: Mapping[int, int]) -> None:
        """Events before the position go into the overlay once more, without being scored."""
        self._attached.rewind(self._in_the_log(starts))

    def _in_the_log(self, starts: Mapping[int, int]) -> dict[int, int]:
        """These offsets, or where the log begins by now."""
        first = {partition: self._attached.log_range(partition)[0] for partition in starts}
        for partition, offset in first.items():
            self._ownership.log_begins(partition, offset)
        return {partition: max(start, first[partition]) for partition, start in starts.items()}

    def _positions(self) -> dict[int, int]:
        return _positions(self._attached.lag())

    def _count_label_partitions(self) -> None:
        if self._serving is not None and self._serving.reads_labels:
            self._label_partitions = self._attached.partitions_of(self._policy.labels_topic)

    def _commit(self) -> None:
        again = self._committed_else_again()
        if again:
            self._pass_again(again)

    def _committed_else_again(self) -> dict[int, int]:
        """Commit; returns from where records must be passed again, by partition."""
        self._committed_ms = self._now_ms()
        again = self._publisher.commit(self._attached)
        if again:
            self._rejects.taken_back()
        elif not self._publisher.is_open:
            self._rejects.settled()
        return again

    def _pass_again(self, again: Mapping[int, int]) -> None:
        self._attached.rewind(self._ownership.passes_again(again, self._positions()))

    @property
    def _attached(self) -> Source:
        assert self._source is not None, "attach a source first"
        return self._source


def _positions(lags: Mapping[int, PartitionLag]) -> dict[int, int]:
    return {partition: lag.position for partition, lag in lags.items()}


def _in_force(serving: Serving) -> list[tuple[str, str, str, str]]:
    """(version, digest, variant, role) of each model that may answer."""
    roles = (("champion", serving.answerers.champion), ("previous", serving.answerers.previous))
    return [(b.version, b.digest, CHAMPION_VARIANT, role) for role, b in roles if b is not None]


def _compiled(serving: Serving) -> list[str]:
    """The versions of those that answer by compiled code."""
    both = (serving.answerers.champion, serving.answerers.previous)
    return [bundle.version for bundle in both if bundle is not None and bundle.is_compiled]
