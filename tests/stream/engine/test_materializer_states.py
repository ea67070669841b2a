"""Materializers over anything that may happen: rows never miss what progress says they hold.

But for the time until a store that was started anew, or lost its state, is found to be another one.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from features.progress import Progress
from features.store import StoreUnavailable
from tests.stream.engine.bench import REWIND_MS, Bench
from tests.stream.engine.contents import Rows
from tests.stream.engine.pasts import loader, past_rows, through
from tests.stream.engine.stores import NODES
from tests.stream.engine.workers import START_MS, Materializing

PARTITIONS = 2
WORKERS_MAX = 3

partitions = st.integers(0, PARTITIONS - 1)
nodes = st.integers(0, NODES - 1)
places = st.integers(0, WORKERS_MAX - 1)


class Materializers(RuleBasedStateMachine):
    """Up to three workers of a group, a store that fails and comes back older, crashes and zombies."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(partitions=PARTITIONS)
        self.workers: list[Materializing] = []
        self.has_history = False
        self.loading, _ = loader(self.bench)

    @initialize(has_history=st.booleans())
    def start(self, has_history: bool) -> None:
        self.has_history = has_history
        self.join()

    @rule(partition=partitions, count=st.integers(1, 4))
    def produce(self, partition: int, count: int) -> None:
        for _ in range(count):
            offset = self.bench.log_end(partition)
            visit = (START_MS + offset, f"p{partition}-{offset % 3}", "front", float(offset))
            self.bench.produce(visit, partition=partition)

    @rule(place=places, size=st.integers(1, 5))
    def step(self, place: int, size: int) -> None:
        self.chosen(place).worker.step(size, 0)

    @precondition(lambda self: len(self.workers) < WORKERS_MAX)
    @rule()
    def join(self) -> None:
        self.workers.append(self.bench.materializer(has_history=self.has_history))

    @precondition(lambda self: len(self.workers) > 1)
    @rule(place=places)
    def crash(self, place: int) -> None:
        worker = self.chosen(place)
        self.workers.remove(worker)
        self.expel(worker)

    @rule(place=places)
    def be_taken_for_dead(self, place: int) -> None:
        """It goes on, and learns of it with its next poll."""
        self.expel(self.chosen(place))

    @rule(calls=st.integers(1, 6))
    def store_is_away(self, calls: int) -> None:
        self.bench.store.refusals = calls

    @rule(place=places, where=st.sampled_from(["cut_append", "fail_advance"]))
    def connection_breaks(self, place: int, where: str) -> None:
        setattr(self.chosen(place).store, where, True)

    @rule(share=st.floats(0, 1), calls=st.integers(1, 9))
    def store_comes_back_older(self, share: float, calls: int) -> None:
        """After so many calls, which may be in the middle of anything."""
        store = self.bench.store
        self.after(calls, lambda: store.restart(int(share * store.writes)))

    @rule(node=nodes, lost_ms=st.integers(0, REWIND_MS), breaks=st.booleans(), calls=st.integers(1, 9))
    def node_fails_over(self, node: int, lost_ms: int, breaks: bool, calls: int) -> None:
        """Its last writes are lost, whatever other nodes hold."""
        self.after(calls, lambda: self.bench.store.fail_over(node, lost_ms, breaks))

    @rule(node=nodes, breaks=st.booleans(), calls=st.integers(1, 9))
    def node_comes_back_empty(self, node: int, breaks: bool, calls: int) -> None:
        self.after(calls, lambda: self.bench.store.fail_over(node, None, breaks))

    @precondition(lambda self: any(worker.awaits() for worker in self.workers))
    @rule(steps=st.integers(1, 9))
    def load_history(self, steps: int) -> None:
        """As the worker does that awaits it, until a step fails."""
        with suppress(StoreUnavailable):
            for _ in range(steps):
                self.loading.step()

    @rule(ms=st.sampled_from([1_000, 6_000]))
    def time_passes(self, ms: int) -> None:
        self.bench.clock.ms += ms

    @invariant()
    def rows_hold_all_that_progress_speaks_of(self) -> None:
        reached, whole = [0] * PARTITIONS, False
        for partition in range(PARTITIONS):
            progress = self.bench.progress(partition)
            if progress and not progress.rebuilding and self.is_of_this_life(progress):
                reached[partition] = progress.offset
                whole = True
        rows = self.bench.rows()
        for key, entries in self.wanted(whole, reached).items():
            assert entries <= rows.get(key, set())

    def teardown(self) -> None:
        if not self.workers:
            return
        self.bench.store.before_try.clear()
        for _ in range(4):  # what is still to fail does so in the first two
            self.bench.clock.ms += 6_000  # so that with its heartbeat an idle worker too asks the store
            for worker in self.workers:
                worker.settle()
            if any(worker.awaits() for worker in self.workers):
                with suppress(StoreUnavailable):
                    through(self.bench, self.loading)
        assert self.bench.rows() == self.wanted(whole=True)
        for partition in range(PARTITIONS):
            progress = self.bench.progress(partition)
            assert progress is not None
            assert progress.offset == self.bench.log_end(partition)
            assert not progress.rebuilding

    def chosen(self, place: int) -> Materializing:
        return self.workers[place % len(self.workers)]

    def wanted(self, whole: bool, until: Sequence[int] | None = None) -> Rows:
        """What rows hold of the log, and where they are whole of the past."""
        rows = self.bench.wanted_rows(until)
        if self.has_history and whole:
            for name, entries in past_rows(self.bench).items():
                rows[name] = rows.get(name, set()) | entries
        return rows

    def after(self, calls: int, change: Callable[[], None]) -> None:
        store = self.bench.store
        store.before_try[store.tries + calls] = change

    def is_of_this_life(self, progress: Progress) -> bool:
        """What the worker who wrote it found when it last asked."""
        return progress.life == f"life {self.bench.store.life}"

    def expel(self, worker: Materializing) -> None:
        if worker.source in self.bench.broker.group(worker.source.topic, worker.source.group).members:
            self.bench.broker.expel(worker.source)


TestMaterializers = Materializers.TestCase
TestMaterializers.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
