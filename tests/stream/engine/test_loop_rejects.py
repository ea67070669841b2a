"""Garbage stops the score worker, however often it starts again; a bad record in a quiet topic does not."""

import pytest

from stream.engine.batch import BatchPolicy
from stream.engine.rejects import CLEARLY
from stream.errors import Fatal
from tests.stream.engine.bench import Bench
from tests.stream.engine.contents import EVENTS
from tests.stream.engine.workers import Scoring

AS_THE_WORKER = BatchPolicy(100, 2_000)
GARBAGE = b"\x00\x00no event"


def rubbish(bench: Bench, count: int) -> None:
    for _ in range(count):
        bench.broker.append(EVENTS, b"k", GARBAGE, [], 0)


def trickle(bench: Bench, worker: Scoring) -> None:
    for _ in range(100):
        rubbish(bench, 1)
        worker.loop.step()


def run_until_it_stops(bench: Bench) -> str:
    """A worker as a supervisor starts it; why it ended."""
    worker = bench.scorer(batch=AS_THE_WORKER)
    with pytest.raises(Fatal) as stopped:
        worker.settle()
    worker.source.close()
    return str(stopped.value)


def test_a_topic_of_garbage_stops_a_worker_at_its_start_and_nothing_of_it_is_drained(one: Bench) -> None:
    rubbish(one, 20_000)
    for _ in range(10):
        assert "100% of the last records of visits.events were rejected" in run_until_it_stops(one)
    assert one.dead_letters() == []
    assert one.committed() == {0: 0}


def test_ten_restarts_drain_no_more_than_the_first_run_did(one: Bench) -> None:
    one.produce_some(15_000)
    rubbish(one, 20_000)
    run_until_it_stops(one)
    drained = len(one.dead_letters())
    assert len(one.predicted()) == 15_000
    assert drained < 0.1 * 10_000 / 0.9, "the limit's share of its window"
    for _ in range(10):
        run_until_it_stops(one)
    assert len(one.dead_letters()) == drained


def test_garbage_that_trickles_in_passes_only_as_far_as_it_may_be_chance(one: Bench) -> None:
    for _ in range(10):
        worker = one.scorer(batch=AS_THE_WORKER)
        with pytest.raises(Fatal):
            trickle(one, worker)
        worker.source.close()
    assert len(one.dead_letters()) <= 10 * CLEARLY / 0.9


def test_what_is_half_garbage_stops_a_worker_at_its_start_too(one: Bench) -> None:
    for _ in range(1_000):
        one.produce_some(1)
        rubbish(one, 1)
    for _ in range(10):
        run_until_it_stops(one)
    assert one.dead_letters() == []


def test_single_bad_records_of_a_quiet_topic_stop_nothing_though_the_worker_is_new(one: Bench) -> None:
    for starts in range(1, 4):
        worker = one.scorer(batch=AS_THE_WORKER)
        rubbish(one, 1)
        worker.settle()
        one.produce_some(3)
        rubbish(one, 1)
        worker.settle()
        worker.source.close()
        assert len(one.dead_letters()) == 2 * starts
    assert len(one.predicted()) == 9
