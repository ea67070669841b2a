"""Both delivery modes through whatever befalls workers, group and brokers, in memory.

Exactly once: a `read_committed` reader never sees anything twice, and in the end everything once, in order.
At least once: nothing is lost, and whoever keeps the first of each sees the order. In both, what was served
is what the training set holds: nothing of an aborted transaction is left in the overlay.
"""

from contextlib import suppress
from itertools import groupby
from typing import Any

import msgspec
import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from features.past.history import History
from features.past.offline import point_in_time_matrix
from stream.engine.batch import BatchPolicy
from stream.errors import AbortCause, Aborted, Fenced
from stream.pipeline.decode import Decoder
from stream.transport.memory import MemorySink, MemoryTransactions, StoredRecord
from tests.stream.engine.bench import HOUR_MS, OUTPUTS, PATIENCE_MS, Bench, Origin
from tests.stream.engine.contents import EVENTS, log_batch
from tests.stream.engine.switching import LONG, SHORT, beside
from tests.stream.engine.workers import Scoring, lag

PARTITIONS = 3
BAD = b"no event"
UNHARMED = {"no_model", "key_missing"}
COMMIT_MS = 10
STEPS_MAX = 1_000
IDLE_STEPS = 4
"""By then both know what is whose."""
NAMES = ("a", "b")
Name = st.sampled_from(NAMES)
Work = st.lists(st.tuples(Name, st.sampled_from([0, 1, COMMIT_MS])), min_size=1, max_size=8)
"""Whose turn it is, and how long it takes."""


def origin(record: StoredRecord) -> Origin:
    where = msgspec.json.decode(record.value or b"")["origin"]
    return where["partition"], where["offset"]


