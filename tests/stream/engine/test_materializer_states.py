"""Materializers over anything that may happen: rows never miss what progress says they hold."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.stream.engine.bench import Bench
from tests.stream.engine.workers import START_MS, Materializing

PARTITIONS = 2
WORKERS_MAX = 3

partitions = st.integers(0, PARTITIONS - 1)
places = st.integers(0, WORKERS_MAX - 1)


class Materializers(RuleBasedStateMachine):
    """Up to three workers of a group, a store that fails and comes back older, crashes and zombies."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(partitions=PARTITIONS)
        self.workers: list[Materializing] = []
        self.established = 0

    @initialize()
    def start(self) -> None:
        self.join()
        self.workers[0].worker.step(1, 0)
        # From here on the store knows its epoch and every partition; before, it may lose no write.
        self.established = self.bench.store.writes

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
        self.workers.append(self.bench.materializer())

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

        def restart() -> None:
            store.restart(self.established + int(share * (store.writes - self.established)))

        store.before_try[store.tries + calls] = restart

    @rule(ms=st.sampled_from([1_000, 6_000]))
    def time_passes(self, ms: int) -> None:
        self.bench.clock.ms += ms

    @invariant()
    def rows_hold_all_that_progress_speaks_of(self) -> None:
        reached = [0] * PARTITIONS
        for partition in range(PARTITIONS):
            progress = self.bench.progress(partition)
            reached[partition] = progress.offset if progress else 0
        rows = self.bench.rows()
        for key, entries in self.bench.wanted_rows(reached).items():
            assert entries <= rows.get(key, set())

    def teardown(self) -> None:
        if not self.workers:
            return
        self.bench.store.before_try.clear()
        for _ in range(3):
            self.bench.clock.ms += 6_000  # so that with its heartbeat an idle worker too asks the store
            for worker in self.workers:
                worker.settle()
        assert self.bench.rows() == self.bench.wanted_rows()
        for partition in range(PARTITIONS):
            progress = self.bench.progress(partition)
            assert progress is not None
            assert progress.offset == self.bench.log_end(partition)
            assert not progress.rebuilding

    def chosen(self, place: int) -> Materializing:
        return self.workers[place % len(self.workers)]

    def expel(self, worker: Materializing) -> None:
        if worker.source in self.bench.broker.group(worker.source.topic, worker.source.group).members:
            self.bench.broker.expel(worker.source)


TestMaterializers = Materializers.TestCase
TestMaterializers.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
