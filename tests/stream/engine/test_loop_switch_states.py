"""A group that moves from rows to rows and back, whatever happens meanwhile."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stream.engine.batch import BatchPolicy
from tests.stream.engine.bench import Bench
from tests.stream.engine.switching import LONG, PARTITIONS, SHORT, assert_exact, beside, together
from tests.stream.engine.workers import START_MS, Scoring

doors, weights = st.sampled_from(["front", None]), st.sampled_from([0.5, 1.5])
visits = st.tuples(st.integers(0, 60), st.sampled_from("ab"), doors, weights)
places = st.integers(0, PARTITIONS - 1)


class Switching(RuleBasedStateMachine):
    """A group that moves from rows to rows and back, while workers come and go and the store fails."""

    def __init__(self) -> None:
        super().__init__()
        self.short = Bench(SHORT, PARTITIONS)
        self.both = (self.short, beside(self.short, LONG))
        self.fillers = [made.materializer(group=made.definition.fingerprints.state) for made in self.both]
        for filler in self.fillers:
            filler.worker.step(0, 0)
        self.serving = self.short.serving()
        self.workers: list[Scoring] = []
        self.furthest: dict[int, int] = {}
        self.join(3)

    @rule(partition=places, several=st.lists(visits, min_size=1, max_size=5))
    def produce(self, partition: int, several: list[tuple[int, str, str | None, float]]) -> None:
        for time, person, door, weight in several:
            keys = (f"{person}{partition}", door and f"{door}{partition}")
            self.short.produce((START_MS + time, *keys, weight), partition=partition)

    @rule(which=st.integers(0, 1), count=st.integers(1, 6))
    def materialize(self, which: int, count: int) -> None:
        self.fillers[which].worker.step(count, 0)

    @rule(place=places)
    def score(self, place: int) -> None:
        self.workers[place % len(self.workers)].loop.step()

    @rule(which=st.integers(0, 1))
    def switch(self, which: int) -> None:
        self.serving = self.both[which].serving()
        for worker in self.workers:
            worker.loop.serve(self.serving)

    @precondition(lambda self: len(self.workers) < PARTITIONS)
    @rule(size=st.integers(1, 9))
    def join(self, size: int) -> None:
        self.workers.append(self.short.scorer(batch=BatchPolicy(1, size), serving=self.serving))

    @precondition(lambda self: len(self.workers) > 1)
    @rule(place=places)
    def leave(self, place: int) -> None:
        leaver = self.workers.pop(place % len(self.workers))
        leaver.loop.drain(0)
        leaver.source.close()

    @rule(count=st.integers(1, 2))
    def the_store_fails(self, count: int) -> None:
        self.short.store.refusals = count

    @invariant()
    def commits_never_move_back(self) -> None:
        committed = self.short.committed()
        assert all(committed.get(p, 0) >= offset for p, offset in self.furthest.items())
        self.furthest = committed

    def teardown(self) -> None:
        self.short.store.refusals = 0
        self.short.clock.ms += 1_000  # should a breaker rest
        together(self.workers)
        assert self.short.predicted() == self.short.events()
        for made in self.both:
            assert_exact(made)
            made.close()


TestSwitching = Switching.TestCase
TestSwitching.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