class Deliveries(RuleBasedStateMachine):
    """Two workers of one group, by their names, and what may happen to them."""

    exactly_once: bool

    def __init__(self) -> None:
        super().__init__()
        self.short = Bench(SHORT, PARTITIONS)
        self.long = beside(self.short, LONG)
        self.broker = self.short.broker
        self.materializers = [made.materializer(group=made.definition.name) for made in (self.short,)]
        self.materializers += [self.long.materializer(group="longer")]
        for materializer in self.materializers:
            materializer.worker.step(0, 0)
        self.workers: dict[str, Scoring] = {}
        self.bad: set[Origin] = set()

    def sink(self, name: str) -> MemorySink:
        return MemoryTransactions(self.broker, name) if self.exactly_once else MemorySink(self.broker)

    # ------------------------------------------------------------------------------------------ the world

    @initialize(both=st.booleans())
    def begin(self, both: bool) -> None:
        for partition in range(PARTITIONS):
            self.short.produce_some(5, partition)
        for name in NAMES if both else NAMES[:1]:
            self.one_starts(name)

    @rule(counts=st.tuples(*[st.integers(0, 6)] * PARTITIONS))
    def events_come(self, counts: tuple[int, ...]) -> None:
        for partition, count in enumerate(counts):
            self.short.produce_some(count, partition)

    @rule(partition=st.integers(0, PARTITIONS - 1))
    def something_else_comes(self, partition: int) -> None:
        self.bad.add((partition, self.short.log_end(partition)))
        self.broker.append(EVENTS, b"k", BAD, [], partition)

    @rule(records=st.integers(1, 10))
    def materializers_go_on(self, records: int) -> None:
        for materializer in self.materializers:
            materializer.take(records)

    # ------------------------------------------------------------------------------------------ workers

    @rule(work=Work)
    def they_work(self, work: list[tuple[str, int]]) -> None:
        for name, ms in work:
            if name in self.workers:
                self.workers[name].loop.step()
            self.short.clock.ms += ms

    @rule(work=Work, down=st.booleans(), waiting_ms=st.sampled_from([1, PATIENCE_MS]))
    def they_work_while_nothing_is_taken(
        self, work: list[tuple[str, int]], down: bool, waiting_ms: int
    ) -> None:
        """By the brokers, or by the group, which is a step ahead."""
        self.broker.down, self.broker.rebalancing = down, not down
        self.they_work(work)
        self.short.clock.ms += waiting_ms
        self.they_work(work)
        self.broker.down = self.broker.rebalancing = False

    @precondition(lambda self: self.exactly_once)
    @rule(work=Work, cause=st.sampled_from(AbortCause), doomed=st.booleans())
    def they_work_and_a_transaction_fails(
        self, work: list[tuple[str, int]], cause: AbortCause, doomed: bool
    ) -> None:
        """While it is open, or as it is committed."""
        for worker in self.workers.values():
            if doomed:
                worker.loop.step()
            self.fail(worker, cause, doomed=doomed)
        self.they_work(work)

    @rule(name=Name)
    def one_starts(self, name: str) -> None:
        """Where another of this name runs, it is fenced, and leaves when it learns so."""
        before = self.workers.pop(name, None)
        sink = self.sink(name)
        self.workers[name] = self.short.scorer(
            sink, batch=BatchPolicy(1, 7), in_flight_max=3, commit_interval_ms=COMMIT_MS, events_at_once=2
        )
        if before is not None:
            with suppress(Fenced):
                before.source.close()
            before.sink.close()

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def one_is_killed(self, data: st.DataObject) -> None:
        self.expel(self.workers.pop(self.some(data)))

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def one_is_told_to_stop(self, data: st.DataObject) -> None:
        worker = self.workers.pop(self.some(data))
        worker.loop.drain(0)
        worker.source.close()
        worker.sink.close()

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), work=Work)
    def one_is_taken_for_dead_in_the_midst_of_it(
        self, data: st.DataObject, work: list[tuple[str, int]]
    ) -> None:
        worker = self.workers[self.some(data)]
        worker.loop.step()
        self.expel(worker)
        self.they_work(work)

    @precondition(lambda self: self.exactly_once)
    @rule(name=Name, fails=st.booleans())
    def one_comes_while_the_store_is_away_and_others_fail(self, name: str, fails: bool) -> None:
        """What is revoked then is answered in no transaction; what stays is read again in the same poll."""
        for worker in self.workers.values():
            worker.loop.step()
            self.fail(worker, AbortCause.REFUSED, doomed=False)
        self.short.store.refusals = 1
        self.one_starts(name)
        for worker in [*self.workers.values()] * 2:
            if fails:
                self.fail(worker, AbortCause.REFUSED, doomed=False)
            worker.loop.step()

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), longer=st.booleans())
    def one_is_given_another_version(self, data: st.DataObject, longer: bool) -> None:
        self.workers[self.some(data)].loop.serve((self.long if longer else self.short).serving())

    def some(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.workers)))

    def fail(self, worker: Scoring, cause: AbortCause, *, doomed: bool) -> None:
        """The open transaction of a worker, or its next commit."""
        sink = worker.sink
        assert isinstance(sink, MemoryTransactions)
        if doomed:
            sink.doom = Aborted(cause, "told to")
        else:
            sink.refusal = Aborted(cause, "told to")

    def expel(self, worker: Scoring) -> None:
        with suppress(ValueError):  # expelled already
            self.broker.expel(worker.source)

    # -------------------------------------------------------------------------------------- what must hold

    def outputs(self, topic: str) -> list[StoredRecord]:
        return [record for p in range(PARTITIONS) for record in self.broker.records(topic, p)]

    @invariant()
    def nothing_is_seen_twice(self) -> None:
        if self.exactly_once:
            seen = [origin(record) for record in self.outputs(OUTPUTS.predictions)]
            assert len(seen) == len(set(seen))

    def teardown(self) -> None:
        try:
            self.settle()
            self.check()
        finally:
            self.short.close()

    def settle(self) -> None:
        self.broker.down = self.broker.rebalancing = False
        for name in NAMES:
            self.one_starts(name)
        idle = 0
        for _ in range(STEPS_MAX):
            for worker in self.workers.values():
                worker.loop.step()
            self.short.clock.ms += COMMIT_MS
            busy = any(lag(worker.source) or worker.loop.in_flight for worker in self.workers.values())
            idle = 0 if busy else idle + 1
            if idle == IDLE_STEPS:
                return
        raise AssertionError("it does not settle")

    def check(self) -> None:
        records = self.outputs(OUTPUTS.predictions)
        found = [origin(record) for record in records]
        wanted = sorted(set(self.short.events()) - self.bad)
        letters = [
            (
                int(dict(r.headers)["riverrun.partition"] or b""),
                int(dict(r.headers)["riverrun.offset"] or b""),
            )
            for r in self.outputs(OUTPUTS.deadletters)
        ]
        if self.exactly_once:
            assert sorted(found) == wanted
            assert sorted(letters) == sorted(self.bad)
        else:
            assert sorted(set(found)) == wanted
            assert set(letters) == self.bad
        first = dict.fromkeys(zip([r.key for r in records], found, strict=True))
        for _, mine in groupby(sorted(first, key=lambda one: str(one[0])), key=lambda one: one[0]):
            positions = [position for _, position in mine]
            assert positions == sorted(positions)
        self.check_features(records)

    def check_features(self, records: list[StoredRecord]) -> None:
        """Of the person alone: with a door's other partitions this worker may have been ahead of the rows."""
        predictions: list[dict[str, Any]] = [msgspec.json.decode(record.value or b"") for record in records]
        for made in (self.short, self.long):
            names = made.definition.feature_names
            chosen = [at for at, name in enumerate(names) if name.startswith("person")]
            decoded = Decoder(made.definition, future_limit_ms=HOUR_MS).decode(
                log_batch(self.broker, PARTITIONS)
            )
            events = decoded.events
            history = History(events, np.full(len(events), np.nan), events.times)
            matrix = point_in_time_matrix(made.definition, history, np.arange(len(events)))
            places = [p for p in self.short.events() if p not in self.bad]
            for p in predictions:
                if list(p["features"]) == list(names) and set(p["degradations"]) <= UNHARMED:
                    at = places.index((p["origin"]["partition"], p["origin"]["offset"]))
                    served = np.array([p["features"][name] for name in names], np.float64)
                    np.testing.assert_array_equal(served[chosen], matrix[at][chosen])


class ExactlyOnce(Deliveries):
    exactly_once = True


class AtLeastOnce(Deliveries):
    exactly_once = False


SOME = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestExactlyOnce = ExactlyOnce.TestCase
TestExactlyOnce.settings = SOME
TestAtLeastOnce = AtLeastOnce.TestCase
TestAtLeastOnce.settings = SOME
