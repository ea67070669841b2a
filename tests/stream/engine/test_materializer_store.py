"""A materializer whose store fails, comes back older, or comes back with nothing."""

import pytest

from features.definition.model import RowKind
from stream.errors import Fatal
from tests.stream.engine.bench import HEARTBEAT_MS, LABELLED, LABELS, Bench, bench
from tests.stream.engine.workers import START_MS


def test_while_the_store_fails_nothing_is_fetched_and_the_group_still_sees_the_worker(two: Bench) -> None:
    two.produce_some(4)
    first = two.materializer()
    first.worker.step(2, 0)
    two.store.refusals = 10_000
    first.worker.step(1, 0)
    assert first.worker.waiting_for_store
    position = first.source.lag()[0].position
    second = two.materializer(on_sleep=lambda: setattr(two.store, "refusals", 0))
    first.worker.step(10, 0)  # it polls: so the newcomer gets its share
    assert first.source.lag().keys() == {0}
    assert first.source.lag()[0].position == position
    second.worker.step(10, 0)
    assert second.source.lag().keys() == {1}
    first.settle()
    second.settle()
    assert two.rows() == two.wanted_rows()


def test_an_append_that_broke_halfway_is_repeated_as_a_whole(one: Bench) -> None:
    one.produce_some(6)
    worker = one.materializer()
    worker.worker.step(0, 0)
    worker.store.cut_append = True
    worker.worker.step(6, 0)
    assert worker.worker.waiting_for_store
    assert one.materialized() == 0
    worker.settle()
    assert one.rows() == one.wanted_rows()


def test_a_store_that_comes_back_older_gets_everything_again(two: Bench) -> None:
    two.produce_some(5)
    two.produce_some(5, 1)
    worker = two.materializer()
    worker.worker.step(4, 0)
    saved = two.store.writes
    worker.settle()
    two.store.restart(saved)
    assert two.materialized() == 4
    two.produce_some(1)
    worker.settle()
    assert two.rows() == two.wanted_rows()
    assert [two.materialized(p) for p in (0, 1)] == [6, 5]


def test_a_store_that_does_not_say_that_it_was_started_anew_is_known_by_its_older_progress(
    one: Bench,
) -> None:
    one.produce_some(5)
    worker = one.materializer()
    worker.take(2)
    saved, life = one.store.writes, one.store.life
    worker.settle()
    one.store.restart(saved)
    one.store.life = life
    one.clock.ms += 5_000
    worker.worker.step(0, 0)
    worker.settle()
    assert one.rows() == one.wanted_rows()
    assert one.materialized() == 5


def test_an_idle_worker_notices_the_older_state_with_its_next_heartbeat(one: Bench) -> None:
    one.produce_some(5)
    worker = one.materializer()
    worker.worker.step(2, 0)
    saved = one.store.writes
    worker.settle()
    one.store.restart(saved)
    one.clock.ms += 5_000
    worker.worker.step(10, 0)
    worker.settle()
    assert one.rows() == one.wanted_rows()


def test_a_failure_first_seen_in_a_rebalance_is_no_reason_to_trust_the_store(two: Bench) -> None:
    two.produce_some(5)
    first, second = two.materializer(), two.materializer()
    first.worker.step(2, 0)
    second.worker.step(2, 0)
    assert first.worker.assigned_partitions == {0}
    saved = two.store.writes
    first.settle()
    two.store.restart(saved)  # first learns of it when it asks for the progress of partition 1
    two.broker.expel(second.source)
    two.produce_some(2)
    first.settle()
    assert first.worker.assigned_partitions == {0, 1}
    assert two.rows() == two.wanted_rows()
    assert two.materialized() == 7


@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_store_that_restarts_while_a_partition_is_taken_over_is_asked_again(one: Bench, call: int) -> None:
    one.produce_some(6)
    first = one.materializer()
    first.worker.step(2, 0)
    saved = one.store.writes
    first.settle()
    one.broker.expel(first.source)
    one.store.before_try[one.store.tries + call] = lambda: one.store.restart(saved)
    one.produce_some(1)
    one.materializer().settle()
    assert one.rows() == one.wanted_rows()
    assert one.materialized() == 7


