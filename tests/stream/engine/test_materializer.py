"""Rows and progress, whatever happens to the worker, the store and the group."""

import pytest

from features.definition.model import RowKind
from features.progress import ALWAYS, NEVER
from stream.engine.completeness import NOTHING_YET
from stream.engine.materializer import COMMIT_EVERY_MS
from tests.stream.engine.bench import LABELLED, LABELS, Bench, bench
from tests.stream.engine.contents import EVENTS
from tests.stream.engine.workers import START_MS

GROUP = "visits.materialize"


# ------------------------------------------------------------------------------------------- appending


def test_rows_hold_what_was_produced_and_progress_says_how_far(one: Bench) -> None:
    one.produce_some(7)
    one.materializer().settle()
    assert one.rows() == one.wanted_rows()
    progress = one.progress()
    assert progress is not None
    assert (progress.offset, progress.log_end, progress.event_time) == (7, 7, START_MS + 6)
    assert not progress.rebuilding
    assert one.committed(GROUP) == {0: 7}


def test_progress_is_written_after_the_rows_it_speaks_of(one: Bench) -> None:
    one.produce_some(4)
    worker = one.materializer()
    worker.worker.step(0, 0)
    worker.store.fail_advance = True
    worker.take(4)
    assert one.rows() == one.wanted_rows()
    assert one.materialized() == 0
    assert one.committed(GROUP) == {0: 0}
    worker.settle()
    assert one.materialized() == 4


def test_a_worker_that_died_before_it_committed_repeats_and_counts_nothing_twice(one: Bench) -> None:
    one.produce_some(6)
    first = one.materializer()
    first.settle()
    one.broker.group(EVENTS, GROUP).committed[0] = 2
    one.broker.expel(first.source)
    one.produce_some(2)
    second = one.materializer()
    second.worker.step(3, 0)
    assert one.materialized() == 6, "progress must not go back while the worker repeats"
    second.settle()
    assert one.rows() == one.wanted_rows()
    assert one.materialized() == 8


def test_two_workers_that_both_think_they_own_a_partition_give_the_same_rows(one: Bench) -> None:
    one.produce_some(10)
    zombie, owner = one.materializer("a"), one.materializer("b")
    for size in (1, 4, 2, 9):
        zombie.worker.step(size, 0)
        owner.worker.step(3, 0)
    zombie.settle()
    owner.settle()
    assert one.rows() == one.wanted_rows()
    assert one.materialized() == 10


def test_while_batches_are_full_it_commits_at_intervals_and_at_once_when_one_is_not(one: Bench) -> None:
    one.produce_some(11)
    worker = one.materializer().worker
    worker.step(0, 0)
    for _ in range(4):
        worker.step(2, 0)
    assert one.materialized() == 6
    assert one.committed(GROUP) == {0: 0}
    one.clock.ms += COMMIT_EVERY_MS
    worker.step(2, 0)
    assert one.committed(GROUP) == {0: 8}
    worker.step(2, 0)
    assert one.committed(GROUP) == {0: 11}


def test_a_rejected_record_is_passed_over_and_progress_goes_on(one: Bench) -> None:
    one.produce_some(1)
    one.broker.append(EVENTS, b"p", b"not json", [], 0)
    one.broker.append(EVENTS, b"p", None, [], 0)
    one.materializer().settle()
    assert one.materialized() == 3
    assert sum(len(row) for row in one.rows().values()) == 2  # a person's and a door's


# ------------------------------------------------------------------------------------ where it starts


def test_without_progress_it_starts_at_the_logs_start_and_is_rebuilding_until_where_the_group_stood(
    one: Bench,
) -> None:
    one.produce_some(9)
    one.broker.group(EVENTS, GROUP).committed[0] = 6
    worker = one.materializer()
    worker.take(3)
    progress = one.progress()
    assert progress is not None
    assert (progress.offset, progress.rebuilding) == (3, True)
    assert one.committed(GROUP) == {0: 6}, "a commit here would forget how far the rebuild must come"
    one.broker.expel(worker.source)
    again = one.materializer()
    again.take(2)
    progress = one.progress()
    assert progress is not None
    assert (progress.offset, progress.rebuilding) == (5, True)
    again.take(1)
    progress = one.progress()
    assert progress is not None
    assert (progress.offset, progress.rebuilding) == (6, False)
    again.settle()
    assert one.committed(GROUP) == {0: 9}


def test_a_new_group_on_an_empty_store_has_nothing_to_rebuild(one: Bench) -> None:
    one.produce_some(3)
    one.materializer().take(1)
    progress = one.progress()
    assert progress is not None
    assert not progress.rebuilding


