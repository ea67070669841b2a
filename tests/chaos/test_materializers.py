"""Materializers are killed, replaced, stopped and woken, and read everything twice: rows hold it once."""

import time
from collections.abc import Sequence

import numpy as np
import pytest

from features.arrays import Floats
from features.definition.model import Definition
from features.past.offline import point_in_time_matrix
from tests.chaos.conftest import Chaos
from tests.chaos.rows import InStore
from tests.chaos.usecase import MINUTE_MS, Upstream, busy_visits, questions
from tests.integration.flow import Flow
from tests.integration.processes import Worker, await_that
from tests.integration.records import Record
from tests.integration.stage import HOUR_MS, PARTITIONS, SESSION_MS, Stage, now_ms
from tests.integration.usecase import Visit, history_of

AGAIN = 0.05
EVENTS_MAX = 300_000
TOGETHER = 12_000
"""Events that two groups read at the same time."""
LIFE_S = 1.5
"""Longer than a worker takes to start: some are killed before they read anything, some amid their work."""
FOLDED_SOON = "freshness.heartbeat_ms=500"
REBALANCE_MS = 10_000
ZOMBIES_PER_KILL = 1 / 5
WHOLE_S = 300.0
ASKED_AFTER_MS = (1, 11_000, 4 * MINUTE_MS, 10 * MINUTE_MS)
"""How long after the last event every entity is asked: windows slide, and leave what is folded."""


class Havoc:
    """Two materializers that share their partitions."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self._stage, self._draw = stage, np.random.default_rng(seed)
        self.pair = [self._start("one"), self._start("two")]

    def kill_one(self) -> None:
        """At a random moment of its life; another takes its name and its partitions."""
        # No length of this wait is right or wrong: it only makes the moment random.
        time.sleep(self._draw.uniform(0, LIFE_S))
        at = int(self._draw.integers(len(self.pair)))
        self.pair[at].kill()
        self.pair[at] = self._start("one" if at == 0 else "two")

    def make_a_zombie(self) -> None:
        """Stop one, with whatever it is about to write, until its partitions are another's; then wake it."""
        at = int(self._draw.integers(len(self.pair)))
        zombie, heir = self.pair[at].await_ready(), self.pair[1 - at].await_ready()
        zombie.pause()
        await_that(lambda: partitions_of(heir) == PARTITIONS, "nobody takes over", 10 * SESSION_MS / 1000)
        zombie.resume()

    def await_compaction(self) -> None:
        """Until one that lives has replaced a row by a shorter one."""
        for worker in self.pair:
            worker.await_ready()
        await_that(lambda: any(map(has_compacted, self.pair)), "nothing is compacted")

    def _start(self, name: str) -> Worker:
        # With a name of its own a new process need not wait until the group misses the old one. For a member
        # that dies amid a rebalance the group waits this long all the same.
        properties = (f"group.instance.id={name}", f"max.poll.interval.ms={REBALANCE_MS}")
        sets = (FOLDED_SOON, *(f"kafka.properties.{text}" for text in properties))
        return self._stage.start("materialize", *sets, models=False)


@pytest.fixture
def stores(calm: Stage, wild: Stage) -> tuple[InStore, InStore]:
    return InStore(calm), InStore(wild)


def test_killed_and_stopped_materializers_leave_the_rows_of_an_undisturbed_run(
    calm: Stage, wild: Stage, stores: tuple[InStore, InStore], chaos: Chaos
) -> None:
    visits, doubled = disturbed(wild, stores[1], chaos)
    assert doubled > AGAIN * len(visits) / 2
    undisturbed(calm, stores[0], visits)
    assert_evaluate_alike(*stores, visits)


