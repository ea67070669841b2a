"""Append the entries of a topic's records to their rows, and write how far that got.

Appending is repeatable (rows are sets), so the order is: append, write progress, commit. A crash
between any two repeats work and loses none. Progress goes through the same ordered log as the rows
(append-only file, replication), so a store that came back with an older state holds every row that
its progress speaks of: after any failure the materializer goes on from there.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from msgspec import structs

from features.keys import Namespace
from features.progress import NEVER, Progress, decode_progress, encode_progress
from features.store import OnlineStore, StoreUnavailable
from stream.errors import Fatal, Retryable
from stream.metrics import MaterializeMetrics
from stream.records import RecordBatch
from stream.transport.endpoints import Source

NOTHING_YET = 2**53
"""`complete_since` before the first event of a partition whose past is unknown."""
STORE_PATIENCE_MS = 60_000
STORE_RETRY_S = 0.2

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Batch:
    """What a batch of records adds to the store."""

    chunks: Sequence[tuple[bytes, bytes]]
    """(row key, entry) pairs."""
    newest: Mapping[int, int]
    """Largest event time by partition; without those that brought no event."""
    oldest: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class MaterializePolicy:
    """How rows are kept."""

    ttl_ms: int | None
    """How long a row outlives its last entry."""
    complete_since: int | None
    """Rows hold all events from this event time on; None where that is not known."""
    heartbeat_ms: int
    """How often progress is written while nothing comes."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Clock and chance."""

    now_ms: Callable[[], int]
    sleep_s: Callable[[float], None]
    new_epoch: Callable[[], str]


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
        self._namespace = namespace
        self._store = store
        self._to_batch = to_batch
        self._metrics = metrics
        self._policy = policy
        self._around = surroundings
        self._source: Source | None = None
        self._epoch = ""
        self._progress: dict[int, Progress] = {}
        self._rebuild_until: dict[int, int] = {}
        self._pending: tuple[RecordBatch, Batch] | None = None
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
        """Poll once and append what came; returns how many records were passed."""
        records = self._attached.poll(events_max, wait_ms)
        if len(records):
            self._pending = (records, self._to_batch(records))
        try:
            if self._store_failed:
                self._resume()
            if self._pending is None:
                self._beat_if_due()
                return 0
            passed = self._persist(*self._pending)
        except StoreUnavailable:
            self._metrics.store_failed()
            self._wait_for_store()
            return 0
        self._pending = None
        return passed

    # ------------------------------------------------------------------------------------------ partitions

    def assigned(self, committed: Mapping[int, int]) -> Mapping[int, int]:
        """Go on from min(committed, progress); without progress in this store, from the log's start."""
        self._epoch, stored = self._patiently(lambda: self._read(list(committed)))
        starts: dict[int, int] = {}
        for partition, offset in committed.items():
            first, end = self._attached.log_range(partition)
            self._progress[partition] = progress = self._starting(stored[partition], offset, first, end)
            self._rebuild_until[partition] = offset
            starts[partition] = progress.offset
        self._patiently(lambda: self._write(starts))
        return starts

    def revoked(self, partitions: AbstractSet[int]) -> None:
        self.lost(partitions)

    def lost(self, partitions: AbstractSet[int]) -> None:
        for partition in partitions:
            self._progress.pop(partition, None)
            self._rebuild_until.pop(partition, None)

    def _starting(self, known: Progress | None, committed: int, first: int, end: int) -> Progress:
        now = self._around.now_ms()
        if known is not None:
            offset = max(min(known.offset, committed), first)
            return structs.replace(known, offset=offset, log_end=max(end, offset), written_at=now)
        since = self._policy.complete_since
        return Progress(
            epoch=self._epoch,
            offset=first,
            log_end=end,
            event_time=NEVER,
            complete_since=NOTHING_YET if since is None else since,
            written_at=now,
            rebuilding=first < committed,
        )

    # ------------------------------------------------------------------------------------------- the store

    def _persist(self, records: RecordBatch, batch: Batch) -> int:
        self._store.append(batch.chunks, self._policy.ttl_ms)
        reached = next_offsets(records)
        ours = {partition: offset for partition, offset in reached.items() if partition in self._progress}
        for partition, offset in ours.items():
            self._progress[partition] = self._advanced(partition, offset, batch)
        self._write(ours)
        self._metrics.entries_appended(len(batch.chunks))
        # While the rows are filled anew the group's offset says until where: it must not be moved back.
        beyond = {p: offset for p, offset in ours.items() if offset > self._rebuild_until[p]}
        try:
            if beyond:
                self._attached.commit(beyond)
        except Retryable:
            self._metrics.commit_failed()
        return len(records)

    def _advanced(self, partition: int, offset: int, batch: Batch) -> Progress:
        known = self._progress[partition]
        since = known.complete_since
        lag = self._attached.lag().get(partition)
        return structs.replace(
            known,
            offset=offset,
            log_end=max(offset, lag.end if lag else offset),
            event_time=max(known.event_time, batch.newest.get(partition, NEVER)),
            complete_since=batch.oldest.get(partition, NOTHING_YET) if since == NOTHING_YET else since,
            written_at=self._around.now_ms(),
            rebuilding=known.rebuilding and offset < self._rebuild_until[partition],
        )

    def _wait_for_store(self) -> None:
        """Stop fetching, keep polling: the group must not think us dead."""
        if not self._store_failed:
            self._store_failed = True
            self._attached.pause()
        self._around.sleep_s(STORE_RETRY_S)

    def _resume(self) -> None:
        """Go on from what the store says, which may be older than what we wrote to it."""
        _, stored = self._read(list(self._progress))
        older = {
            partition: known.offset
            for partition, known in stored.items()
            if known is not None and known.offset < self._progress[partition].offset
        }
        if None in stored.values():
            raise Fatal(
                "the online store came back without the state it had: start this worker again and it "
                "fills the rows anew from the topic"
            )
        if older:
            self._pending = None
            self._progress |= {partition: known for partition, known in stored.items() if known is not None}
            self._attached.rewind(
                {partition: self._progress[partition].offset for partition in self._progress}
            )
        self._store_failed = False
        self._attached.resume()

    def _beat_if_due(self) -> None:
        """Say that we are alive, and notice a store that lost its state unseen."""
        now = self._around.now_ms()
        if now - self._beaten_ms < self._policy.heartbeat_ms or not self._progress:
            return
        self._beaten_ms = now
        epoch, _ = self._read([])
        if epoch != self._epoch:
            raise Fatal(
                "the online store lost its state under this worker: start it again and it fills the rows "
                "anew from the topic"
            )
        lags = self._attached.lag()
        for partition, known in self._progress.items():
            end = max(known.offset, lags[partition].end if partition in lags else known.log_end)
            self._progress[partition] = structs.replace(known, written_at=now, log_end=end)
        self._write(self._progress)

    def _read(self, partitions: Sequence[int]) -> tuple[str, dict[int, Progress | None]]:
        """The store's epoch, set now if it has none, and what it knows of these partitions."""
        epoch = self._store.put_if_absent(self._namespace.epoch(), self._around.new_epoch().encode()).decode()
        topic = self._attached.topic
        values = (
            self._store.read([self._namespace.progress(topic, p) for p in partitions]) if partitions else []
        )
        return epoch, {p: decode_progress(value, epoch) for p, value in zip(partitions, values, strict=True)}

    def _write(self, partitions: Mapping[int, object]) -> None:
        topic = self._attached.topic
        for partition in partitions:
            data = encode_progress(self._progress[partition])
            self._store.advance(self._namespace.progress(topic, partition), data)
        self._metrics.progress(topic, self._progress)

    def _patiently(self, ask: Callable[[], _Answer]) -> _Answer:
        """Ask the store until it answers: partitions cannot be taken over without knowing their progress."""
        deadline = self._around.now_ms() + STORE_PATIENCE_MS
        while True:
            try:
                return ask()
            except StoreUnavailable as error:
                self._metrics.store_failed()
                if self._around.now_ms() > deadline:
                    raise Fatal(
                        f"the online store does not answer: {error}; check redis.url and the server"
                    ) from None
                self._around.sleep_s(STORE_RETRY_S)

    @property
    def _attached(self) -> Source:
        assert self._source is not None, "attach a source first"
        return self._source


def next_offsets(records: RecordBatch) -> dict[int, int]:
    """The offset after the last record of each partition in a batch."""
    partitions = records.partitions
    return {p: int(records.offsets[partitions == p].max()) + 1 for p in np.unique(partitions).tolist()}
