"""Append the entries of a topic's records to their rows, and write how far that got.

Appending is repeatable (rows are sets), so the order is: append, write progress, commit. A crash
between any two repeats work and loses none. Progress goes through the same ordered log as the rows
(append-only file, replication), so a store that came back with an older state holds every row that
its progress speaks of: after any failure the materializer goes on from there.
"""

from collections.abc import Callable, Collection, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from features.keys import Namespace
from features.progress import Progress, decode_progress, encode_progress
from features.store import OnlineStore, StoreRejected, StoreUnavailable
from stream.engine.completeness import from_the_start, going_on, idle, passed
from stream.engine.entries import Batch
from stream.errors import Fatal, Retryable
from stream.metrics import MaterializeMetrics
from stream.records import RecordBatch
from stream.transport.endpoints import Source

STORE_PATIENCE_MS = 60_000
STORE_RETRY_S = 0.2


@dataclass(frozen=True, slots=True)
class MaterializePolicy:
    """How rows are kept."""

    ttl_ms: int | None
    """How long a row outlives its last entry."""
    complete_since: int | None
    """Rows hold all events from this event time on; None where that is not known."""
    heartbeat_ms: int
    """How often progress is written while nothing comes."""
    by_the_clock: bool
    """Whether event times are times, and not steps of a sequence."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Clock and chance."""

    now_ms: Callable[[], int]
    sleep_s: Callable[[float], None]
    new_epoch: Callable[[], str]


@dataclass(slots=True)
class _Pending:
    """Records that were polled and whose entries may not all be in the store."""

    batch: Batch
    reached: dict[int, int]
    """By partition, the offset after its last record; partitions that left meanwhile are taken out."""
    records: int