def test_two_groups_that_write_the_same_rows_count_nothing_twice(
    calm: Stage, wild: Stage, stores: tuple[InStore, InStore], chaos: Chaos
) -> None:
    visits = busy_visits(TOGETHER, now_ms() - 24 * HOUR_MS, chaos.seed)
    upstream = Upstream(lambda kind, some: send(wild, kind, some), AGAIN, chaos.seed)
    groups = ("kafka.materialize_group=one", "kafka.materialize_group=two")
    workers = [wild.start("materialize", FOLDED_SOON, group, models=False) for group in groups]
    for at in range(0, TOGETHER, TOGETHER // 20):
        upstream.send(visits[at : at + TOGETHER // 20])
    upstream.finish()
    finished(wild, stores[1], workers)
    undisturbed(calm, stores[0], visits)
    assert_evaluate_alike(*stores, visits)


def assert_evaluate_alike(calm_rows: InStore, wild_rows: InStore, visits: list[Visit]) -> None:
    """Every entity, asked at several times; and as the file of these visits says."""
    assert wild_rows.entities() == calm_rows.entities() == entities_of(visits)
    for after_ms in ASKED_AFTER_MS:
        asked = questions(visits, after_ms)
        found, expected = wild_rows.evaluate(asked), calm_rows.evaluate(asked)
        definition = calm_rows.definition
        assert_same(definition, found.values, expected.values, asked)
        np.testing.assert_array_equal(found.trimmed, expected.trimmed)
        assert_same(definition, found.values, from_file(definition, visits, asked), asked)


def disturbed(stage: Stage, rows: InStore, chaos: Chaos) -> tuple[list[Visit], int]:
    """Send while workers are killed and stopped; what was sent, and how many records twice."""
    start_ms = now_ms() - 24 * HOUR_MS
    upstream = Upstream(lambda kind, some: send(stage, kind, some), AGAIN, chaos.seed)
    havoc = Havoc(stage, chaos.seed)
    zombies = 0
    with Flow(upstream.send, busy_visits(EVENTS_MAX, start_ms, chaos.seed)) as flow:
        for kill in range(chaos.kills):
            havoc.kill_one()
            if kill * ZOMBIES_PER_KILL >= zombies:
                havoc.make_a_zombie()
                havoc.await_compaction()
                zombies += 1
        havoc.await_compaction()
    upstream.finish()
    finished(stage, rows, havoc.pair)
    return flow.visits, upstream.doubled


def undisturbed(stage: Stage, rows: InStore, visits: list[Visit]) -> None:
    upstream = Upstream(lambda kind, some: send(stage, kind, some), 0.0, 0)
    upstream.send(visits)
    upstream.finish()
    finished(stage, rows, [stage.start("materialize", models=False)])


def finished(stage: Stage, rows: InStore, workers: list[Worker]) -> None:
    """Everything is in the rows, every worker is at the end, and ends as it is told to."""
    await_that(rows.is_whole, "the rows are not whole", WHOLE_S)
    for worker in workers:
        worker.await_ready()
        worker.await_metric(
            lambda m: m.total("materialize_backlog_records") == 0, "is not at the end", WHOLE_S
        )
    for worker in workers:
        worker.ask_to_end()
    assert {worker.name: worker.await_end() for worker in workers} == dict.fromkeys(
        (w.name for w in workers), 0
    )


def send(stage: Stage, kind: str, records: Sequence[Record]) -> list[tuple[int, int]]:
    return stage.sender.send(stage.topics[kind], records)


def has_compacted(worker: Worker) -> bool:
    return worker.metrics().total("compactions_total", outcome="done") > 0


def partitions_of(worker: Worker) -> int:
    """How many of the events topic it has."""
    return sum(1 for labels in worker.metrics().labels("materialized_offset") if "events" in labels["topic"])


def entities_of(visits: list[Visit]) -> dict[str, set[str]]:
    return {
        "person EVENTS": {v.person for v in visits},
        "door EVENTS": {v.door for v in visits if v.door is not None},
        "door LABELS": {v.door for v in visits if v.door is not None and v.bad is not None},
    }


def from_file(definition: Definition, visits: list[Visit], asked: list[Visit]) -> Floats:
    """The features of what is asked, from the file that all of it would make."""
    history = history_of(definition, [*visits, *asked])
    place = {visit: at for at, visit in enumerate(history.events.ids)}
    return point_in_time_matrix(definition, history, np.array([place[v.visit] for v in asked]))


def assert_same(definition: Definition, found: Floats, expected: Floats, asked: list[Visit]) -> None:
    """To the bit, for every entity."""
    same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    wrong = [
        (definition.feature_names[at], asked[row].person, asked[row].door, found[row, at], expected[row, at])
        for row, at in np.argwhere(~same).tolist()
    ]
    assert not wrong, (len(wrong), wrong[:10])
