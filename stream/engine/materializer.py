"""Append the entries of a topic's records to their rows, and write how far that got.

Appending is repeatable (rows are sets), so the order is: append, write progress, commit. A crash
between any two repeats work and loses none. While a batch is being appended the next one is polled and
decoded. After any failure of the store, and with every heartbeat, the materializer asks what the store
holds and goes on from there: from an older progress, from a while before the store was started anew, or
from the log's start where its state is gone.
"""

from collections.abc import Callable, Collection, Mapping
from collections.abc import Set as AbstractSet

from features.keys import Namespace
from features.progress import NEVER, HistoryClaim
from features.store import OnlineStore, StoreRejected, StoreUnavailable
from stream.engine.appends import Appends, Pending
from stream.engine.compactor import Compactor
from stream.engine.entries import Batch, reaches
from stream.engine.partitions import Partitions, Setback
from stream.engine.stored import Stored, StoredState
from stream.engine.surroundings import MaterializePolicy, Surroundings
from stream.engine.watermark import Foldable, foldable, newest_of
from stream.errors import Fatal
from stream.metrics import MaterializeMetrics
from stream.records import RecordBatch
from stream.transport.endpoints import Source

STORE_PATIENCE_MS = 60_000
STORE_RETRY_S = 0.2
COMMIT_EVERY_MS = 200
"""While batches are full."""