class Materializer:
    """The listener of one source: attach it, then call `step` in a loop."""

    def __init__(
        self,
        namespace: Namespace,
        store: OnlineStore,
        to_batch: Callable[[RecordBatch], Batch],
        metrics: MaterializeMetrics,
        policy: MaterializePolicy,
        surroundings: Surroundings,
    ) -> None:
        """store: a connection of this materializer's own.

        A store may come back with an older state. That shows in the first call that fails, and this
        materializer must be the one to see it.
        """
        self._namespace = namespace
        self._store = store
        self._to_batch = to_batch
        self._metrics = metrics
        self._policy = policy
        self._around = surroundings
        self._source: Source | None = None
        self._progress: dict[int, Progress] = {}
        self._committed: dict[int, int] = {}
        """By partition in hand: where the group stands; a lost state is whole again from there on."""
        self._pending: _Pending | None = None
        self._store_failed = False
        self._beaten_ms = 0

    def attach(self, source: Source) -> None:
        """The source whose listener this is."""
        self._source = source

    @property
    def assigned_partitions(self) -> AbstractSet[int]:
        return self._progress.keys()

    @property
    def waiting_for_store(self) -> bool:
        return self._store_failed

    def step(self, events_max: int, wait_ms: int) -> int:
        """Poll once and append what came; returns how many records were passed.

        While the store fails it fetches nothing and keeps polling: the group must not think us dead.
        """
        records = self._attached.poll(events_max, wait_ms)
        if len(records):
            self._pending = _Pending(self._to_batch(records), next_offsets(records), len(records))
        passed = 0
        try:
            if self._store_failed:
                self._compare()
                self._store_failed = False
                self._attached.resume()
            if self._pending is not None:
                self._persist(self._pending)
                passed, self._pending = self._pending.records, None
            self._beat_if_due()
        except StoreUnavailable:
            self._metrics.store_failed()
            self._store_failed = True
            self._attached.pause()
            self._around.sleep_s(STORE_RETRY_S)
        except StoreRejected as error:
            raise _refused(error) from None
        return passed

    # ------------------------------------------------------------------------------------------ partitions

    def assigned(self, committed: Mapping[int, int]) -> Mapping[int, int]:
        """Go on from min(committed, progress); without progress in this store, from the log's start."""
        logs = {partition: self._attached.log_range(partition) for partition in committed}
        self._patiently(lambda: self._take_over(committed, logs))
        self._committed |= committed
        return {partition: self._progress[partition].offset for partition in committed}

    def revoked(self, partitions: AbstractSet[int]) -> None:
        self.lost(partitions)

    def lost(self, partitions: AbstractSet[int]) -> None:
        for partition in partitions:
            self._progress.pop(partition, None)
            self._committed.pop(partition, None)
            if self._pending is not None:
                self._pending.reached.pop(partition, None)

    def _take_over(self, committed: Mapping[int, int], logs: Mapping[int, tuple[int, int]]) -> None:
        """Read what the store says and write what follows. Repeated as a whole: it may come back older."""
        epoch, stored = self._read(committed)
        if any(known.epoch != epoch for p, known in self._progress.items() if p not in committed):
            raise _lost_state()
        for partition, offset in committed.items():
            known = stored[partition]
            self._progress[partition] = self._starting(known, epoch, offset, logs[partition])
        self._write(committed)

    def _starting(self, known: Progress | None, epoch: str, committed: int, log: tuple[int, int]) -> Progress:
        now = self._around.now_ms()
        if known is None:
            return from_the_start(epoch, committed, log, self._policy.complete_since, now)
        if known.offset > log[1]:
            raise Fatal(
                f"{self._attached.topic}: the log ends at {log[1]}, and the online store has materialized up "
                f"to {known.offset}: the topic was made anew; give it another name, or clear the store"
            )
        return going_on(known, committed, log, now)

    # ------------------------------------------------------------------------------------------- the store

    def _persist(self, pending: _Pending) -> None:
        self._store.append(pending.batch.chunks, self._policy.ttl_ms)
        lags, now = self._attached.lag(), self._around.now_ms()
        for partition, offset in pending.reached.items():
            end = lags[partition].end if partition in lags else offset
            newest = pending.batch.newest.get(partition)
            rebuilt_from = self._committed[partition]
            self._progress[partition] = passed(
                self._progress[partition], offset, end, newest, rebuilt_from, now
            )
        self._write(pending.reached)
        self._metrics.entries_appended(len(pending.batch.chunks))
        # Never backwards: what is read again was committed before, and says how far a rebuild must come.
        forwards = {p: offset for p, offset in pending.reached.items() if offset > self._committed[p]}
        try:
            if forwards:
                self._attached.commit(forwards)
                self._committed |= forwards
        except Retryable:
            self._metrics.commit_failed()

    def _compare(self) -> None:
        """Go on from what the store says, which may be older than what we wrote to it."""
        _, stored = self._read(self._progress)
        known = {partition: progress for partition, progress in stored.items() if progress is not None}
        if len(known) < len(stored):
            raise _lost_state()
        if any(progress.offset < self._progress[p].offset for p, progress in known.items()):
            self._pending = None
            self._progress |= known
            self._attached.rewind({partition: progress.offset for partition, progress in known.items()})

    def _beat_if_due(self) -> None:
        """Say that we are alive, of partitions too that nothing comes from."""
        now = self._around.now_ms()
        if now - self._beaten_ms < self._policy.heartbeat_ms or not self._progress:
            return
        self._beaten_ms = now
        self._compare()
        lags = self._attached.lag()
        for partition, known in self._progress.items():
            end = lags[partition].end if partition in lags else known.log_end
            self._progress[partition] = idle(known, end, now, self._policy.by_the_clock)
        self._write(self._progress)

    def _read(self, partitions: Collection[int]) -> tuple[str, dict[int, Progress | None]]:
        """The store's epoch, set now if it has none, and what it knows of these partitions."""
        epoch = self._store.put_if_absent(self._namespace.epoch(), self._around.new_epoch().encode()).decode()
        topic = self._attached.topic
        values = self._store.read([self._namespace.progress(topic, partition) for partition in partitions])
        return epoch, {p: decode_progress(value, epoch) for p, value in zip(partitions, values, strict=True)}

    def _write(self, partitions: Collection[int]) -> None:
        topic = self._attached.topic
        for partition in partitions:
            data = encode_progress(self._progress[partition])
            self._store.advance(self._namespace.progress(topic, partition), data)
        self._metrics.progress(topic, self._progress)

    def _patiently(self, ask: Callable[[], None]) -> None:
        """Ask the store until it answers: partitions cannot be taken over without knowing their progress."""
        deadline = self._around.now_ms() + STORE_PATIENCE_MS
        while True:
            try:
                ask()
                return
            except StoreUnavailable as error:
                self._metrics.store_failed()
                self._store_failed = True  # it may come back older: partitions already in hand are compared
                if self._around.now_ms() > deadline:
                    raise Fatal(
                        f"the online store does not answer: {error}; check redis.url and the server"
                    ) from None
                self._around.sleep_s(STORE_RETRY_S)
            except StoreRejected as error:
                raise _refused(error) from None

    @property
    def _attached(self) -> Source:
        assert self._source is not None, "attach a source first"
        return self._source


def _refused(error: StoreRejected) -> Fatal:
    return Fatal(f"the online store refuses what a materialize worker does: {error}; mend redis.* or its ACL")


def _lost_state() -> Fatal:
    return Fatal(
        "the online store lost its state under this worker: start it again and it fills the rows anew from "
        "the topic"
    )


def next_offsets(records: RecordBatch) -> dict[int, int]:
    """The offset after the last record of each partition in a batch."""
    partitions = records.partitions
    return {p: int(records.offsets[partitions == p].max()) + 1 for p in np.unique(partitions).tolist()}