def test_it_goes_on_from_the_smaller_of_progress_and_commit(one: Bench) -> None:
    one.produce_some(8)
    first = one.materializer()
    first.settle()
    one.broker.expel(first.source)
    one.broker.group(EVENTS, GROUP).committed[0] = 5
    second = one.materializer()
    second.worker.step(0, 0)
    assert second.source.lag()[0].position == 5
    one.broker.expel(second.source)
    one.broker.group(EVENTS, GROUP).committed[0] = 8
    third = one.materializer()
    third.worker.step(0, 0)
    assert third.source.lag()[0].position == 8


def test_what_another_group_appends_while_partitions_are_taken_over_is_no_topic_made_anew(one: Bench) -> None:
    one.produce_some(4)
    other = one.materializer(group="other")
    other.settle()

    def meanwhile() -> None:
        one.produce_some(3)
        other.settle()

    one.store.before_try[one.store.tries + 1] = meanwhile
    one.materializer().settle()
    assert one.rows() == one.wanted_rows()
    assert one.materialized() == 7


@pytest.mark.parametrize(("declared", "wanted"), [(ALWAYS, ALWAYS), (123, 123), (None, START_MS)])
def test_rows_are_complete_since_what_is_declared_or_else_since_the_first_events(
    one: Bench, declared: int | None, wanted: int
) -> None:
    one.produce((START_MS, "ann", "front", 1.0), (START_MS - 50, "bob", "front", 1.0))
    one.produce((START_MS + 10, "ann", "front", 1.0), (START_MS - 90, "bob", "front", 1.0))
    worker = one.materializer(complete_since=declared)
    worker.worker.step(0, 0)
    progress = one.progress()
    assert progress is not None
    assert progress.complete_since == (NOTHING_YET if declared is None else declared)
    assert progress.event_time == NEVER
    worker.worker.step(2, 0)
    worker.settle()
    progress = one.progress()
    assert progress is not None
    assert progress.complete_since == wanted
    assert progress.event_time == START_MS + 10


def test_a_partition_that_never_had_an_event_holds_all_there_is_from_when_it_was_seen_empty(
    one: Bench,
) -> None:
    worker = one.materializer(complete_since=None)
    worker.worker.step(1, 0)
    one.clock.ms += 10_000
    one.produce_some(3)
    worker.settle()
    progress = one.progress()
    assert progress is not None
    assert progress.complete_since == START_MS + 1_000


def test_what_retention_deleted_unread_makes_the_rows_complete_only_since_then(one: Bench) -> None:
    one.produce_some(4)
    first = one.materializer()
    first.worker.step(2, 0)
    one.broker.expel(first.source)
    one.produce_some(4)
    one.broker.delete_before(EVENTS, 0, 5)
    one.broker.group(EVENTS, GROUP).committed[0] = 5
    one.materializer().settle()
    progress = one.progress()
    assert progress is not None
    assert progress.offset == 8
    assert progress.complete_since == START_MS + 7


# ------------------------------------------------------------------------------------------ heartbeats


def test_progress_of_a_silent_partition_stays_fresh_while_another_is_busy(two: Bench) -> None:
    two.produce_some(1, 1)
    worker = two.materializer()
    worker.settle()
    for _ in range(20):
        two.clock.ms += 1_000
        two.produce_some(1)
        worker.worker.step(10, 0)
        for partition in (0, 1):
            progress = two.progress(partition)
            assert progress is not None
            assert two.clock.ms - progress.written_at <= 5_000


def test_a_heartbeat_tells_what_the_log_has_beyond_it(one: Bench) -> None:
    worker = one.materializer()
    worker.settle()
    worker.source.pause()
    one.produce_some(3)
    one.clock.ms += 5_000
    worker.worker.step(10, 0)
    progress = one.progress()
    assert progress is not None
    assert (progress.offset, progress.log_end, progress.at_end) == (0, 3, False)


# ---------------------------------------------------------------------------------------------- labels


def test_labels_are_materialized_by_the_same_class() -> None:
    with bench(LABELLED) as made:
        made.produce_label("0-0", 1, START_MS + 5)
        made.produce_label("0-1", 0, START_MS + 6)
        made.produce_label("0-1", 1, START_MS + 9)
        made.produce_label("0-2", 1, START_MS, door=None)  # the monitor completes it
        made.broker.append(LABELS, b"front", b"not json", [], 0)
        worker = made.materializer(topic=LABELS)
        worker.worker.step(2, 0)
        worker.store.cut_append = True
        worker.settle()
        entries = made.rows(RowKind.LABELS)["door", "front"]
        assert {(time, observed_at, values) for time, _, observed_at, values in entries} == {
            (START_MS, START_MS + 5, (1.0,)),
            (START_MS, START_MS + 6, (0.0,)),
            (START_MS, START_MS + 9, (1.0,)),
        }
        progress = made.progress(topic=LABELS)
        assert progress is not None
        assert progress.offset == 5
