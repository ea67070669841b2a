"""What a score worker tells of its loop: live is who makes progress, and lag is told by partition."""

from collections.abc import Iterator

import pytest

from stream.workers.runtime import Vitals
from stream.workers.score import OBSERVE_EVERY_MS, View
from tests.stream.engine.bench import Bench, bench
from tests.stream.engine.workers import Scoring

STALL_MS = 5_000


class Watched:
    """A score worker that has answered everything so far, and what is told of it."""

    def __init__(self, bench_: Bench) -> None:
        self.bench = bench_
        for partition in range(4):
            bench_.produce_some(2, partition)
        self.worker: Scoring = bench_.scorer()
        self.worker.settle()
        self.vitals = Vitals(STALL_MS, bench_.clock)
        self._view = View(
            self.worker.source,
            self.worker.loop,
            self.worker.ownership,
            self.worker.overlay,
            self.worker.reads,
            self.worker.scorer,
            self.worker.metrics,
            self.vitals,
        )

    def go_on(self, for_ms: int) -> None:
        """Step and tell, as the worker does, until so much time has passed."""
        for _ in range(for_ms // OBSERVE_EVERY_MS):
            self.bench.clock.ms += OBSERVE_EVERY_MS
            self._view.after(self.worker.loop.step())

    def lags(self) -> list[float]:
        return [self.worker.value("riverrun_lag_records", partition=str(p)) for p in range(4)]


@pytest.fixture
def watched() -> Iterator[Watched]:
    with bench(partitions=4) as made:
        yield Watched(made)


def test_a_consumer_that_falls_silent_while_there_is_lag_is_not_live(watched: Watched) -> None:
    watched.worker.source.pause()  # polls go on and bring nothing, and nothing is raised
    watched.bench.produce_some(3)
    watched.go_on(STALL_MS)
    assert not watched.vitals.is_stalled()
    watched.go_on(2 * OBSERVE_EVERY_MS)
    assert watched.vitals.live() == ["there is lag and no progress"]


def test_who_lets_one_partition_lie_is_not_live_however_much_others_bring(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(watched.worker.source), "silent_s", {2: STALL_MS / 1000})
    watched.bench.produce_some(3)
    watched.go_on(OBSERVE_EVERY_MS)
    assert not watched.vitals.is_stalled()
    monkeypatch.setattr(type(watched.worker.source), "silent_s", {2: STALL_MS / 1000 + 1})
    watched.go_on(OBSERVE_EVERY_MS)
    assert watched.vitals.is_stalled()


def test_whoever_has_nothing_to_read_or_no_broker_to_read_from_is_live(watched: Watched) -> None:
    watched.go_on(3 * STALL_MS)
    assert watched.vitals.live() == []
    watched.bench.produce_some(3)
    watched.bench.broker.down = True
    watched.go_on(3 * STALL_MS)
    assert watched.vitals.live() == []


def test_partitions_that_lag_can_be_counted_apart_from_those_that_do_not(watched: Watched) -> None:
    watched.worker.source.pause()
    watched.bench.produce_some(9, 2)
    watched.go_on(OBSERVE_EVERY_MS)
    assert watched.lags() == [0, 0, 9, 0]
    told = watched.worker.registry.collect()
    assert sum(len(one.samples) for one in told if one.name == "riverrun_lag_records") == 4