class Materializer:
    """The listener of one source: attach it, then call `step` in a loop."""

    def __init__(
        self,
        namespace: Namespace,
        store: OnlineStore,
        to_batch: Callable[[RecordBatch], Batch],
        compactor: Compactor,
        metrics: MaterializeMetrics,
        policy: MaterializePolicy,
        surroundings: Surroundings,
    ) -> None:
        """store: a connection of this materializer's own, and its compactor's.

        A store may come back with an older state. That shows in the first call that fails, and this
        materializer must be the one to see it.
        """
        self._to_batch = to_batch
        self._compactor = compactor
        self._metrics = metrics
        self._policy = policy
        self._around = surroundings
        self._state = StoredState(
            namespace, store, surroundings.now_ms, surroundings.new_epoch, policy.ttl_ms
        )
        self._appends = Appends(store, policy.ttl_ms)
        self._source: Source | None = None
        self._partitions = Partitions("", policy)
        self._to_commit: dict[int, int] = {}
        self._committed_ms = 0
        self._refused = 0
        """Commits of the source that were refused, as far as they are counted."""
        self._doubtful = False
        """The store failed, or was seen with another state: it is asked before anything is appended."""
        self._foldable: Foldable | None = None
        """None while nothing may be folded."""
        self._newest = NEVER
        """The topic's newest event time at the latest heartbeat."""
        self._gaps: AbstractSet[int] = frozenset()
        """Partitions of which was said that a loaded history does not reach to their log."""
        self._beaten_ms = 0
        self._passed = 0

    def attach(self, source: Source) -> None:
        """The source whose listener this is."""
        self._source = source
        self._partitions = Partitions(source.topic, self._policy)

    @property
    def assigned_partitions(self) -> AbstractSet[int]:
        return self._partitions.held.keys()

    @property
    def waiting_for_store(self) -> bool:
        return self._doubtful

    @property
    def awaits_history(self) -> bool:
        """Whether rows stay incomplete until files are loaded into them."""
        return self._partitions.await_history

    def step(self, events_max: int, wait_ms: int) -> int:
        """Poll once and append what came; returns how many records were passed.

        A full batch is left on its way, so that the next step polls and decodes meanwhile. While the
        store fails nothing is fetched, and polling goes on: the group must not think us dead.
        """
        before = self._passed
        records = self._attached.poll(events_max, 0 if self._appends.under_way else wait_ms)
        if len(records):
            batch = self._to_batch(records)
            self._appends.add(Pending(batch, reaches(records, batch), len(records)))
        try:
            if self._doubtful:
                self._compare()
                self._doubtful = False
                self._attached.resume()
            beat = self._around.now_ms() - self._beaten_ms >= self._policy.heartbeat_ms
            full = 0 < events_max <= len(records)
            self._append(leave_last=full and not beat)
            if not full or abs(self._around.now_ms() - self._committed_ms) >= COMMIT_EVERY_MS:
                self._commit()
            if beat and self._partitions.held:
                self._beat()
        except StoreUnavailable:
            self._failed()
            self._attached.pause()
            self._around.sleep_s(STORE_RETRY_S)
        except StoreRejected as error:
            raise _refused(error) from None
        return self._passed - before

    # ------------------------------------------------------------------------------------------ partitions

    def assigned(self, committed: Mapping[int, int]) -> Mapping[int, int]:
        """Go on from min(committed, progress); without progress in this store, from the log's start."""
        self._settle()
        self._patiently(lambda: self._take_over(committed))
        return {partition: self._partitions.held[partition].position for partition in committed}

    def revoked(self, partitions: AbstractSet[int]) -> None:
        self._settle()
        self._commit()
        self.lost(partitions)

    def lost(self, partitions: AbstractSet[int]) -> None:
        self._partitions.leave(partitions)
        self._appends.leave(partitions)

    def _take_over(self, committed: Mapping[int, int]) -> None:
        """Read what the store says and write what follows. Repeated as a whole: it may come back older."""
        topic = self._attached.topic
        stored = self._state.inherited(topic, self._state.read(topic, committed.keys()))
        if any(held.progress.epoch != stored.epoch for held in self._partitions.held.values()):
            self._doubtful = True  # those in hand are begun anew before anything is appended
        # The log is asked after the store: somebody else may be appending what comes meanwhile.
        log_range = self._attached.log_range
        self._take(self._partitions.take(stored, committed, log_range, self._around.now_ms()))

    # ------------------------------------------------------------------------------------------- the store

    def _append(self, leave_last: bool) -> None:
        """Append what waits. leave_last: the last of it may be left on its way."""
        while len(self._appends):
            self._appends.begin()
            if leave_last and len(self._appends) == 1:
                return
            self._finish()
            self._compact()

    def _compact(self) -> None:
        """Fold some rows, unless what they held was lost: they must not be folded when it comes again."""
        known = self._foldable
        if known is not None and self._compactor.has_due and self._state.is_still(known.epoch):
            self._compactor.step(known.watermark)

    def _finish(self) -> None:
        """Wait until the oldest batch is in the store, and write that down."""
        pending, lengths = self._appends.finish()
        self._partitions.passed(pending.reached, self._attached.lag(), self._around.now_ms())
        self._write(pending.reached.keys())
        self._appends.done()
        self._to_commit |= {partition: reach.offset for partition, reach in pending.reached.items()}
        self._passed += pending.records
        self._metrics.entries_appended(len(pending.batch.chunks))
        self._compactor.appended(lengths)

    def _settle(self) -> None:
        """Bring what is on its way to an end, before the store is asked anything else."""
        if not self._appends.under_way:
            return
        try:
            self._finish()
        except StoreUnavailable:
            self._failed()
        except StoreRejected as error:
            raise _refused(error) from None

    def _commit(self) -> None:
        self._committed_ms = self._around.now_ms()
        refused = self._attached.commits_refused
        self._metrics.commits_failed(refused - self._refused)
        self._refused = refused
        forwards = self._partitions.forwards(self._to_commit)
        self._to_commit = {}
        if not forwards:
            return
        self._attached.commit(forwards)
        self._partitions.committed(forwards)

    def _compare(self) -> Stored:
        """Go on from what the store says."""
        held, topic = self._partitions.held, self._attached.topic
        asked = range(max([self._attached.partition_count - 1, *held]) + 1)
        stored = self._state.read(topic, asked)
        if self._state.lost(topic, stored):
            self._state.renew(stored.epoch)
            stored = self._state.read(topic, asked)
        before = self._partitions.positions
        setback = self._partitions.compare(stored, self._attached.log_range, self._around.now_ms())
        if self._partitions.positions != before:
            self._appends.drop()
            self._attached.rewind(self._partitions.positions)
        self._take(setback)
        return stored

    def _take(self, setback: Setback) -> None:
        """Say that rows lack what they held, first of all in the store."""
        self._write(setback.taken)
        if not setback.rebuilt and not setback.rewound:
            return
        self._foldable = None
        self._metrics.set_back(len(setback.rebuilt), len(setback.rewound))
        topic = self._attached.topic
        if setback.rebuilt:
            self._compactor.forget()
            what = "the online store has no rows of theirs: they are filled anew, and predictions say so"
            self._around.notice("rebuilding", topic=topic, partitions=sorted(setback.rebuilt), what=what)
        if setback.rewound:
            what = "the online store was started anew: what it may have lost of its last writes is repeated"
            self._around.notice("store_restarted", topic=topic, partitions=sorted(setback.rewound), what=what)

    def _beat(self) -> None:
        """Say that we are alive, of partitions too that nothing comes from, and ask what the store holds."""
        self._beaten_ms = now = self._around.now_ms()
        stored = self._compare()
        self._partitions.beat(self._attached.lag(), stored.history, now, self._newest)
        self._write(self._partitions.held.keys())
        held = {partition: one.progress for partition, one in self._partitions.held.items()}
        progress = list({**stored.progress, **held}.values())
        self._newest = newest_of(progress)
        self._foldable = foldable(stored, progress, self._policy)
        if stored.history is not None:
            self._look_for_gaps(stored.history)

    def _look_for_gaps(self, history: HistoryClaim) -> None:
        """Between a loaded history and the log lies what neither holds: rows are not complete before it."""
        gaps, topic = self._partitions.gaps(history), self._attached.topic
        self._metrics.history(topic, gaps)
        lacking = {partition for partition, gap in gaps.items() if gap}
        if lacking - self._gaps:
            what = "the log begins after the loaded history ends: load what lies between"
            where = sorted(lacking)
            self._around.notice("history_gap", topic=topic, partitions=where, until=history.until, what=what)
        self._gaps = lacking

    def _write(self, partitions: Collection[int]) -> None:
        held, topic = self._partitions.held, self._attached.topic
        self._state.write(topic, {partition: held[partition].progress for partition in partitions})
        self._metrics.progress(topic, self._partitions.shown, self._around.now_ms())

    def _patiently(self, ask: Callable[[], None]) -> None:
        """Ask the store until it answers: partitions cannot be taken over without knowing their progress."""
        deadline = self._around.now_ms() + STORE_PATIENCE_MS
        while True:
            try:
                ask()
                return
            except StoreUnavailable as error:
                self._failed()
                if self._around.now_ms() > deadline:
                    raise Fatal(
                        f"the online store does not answer: {error}; check redis.url and the server"
                    ) from None
                self._around.sleep_s(STORE_RETRY_S)
            except StoreRejected as error:
                raise _refused(error) from None

    def _failed(self) -> None:
        self._metrics.store_failed()
        self._doubtful = True  # it may come back with an older state

    @property
    def _attached(self) -> Source:
        assert self._source is not None, "attach a source first"
        return self._source


def _refused(error: StoreRejected) -> Fatal:
    return Fatal(f"the online store refuses what a materialize worker does: {error}; mend redis.* or its ACL")
