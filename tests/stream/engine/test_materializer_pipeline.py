"""One batch is appended while the next is decoded; what interrupts that finds it finished, or repeats it."""

import pytest

from tests.stream.engine.bench import Bench

GROUP = "visits.materialize"


def test_the_next_batch_is_decoded_while_one_is_appended_and_nothing_waits_longer_than_that(
    one: Bench,
) -> None:
    one.produce_some(7)
    worker = one.materializer()
    worker.worker.step(0, 0)
    assert [worker.worker.step(3, 0) for _ in range(3)] == [0, 3, 4]
    assert one.committed(GROUP) == {0: 7}
    one.produce_some(1)
    assert worker.worker.step(3, 0) == 1, "a batch that is not full has no other behind it"


def test_a_heartbeat_waits_for_what_is_on_its_way(one: Bench) -> None:
    one.produce_some(9)
    worker = one.materializer()
    worker.worker.step(0, 0)
    worker.worker.step(3, 0)
    one.clock.ms += 5_000
    assert worker.worker.step(3, 0) == 6
    progress = one.progress()
    assert progress is not None
    assert (progress.offset, progress.written_at) == (6, one.clock.ms)


@pytest.mark.parametrize("fails", [False, True])
def test_what_is_on_its_way_when_a_partition_goes_is_finished_first(two: Bench, fails: bool) -> None:
    two.produce_some(4)
    two.produce_some(4, 1)
    first = two.materializer()
    first.worker.step(0, 0)
    first.worker.step(8, 0)
    if fails:
        two.store.refusals = 1
    second = two.materializer()
    first.worker.step(0, 0)
    assert first.worker.assigned_partitions == {0}
    assert [two.materialized(p) for p in (0, 1)] == ([4, 0] if fails else [4, 4])
    second.settle()
    first.settle()
    assert two.rows() == two.wanted_rows()
    assert two.committed(GROUP) == {0: 4, 1: 4}


def test_what_is_on_its_way_when_the_source_is_closed_is_finished_and_committed(one: Bench) -> None:
    one.produce_some(4)
    worker = one.materializer()
    worker.worker.step(0, 0)
    worker.worker.step(4, 0)
    worker.source.close()
    assert one.materialized() == 4
    assert one.committed(GROUP) == {0: 4}


def test_a_refused_commit_is_made_up_for_with_the_next_one(one: Bench) -> None:
    one.produce_some(4)
    worker = one.materializer()
    worker.worker.step(0, 0)
    one.broker.rebalancing = True
    worker.take(4)
    assert (one.materialized(), one.committed(GROUP)) == (4, {0: 0})
    one.broker.rebalancing = False
    worker.worker.step(1, 0)
    assert one.committed(GROUP) == {0: 4}
