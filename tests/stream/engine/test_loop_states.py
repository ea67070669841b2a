"""Score workers of a group over anything that may happen to it: no event goes without an answer."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stream.engine.batch import BatchPolicy
from tests.stream.engine.bench import REVOKE_FLUSH_MS, Bench
from tests.stream.engine.sinks import LateSink
from tests.stream.engine.workers import START_MS, Materializing, Scoring

PARTITIONS = 3
WORKERS_MAX = 3
places = st.integers(0, WORKERS_MAX - 1)


class Group(RuleBasedStateMachine):
    """Workers join, leave in order and crash; acknowledgements are late; the materializer takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(partitions=PARTITIONS)
        self.workers: list[Scoring] = []
        self.sinks: list[LateSink] = []
        self.orderly = True
        """Nobody died so far."""
        self.furthest: dict[int, int] = {}

    @initialize()
    def start(self) -> None:
        self.materializer: Materializing = self.bench.materializer()
        self.materializer.worker.step(0, 0)
        self.join(3)

    @rule(partition=st.integers(0, PARTITIONS - 1), count=st.integers(1, 4))
    def produce(self, partition: int, count: int) -> None:
        for _ in range(count):
            offset = self.bench.log_end(partition)
            self.bench.produce((START_MS + offset, f"p{partition}", "front", 1.0), partition=partition)

    @rule(place=places)
    def step(self, place: int) -> None:
        self.workers[place % len(self.workers)].loop.step()

    @rule(rounds=st.integers(1, 3))
    def all_step(self, rounds: int) -> None:
        for _ in range(rounds):
            for worker in self.workers:
                worker.loop.step()
                self.the_group_never_moves_back_nor_past_what_is_answered()

    @rule(size=st.integers(1, 6))
    def materialize(self, size: int) -> None:
        self.materializer.worker.step(size, 0)

    @precondition(lambda self: len(self.workers) < WORKERS_MAX)
    @rule(size=st.integers(1, 5))
    def join(self, size: int) -> None:
        sink = LateSink(self.bench.broker)
        self.workers.append(self.bench.scorer(sink, BatchPolicy(1, size), in_flight_max=3))
        self.sinks.append(sink)

    @rule(place=places)
    def acknowledgements_are_late(self, place: int) -> None:
        self.sinks[place % len(self.sinks)].late_ms = REVOKE_FLUSH_MS

    @rule()
    def hear_everything(self) -> None:
        for sink in self.sinks:
            sink.late_ms = 0

    @precondition(lambda self: len(self.workers) > 1)
    @rule(place=places)
    def leave(self, place: int) -> None:
        worker = self.take(place)
        assert worker.loop.drain(REVOKE_FLUSH_MS)
        worker.source.close()

    @rule(place=places, size=st.integers(1, 5))
    def be_replaced(self, place: int, size: int) -> None:
        worker = self.take(place)
        assert worker.loop.drain(REVOKE_FLUSH_MS)
        worker.source.close()
        self.join(size)

    @precondition(lambda self: len(self.workers) > 1)
    @rule(place=places)
    def crash(self, place: int) -> None:
        self.orderly = False
        worker = self.take(place)
        self.bench.broker.expel(worker.source)

    @invariant()
    def the_group_never_moves_back_nor_past_what_is_answered(self) -> None:
        committed = self.bench.committed()
        assert all(committed.get(p, 0) >= offset for p, offset in self.furthest.items())
        self.furthest = committed
        answered = set(self.bench.predicted())
        for partition, offset in committed.items():
            assert answered >= {(partition, earlier) for earlier in range(offset)}

    def teardown(self) -> None:
        if not self.workers:
            return
        self.hear_everything()
        for _ in range(2):
            for worker in self.workers:
                worker.settle()
        produced = [(p, o) for p in range(PARTITIONS) for o in range(self.bench.log_end(p))]
        answered = self.bench.predicted()
        assert sorted(set(answered)) == produced
        if self.orderly:
            assert answered == produced
        self.bench.close()

    def take(self, place: int) -> Scoring:
        at = place % len(self.workers)
        self.sinks.pop(at)
        return self.workers.pop(at)


TestGroup = Group.TestCase
TestGroup.settings = settings(max_examples=50, stateful_step_count=25, deadline=None)