def test_a_batch_that_waits_for_the_store_says_nothing_of_a_partition_that_left_and_came_back(
    one: Bench,
) -> None:
    one.produce_some(9)
    worker = one.materializer()
    worker.worker.step(3, 0)
    saved = one.store.writes
    worker.worker.step(3, 0)
    one.store.restart(saved)
    worker.worker.step(3, 0)  # fails, and keeps records 6 to 8
    assert worker.worker.waiting_for_store
    one.broker.expel(worker.source)  # taken for dead, it gets the partition anew, at 3
    worker.worker.step(1, 0)
    assert one.materialized() == 3
    worker.settle()
    assert one.rows() == one.wanted_rows()


@pytest.mark.parametrize("noticed_by", ["a record", "a heartbeat"])
def test_a_store_that_lost_its_state_is_filled_anew_and_says_so_until_then(
    one: Bench, noticed_by: str
) -> None:
    one.produce_some(5)
    worker = one.materializer()
    worker.settle()
    one.store.restart(0)
    if noticed_by == "a record":
        one.produce_some(1)
    else:
        one.clock.ms += HEARTBEAT_MS
    worker.worker.step(1, 0)  # the connection breaks
    worker.worker.step(1, 0)
    progress = one.progress()
    assert progress is not None
    assert (progress.epoch, progress.offset, progress.rebuilding) == ("epoch-2", 0, True)
    worker.take(4)
    assert one.progress_of().rebuilding
    worker.settle()
    assert not one.progress_of().rebuilding
    assert one.rows() == one.wanted_rows()
    assert worker.notices == ["rebuilding"]
    assert worker.value("riverrun_rebuilds_total", cause="lost") == 1


def test_every_worker_begins_anew_in_the_epoch_that_one_of_them_found(two: Bench) -> None:
    two.produce_some(3)
    two.produce_some(3, 1)
    first, second = two.materializer(), two.materializer()
    first.settle()
    second.settle()
    first.settle()
    two.store.restart(0)
    two.broker.expel(second.source)
    first.worker.step(1, 0)  # it gets partition 1 of the new epoch, and has partition 0 of the old one
    first.worker.step(1, 0)
    assert [two.progress_of(p).epoch for p in (0, 1)] == ["epoch-2"] * 2
    first.settle()
    second.settle()
    assert two.rows() == two.wanted_rows()


def test_a_store_that_stays_away_stops_a_worker_that_cannot_know_where_to_start(one: Bench) -> None:
    one.store.refusals = 10**9
    with pytest.raises(Fatal, match=r"does not answer: connection refused; check redis\.url"):
        one.materializer().worker.step(1, 0)
    assert one.clock.ms > START_MS + 60_000


@pytest.mark.parametrize("from_the_start", [True, False])
def test_a_store_that_refuses_for_good_stops_the_worker(one: Bench, from_the_start: bool) -> None:
    worker = one.materializer()
    if not from_the_start:
        worker.worker.step(1, 0)
    one.produce_some(1)
    one.store.rejects = True
    with pytest.raises(Fatal, match=r"refuses.*NOPERM.*mend redis"):
        worker.worker.step(1, 0)


def test_a_restart_of_the_store_is_noticed_by_labels_and_by_events() -> None:
    with bench(LABELLED) as made:
        made.produce_some(3)
        made.produce_label("0-0", 1, START_MS + 5)
        halves = [made.materializer(), made.materializer(topic=LABELS)]
        for half in halves:
            half.settle()
        saved = made.store.writes
        made.produce_label("0-1", 1, START_MS + 5)
        made.produce_label("0-2", 1, START_MS + 5)
        made.produce_some(3)
        for half in halves:
            half.settle()
        made.store.restart(saved)
        made.produce_some(1)
        made.produce_label("0-3", 1, START_MS + 5)
        for half in halves:
            half.settle()
        assert made.rows() == made.wanted_rows()
        assert len(made.rows(RowKind.LABELS)["door", "front"]) == 4
