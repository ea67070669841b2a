"""A store that was started anew, or of which a node was replaced: what it may have lost is appended again."""

import pytest

from stream.errors import Fatal
from tests.stream.engine.bench import HEARTBEAT_MS, REWIND_MS, Bench
from tests.stream.engine.contents import EVENTS
from tests.stream.engine.stores import NODES, node_of
from tests.stream.engine.workers import Materializing


def test_what_a_fail_over_may_have_lost_is_appended_again_and_until_then_it_counts_as_rebuilding(
    one: Bench,
) -> None:
    worker = one.materializer()
    produce_for(one, worker, 40)
    rows = one.rows()
    for node in range(NODES):
        one.store.fail_over(node, lost_ms=REWIND_MS)
    assert one.rows() != rows
    one.clock.ms += HEARTBEAT_MS
    worker.worker.step(0, 0)  # the connection breaks
    worker.worker.step(0, 0)
    assert one.progress_of().rebuilding
    worker.settle()
    assert one.rows() == rows == one.wanted_rows()
    progress = one.progress_of()
    assert (progress.offset, progress.rebuilding, progress.life) == (40, False, f"life {NODES}")
    assert worker.source.lag()[0].position == 40
    assert set(worker.notices) == {"store_restarted"}


def test_a_fail_over_behind_a_proxy_is_noticed_with_the_next_heartbeat(one: Bench) -> None:
    worker = one.materializer()
    produce_for(one, worker, 40)
    for node in range(NODES):
        one.store.fail_over(node, lost_ms=REWIND_MS, breaks=False)
    one.clock.ms += HEARTBEAT_MS
    worker.worker.step(0, 0)
    worker.settle()
    assert one.rows() == one.wanted_rows()


def test_no_more_is_appended_again_than_may_be_lost(one: Bench) -> None:
    worker = one.materializer()
    produce_for(one, worker, 200)
    one.store.fail_over(0, lost_ms=0, breaks=False)
    one.clock.ms += HEARTBEAT_MS
    worker.worker.step(0, 0)
    position = worker.source.lag()[0].position
    slack = (REWIND_MS + 2 * HEARTBEAT_MS) // 1_000
    assert 200 - slack <= position <= 200 - REWIND_MS // 1_000


def test_a_worker_that_takes_over_after_a_fail_over_goes_back_as_far_as_the_one_before_would_have(
    one: Bench,
) -> None:
    first = one.materializer()
    produce_for(one, first, 40)
    one.broker.expel(first.source)
    for node in range(NODES):
        one.store.fail_over(node, lost_ms=REWIND_MS)
    second = one.materializer()
    second.worker.step(0, 0)
    assert one.progress_of().rebuilding
    one.broker.expel(second.source)  # it dies before it is through
    third = one.materializer()
    third.settle()
    assert one.rows() == one.wanted_rows()
    assert not one.progress_of().rebuilding


def test_who_takes_a_partition_over_knows_no_better_what_a_fail_over_may_lose(one: Bench) -> None:
    first = one.materializer()
    produce_for(one, first, 40)
    one.broker.expel(first.source)
    second = one.materializer()
    second.settle()
    told = node_of(one.namespace.progress(EVENTS, 0))
    for node in {*range(NODES)} - {told}:
        one.store.fail_over(node, lost_ms=REWIND_MS, breaks=False)
    assert one.rows() != one.wanted_rows()
    one.clock.ms += HEARTBEAT_MS
    second.worker.step(0, 0)
    second.settle()
    assert one.rows() == one.wanted_rows()


@pytest.mark.parametrize("node", range(NODES))
def test_a_node_that_comes_back_empty_has_all_rows_filled_anew_wherever_the_epoch_is(
    one: Bench, node: int
) -> None:
    worker = one.materializer()
    produce_for(one, worker, 40)
    one.store.fail_over(node, lost_ms=None, breaks=False)
    one.clock.ms += HEARTBEAT_MS
    worker.worker.step(0, 0)
    assert one.progress_of().rebuilding
    worker.settle()
    assert one.rows() == one.wanted_rows()
    assert one.progress_of().epoch != "epoch-1"


def test_keys_that_vanish_as_they_are_written_are_no_state_to_build_on(one: Bench) -> None:
    witness = one.namespace.witnesses()[5]
    worker = one.materializer()

    def evict() -> None:
        one.store.store._values.pop(witness, None)
        one.store.before_try[one.store.tries + 1] = evict

    evict()
    with pytest.raises(Fatal, match="noeviction"):
        worker.worker.step(0, 0)


def produce_for(made: Bench, worker: Materializing, seconds: int) -> None:
    """A visit a second, of nine persons by turns, each materialized at once."""
    for n in range(seconds):
        made.clock.ms += 1_000
        made.produce((made.clock.ms, f"p{n % 9}", "front", 1.0))
        worker.settle()
