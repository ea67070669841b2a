"""The score worker's loop: poll, score, publish, and commit what is acknowledged; all in one thread."""

import threading
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from features.arrays import Bools
from stream.engine.batch import BatchPolicy, next_size
from stream.engine.entries import next_offsets
from stream.engine.ownership import Ownership
from stream.engine.publisher import Outputs, Publisher
from stream.engine.rejects import RejectLimit
from stream.engine.scoring import BatchScorer, Partitions
from stream.engine.serving import CHAMPION_VARIANT, Serving
from stream.errors import Fatal
from stream.metrics import ScoreMetrics
from stream.pipeline.decode import Decoded
from stream.pipeline.encode import PredictionBatch, prediction_headers
from stream.records import RecordBatch
from stream.transport.deadletter import DeadLetter, dead_letter
from stream.transport.endpoints import Source

BACKPRESSURE_WAIT_MS = 100


@dataclass(frozen=True, slots=True)
class LoopPolicy:
    batch: BatchPolicy
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
        self._metrics = metrics
        self._policy = policy
        self._now_ms = now_ms
        self._source: Source | None = None
        self._serving: Serving | None = None
        self._next_serving: Serving | None = None
        self._swap = threading.Lock()
        self._size = policy.batch.events_min
        self._committed_ms = 0
        self._newest_timestamp = -1
        self._drained = False
        self._holding_back = False
        self._label_partitions = 0

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
        serving = self._current()
        self._hold_back()
        records = self._attached.poll(self._size, self._policy.wait_ms)
        self._publisher.serve_acks()
        if len(records):
            self._metrics.polled(len(records))
            self._newest_timestamp = int(records.timestamps[-1])
            self._pass(serving, records)
            waiting = sum(lag.records for lag in self._attached.lag().values())
            self._size = next_size(self._size, len(records), waiting, self._policy.batch)
        if abs(self._now_ms() - self._committed_ms) >= self._policy.commit_interval_ms:
            self._commit()
        return len(records)

    @property
    def in_flight(self) -> int:
        """Batches whose outputs are not all acknowledged."""
        return self._publisher.in_flight

    def lag_seconds(self) -> float:
        """How old the last polled record is, while there are more behind it; 0 at the log's end."""
        waiting = sum(lag.records for lag in self._attached.lag().values())
        if not waiting or self._newest_timestamp < 0:
            return 0.0
        return max(self._now_ms() - self._newest_timestamp, 0) / 1000

    def drain(self, within_ms: int) -> bool:
        """Wait for what is in flight, and commit it; whether all of it was acknowledged in time."""
        left = self._publisher.flush(within_ms)
        self._commit()
        self._drained = True
        return left == 0

    # ------------------------------------------------------------------------------------------ partitions

    def assigned(self, committed: Mapping[int, int]) -> Mapping[int, int]:
        self._count_label_partitions()
        starts = self._ownership.took(committed)
        again = {p: start for p, start in starts.items() if start < committed[p]}
        return {**starts, **self._in_the_log(again)}

    def revoked(self, partitions: AbstractSet[int]) -> None:
        try:
            if not self._drained:
                self._publisher.flush(self._policy.revoke_flush_ms)
                self._commit()
        finally:
            self.lost(partitions)

    def lost(self, partitions: AbstractSet[int]) -> None:
        self._publisher.forget(partitions)
        self._ownership.gave(partitions)

    # --------------------------------------------------------------------------------------------- a batch

    def _pass(self, serving: Serving, records: RecordBatch) -> None:
        with self._metrics.stage("decode"):
            decoded = serving.decoder.decode(records)
        fresh = self._ownership.to_score(records)
        letters = self._dead_letters(serving, records, decoded, fresh)
        decoded = self._remember_old(decoded, fresh)
        self._metrics.consumed(len(decoded.events))
        scored = np.flatnonzero(decoded.scored)
        if not len(scored):
            self._scorer.remember(decoded.events)
            outputs = Outputs([], [], [], np.empty(0, np.int64), letters)
        else:
            partitions = Partitions(
                self._attached.partition_count,
                self._ownership.owned,
                self._policy.labels_topic if serving.reads_labels else None,
                self._label_partitions,
            )
            predictions = self._scorer.score(serving, decoded, scored, records.topic, partitions)
            self._count(serving, predictions)
            with self._metrics.stage("encode"):
                values = serving.encoder.encode(predictions)
            place = decoded.index[scored]
            at = place.tolist()
            keys = [records.keys[i] for i in at]
            headers = [prediction_headers(records.headers(i)) for i in at]
            outputs = Outputs(keys, values, headers, records.timestamps[place], letters)
        with self._metrics.stage("publish"):
            self._publisher.publish(outputs, self._ownership.committable(next_offsets(records)))
        if len(scored) and self._ownership.needs_progress and self._scorer.reached is not None:
            self._read_again(self._ownership.learned(self._scorer.reached, self._positions()))

    def _remember_old(self, decoded: Decoded, fresh: Bools) -> Decoded:
        """Events that are only read again go into the overlay; returns the others."""
        answered = fresh[decoded.index]
        if answered.all():
            return decoded
        self._scorer.remember(decoded.events.take(np.flatnonzero(~answered)))
        new = np.flatnonzero(answered)
        return Decoded(
            decoded.events.take(new),
            decoded.index[new],
            decoded.causes[new],
            decoded.scored[new],
            decoded.rejected,
        )

    def _dead_letters(
        self, serving: Serving, records: RecordBatch, decoded: Decoded, fresh: Bools
    ) -> list[DeadLetter]:
        """The dead letters of a batch. Raises `Fatal` when too many records are rejected."""
        rejected = [one for one in decoded.rejected if fresh[one.index]]
        for one in rejected:
            self._metrics.dead_letter(one.reason.value)
        too_many = self._rejects.seen(int(fresh.sum()), len(rejected))
        self._metrics.rejects(self._rejects.share)
        if too_many and rejected:
            latest = rejected[-1]
            raise Fatal(
                f"{self._rejects.share:.0%} of the last records of {records.topic} were rejected, the latest "
                f"at partition {records.partitions[latest.index]} offset {records.offsets[latest.index]}: "
                f"{latest.reason.value}, {latest.detail}: the topic does not hold what the use case says; "
                "mend its producer or the definition, or raise rejects.share_max"
            )
        size = self._publisher.message_bytes_max
        return [dead_letter(records, one, serving.definition.name, size) for one in rejected]

    def _count(self, serving: Serving, predictions: PredictionBatch) -> None:
        if self._scorer.errors:
            self._metrics.model_raised(len(self._scorer.errors))
        self._metrics.scored(
            [stamp.version for stamp in predictions.models],
            [*(case.decision for case in serving.definition.decisions), "none"],
            predictions.sources,
            predictions.decisions.index,
            predictions.causes,
        )
        unit = 1.0 if serving.definition.time.is_sequence else 1000.0
        self._metrics.freshness.observe(predictions.freshness / unit)

    # ------------------------------------------------------------------------------------------- internals

    def _hold_back(self) -> None:
        """While too much lacks acknowledgement fetch nothing, and keep polling: the group must not think
        us dead, and whoever wants to stop us must get a word in.
        """
        in_flight_max = self._policy.in_flight_max
        if self._publisher.in_flight >= in_flight_max:
            self._publisher.flush(BACKPRESSURE_WAIT_MS)
        full = self._publisher.in_flight >= in_flight_max
        if full:
            self._policy.waiting()
        if full and not self._holding_back:
            self._attached.pause()
        elif self._holding_back and not full:
            self._attached.resume()
        self._holding_back = full

    def _current(self) -> Serving:
        if self._next_serving is not None:
            with self._swap:
                self._serving, self._next_serving = self._next_serving, None
            if self._serving.namespace != self._ownership.namespace:
                self._count_label_partitions()
                self._read_again(self._ownership.moves_to(self._serving.definition, self._positions()))
            self._metrics.serves(_in_force(self._serving))
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
        return {partition: lag.position for partition, lag in self._attached.lag().items()}

    def _count_label_partitions(self) -> None:
        if self._serving is not None and self._serving.reads_labels:
            self._label_partitions = self._attached.partitions_of(self._policy.labels_topic)

    def _commit(self) -> None:
        self._committed_ms = self._now_ms()
        self._publisher.commit(self._attached)

    @property
    def _attached(self) -> Source:
        assert self._source is not None, "attach a source first"
        return self._source


def _in_force(serving: Serving) -> list[tuple[str, str, str, str]]:
    """(version, digest, variant, role) of each model that may answer."""
    roles = (("champion", serving.answerers.champion), ("previous", serving.answerers.previous))
    return [(b.version, b.digest, CHAMPION_VARIANT, role) for role, b in roles if b is not None]
