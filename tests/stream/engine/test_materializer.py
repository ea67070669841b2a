"""Rows and progress, whatever happens to the worker, the store and the group."""

from collections.abc import Iterator

import msgspec
import pytest

from features.definition import parse_definition
from features.definition.model import RowKind
from features.progress import ALWAYS, NEVER
from stream.engine.completeness import NOTHING_YET
from stream.errors import Fatal
from tests.stream.engine.bench import EVENTS, LABELS, START_MS, Bench, Materializing, bench
from tests.stream.visits import TEXT

LABELLED = parse_definition(
    TEXT.replace(
        "rules:",
        "  - window: {entity: door, spans: [10000ms], delay: 500ms, aggregates: [mean(label)], empty: 0}\n"
        "rules:",
    ),
    "visits.yaml",
)
GROUP = "visits.materialize"


@pytest.fixture
def one() -> Iterator[Bench]:
    with bench() as made:
        yield made


@pytest.fixture
def two() -> Iterator[Bench]:
    """With two partitions."""
    with bench(partitions=2) as made:
        yield made


def visits(bench_: Bench, count: int, partition: int = 0, first: int = 0) -> None:
    for n in range(first, first + count):
        bench_.produce((START_MS + n, f"p{partition}-{n % 3}", "front", float(n)), partition=partition)


def kill(bench_: Bench, worker: Materializing) -> None:
    bench_.broker.expel(worker.source)


def offset_of(bench_: Bench, partition: int = 0) -> int:
    progress = bench_.progress(partition)
    assert progress is not None
    return progress.offset


# ------------------------------------------------------------------------------------------- appending


def test_rows_hold_what_was_produced_and_progress_says_how_far(one: Bench) -> None:
    visits(one, 7)
    one.materializer().settle()
    assert one.rows() == one.wanted_rows()
    progress = one.progress()
    assert progress is not None
    assert (progress.offset, progress.log_end, progress.event_time) == (7, 7, START_MS + 6)
    assert not progress.rebuilding
    assert one.committed(GROUP) == {0: 7}


def test_progress_is_written_after_the_rows_it_speaks_of(one: Bench) -> None:
    visits(one, 4)
    worker = one.materializer()
    worker.worker.step(0, 0)
    worker.store.fail_advance = True
    worker.worker.step(4, 0)
    assert one.rows() == one.wanted_rows()
    assert offset_of(one) == 0
    assert one.committed(GROUP) == {0: 0}
    worker.settle()
    assert offset_of(one) == 4


def test_a_worker_that_died_before_it_committed_repeats_and_counts_nothing_twice(one: Bench) -> None:
    visits(one, 6)
    first = one.materializer()
    first.settle()
    one.broker.group(EVENTS, GROUP).committed[0] = 2
    kill(one, first)
    visits(one, 2, first=6)
    second = one.materializer()
    second.worker.step(3, 0)
    assert offset_of(one) == 6, "progress must not go back while the worker repeats"
    second.settle()
    assert one.rows() == one.wanted_rows()
    assert offset_of(one) == 8


def test_two_workers_that_both_think_they_own_a_partition_give_the_same_rows(one: Bench) -> None:
    visits(one, 10)
    zombie, owner = one.materializer("a"), one.materializer("b")
    for size in (1, 4, 2, 9):
        zombie.worker.step(size, 0)
        owner.worker.step(3, 0)
    zombie.settle()
    owner.settle()
    assert one.rows() == one.wanted_rows()
    assert offset_of(one) == 10


def test_a_rejected_record_is_passed_over_and_progress_goes_on(one: Bench) -> None:
    visits(one, 1)
    one.broker.append(EVENTS, b"p", b"not json", [], 0)
    one.broker.append(EVENTS, b"p", None, [], 0)
    one.materializer().settle()
    assert offset_of(one) == 3
    assert sum(len(row) for row in one.rows().values()) == 2  # a person's and a door's


# -------------------------------------------------------------------------------------- a failing store


def test_while_the_store_fails_nothing_is_fetched_and_the_group_still_sees_the_worker(two: Bench) -> None:
    visits(two, 4)
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
    visits(one, 6)
    worker = one.materializer()
    worker.worker.step(0, 0)
    worker.store.cut_append = True
    worker.worker.step(6, 0)
    assert worker.worker.waiting_for_store
    assert offset_of(one) == 0
    worker.settle()
    assert one.rows() == one.wanted_rows()


def test_a_store_that_comes_back_older_gets_everything_again(two: Bench) -> None:
    visits(two, 5)
    visits(two, 5, partition=1)
    worker = two.materializer()
    worker.worker.step(4, 0)
    saved = two.store.writes
    worker.settle()
    two.store.restart(saved)
    assert offset_of(two) == 4
    visits(two, 1, first=5)
    worker.settle()
    assert two.rows() == two.wanted_rows()
    assert [offset_of(two, p) for p in (0, 1)] == [6, 5]


def test_an_idle_worker_notices_the_older_state_with_its_next_heartbeat(one: Bench) -> None:
    visits(one, 5)
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
    visits(two, 5)
    first, second = two.materializer(), two.materializer()
    first.worker.step(2, 0)
    second.worker.step(2, 0)
    assert first.worker.assigned_partitions == {0}
    saved = two.store.writes
    first.settle()
    two.store.restart(saved)  # first learns of it when it asks for the progress of partition 1
    kill(two, second)
    visits(two, 2, first=5)
    first.settle()
    assert first.worker.assigned_partitions == {0, 1}
    assert two.rows() == two.wanted_rows()
    assert offset_of(two) == 7


@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_store_that_restarts_while_a_partition_is_taken_over_is_asked_again(one: Bench, call: int) -> None:
    visits(one, 6)
    first = one.materializer()
    first.worker.step(2, 0)
    saved = one.store.writes
    first.settle()
    kill(one, first)
    one.store.before_try[one.store.tries + call] = lambda: one.store.restart(saved)
    visits(one, 1, first=6)
    one.materializer().settle()
    assert one.rows() == one.wanted_rows()
    assert offset_of(one) == 7


def test_a_batch_that_waits_for_the_store_says_nothing_of_a_partition_that_left_and_came_back(
    one: Bench,
) -> None:
    visits(one, 9)
    worker = one.materializer()
    worker.worker.step(3, 0)
    saved = one.store.writes
    worker.worker.step(3, 0)
    one.store.restart(saved)
    worker.worker.step(3, 0)  # fails, and keeps records 6 to 8
    assert worker.worker.waiting_for_store
    kill(one, worker)  # the group takes it for dead: it learns so, and gets the partition anew at 3
    worker.worker.step(1, 0)
    assert offset_of(one) == 3
    worker.settle()
    assert one.rows() == one.wanted_rows()


@pytest.mark.parametrize("noticed_by", ["a record", "a heartbeat"])
def test_a_store_that_lost_its_state_stops_the_worker_and_the_next_fills_it_anew(
    one: Bench, noticed_by: str
) -> None:
    visits(one, 5)
    worker = one.materializer()
    worker.settle()
    one.store.restart(0)
    if noticed_by == "a record":
        visits(one, 1, first=5)
    else:
        one.clock.ms += 5_000
    with pytest.raises(Fatal, match=r"lost its state.*start it again and it fills the rows anew"):
        worker.settle()
    kill(one, worker)
    one.materializer().settle()
    assert one.rows() == one.wanted_rows()


def test_partitions_of_two_lives_of_a_store_are_never_held_at_once(two: Bench) -> None:
    visits(two, 3)
    first, second = two.materializer(), two.materializer()
    first.settle()
    second.settle()
    first.settle()
    two.store.restart(0)
    kill(two, second)
    with pytest.raises(Fatal, match="lost its state"):
        first.worker.step(1, 0)


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
    visits(one, 1)
    one.store.rejects = True
    with pytest.raises(Fatal, match=r"refuses.*NOPERM.*mend redis"):
        worker.worker.step(1, 0)


# ------------------------------------------------------------------------------------ where it starts


def test_without_progress_it_starts_at_the_logs_start_and_is_rebuilding_until_where_the_group_stood(
    one: Bench,
) -> None:
    visits(one, 9)
    one.broker.group(EVENTS, GROUP).committed[0] = 6
    worker = one.materializer()
    worker.worker.step(3, 0)
    progress = one.progress()
    assert progress is not None
    assert (progress.offset, progress.rebuilding) == (3, True)
    assert one.committed(GROUP) == {0: 6}, "a commit here would forget how far the rebuild must come"
    kill(one, worker)
    again = one.materializer()
    again.worker.step(2, 0)
    progress = one.progress()
    assert progress is not None
    assert (progress.offset, progress.rebuilding) == (5, True)
    again.worker.step(1, 0)
    progress = one.progress()
    assert progress is not None
    assert (progress.offset, progress.rebuilding) == (6, False)
    again.settle()
    assert one.committed(GROUP) == {0: 9}


def test_a_new_group_on_an_empty_store_has_nothing_to_rebuild(one: Bench) -> None:
    visits(one, 3)
    one.materializer().worker.step(1, 0)
    progress = one.progress()
    assert progress is not None
    assert not progress.rebuilding


def test_it_goes_on_from_the_smaller_of_progress_and_commit(one: Bench) -> None:
    visits(one, 8)
    first = one.materializer()
    first.settle()
    saved = one.store.writes
    kill(one, first)
    one.broker.group(EVENTS, GROUP).committed[0] = 5
    second = one.materializer()
    second.worker.step(0, 0)
    assert second.source.lag()[0].position == 5
    kill(one, second)
    one.broker.group(EVENTS, GROUP).committed[0] = 8
    one.store.restart(saved)
    third = one.materializer()
    third.worker.step(0, 0)
    assert third.source.lag()[0].position == 8


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
    visits(one, 3)
    worker.settle()
    progress = one.progress()
    assert progress is not None
    assert progress.complete_since == START_MS + 1_000


def test_what_retention_deleted_unread_makes_the_rows_complete_only_since_then(one: Bench) -> None:
    visits(one, 4)
    first = one.materializer()
    first.worker.step(2, 0)
    kill(one, first)
    visits(one, 4, first=4)
    one.broker.delete_before(EVENTS, 0, 5)
    one.broker.group(EVENTS, GROUP).committed[0] = 5
    one.materializer().settle()
    progress = one.progress()
    assert progress is not None
    assert progress.offset == 8
    assert progress.complete_since == START_MS + 7


# ------------------------------------------------------------------------------------------ heartbeats


def test_progress_of_a_silent_partition_stays_fresh_while_another_is_busy(two: Bench) -> None:
    visits(two, 1, partition=1)
    worker = two.materializer()
    worker.settle()
    for n in range(20):
        two.clock.ms += 1_000
        visits(two, 1, first=n)
        worker.worker.step(10, 0)
        for partition in (0, 1):
            progress = two.progress(partition)
            assert progress is not None
            assert two.clock.ms - progress.written_at <= 5_000


def test_a_heartbeat_tells_what_the_log_has_beyond_it(one: Bench) -> None:
    worker = one.materializer()
    worker.settle()
    worker.source.pause()
    visits(one, 3)
    one.clock.ms += 5_000
    worker.worker.step(10, 0)
    progress = one.progress()
    assert progress is not None
    assert (progress.offset, progress.log_end, progress.at_end) == (0, 3, False)


# ---------------------------------------------------------------------------------------------- labels


def label(event_id: str, value: int, observed_at: int, door: str | None = "front") -> bytes:
    record: dict[str, object] = {"event_id": event_id, "label": value, "observed_at": observed_at}
    if door is not None:
        record |= {"event_time": START_MS, "entities": {"door": door}}
    return msgspec.json.encode(record)


def test_labels_are_materialized_by_the_same_class() -> None:
    with bench(LABELLED) as made:
        for record in (
            label("0-0", 1, START_MS + 5),
            label("0-1", 0, START_MS + 6),
            label("0-1", 1, START_MS + 9),
            label("0-2", 1, START_MS, door=None),  # the monitor completes it
            b"not json",
        ):
            made.broker.append(LABELS, b"front", record, [], 0)
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


def test_a_restart_of_the_store_is_noticed_by_labels_and_by_events() -> None:
    with bench(LABELLED) as made:
        visits(made, 3)
        labels = [label(f"0-{n}", 1, START_MS + 5) for n in range(3)]
        made.broker.append(LABELS, b"front", labels[0], [], 0)
        halves = [made.materializer(), made.materializer(topic=LABELS)]
        for half in halves:
            half.settle()
        saved = made.store.writes
        for record in labels[1:]:
            made.broker.append(LABELS, b"front", record, [], 0)
        visits(made, 3, first=3)
        for half in halves:
            half.settle()
        made.store.restart(saved)
        visits(made, 1, first=6)
        made.broker.append(LABELS, b"front", label("0-3", 1, START_MS + 5), [], 0)
        for half in halves:
            half.settle()
        assert made.rows() == made.wanted_rows()
        assert len(made.rows(RowKind.LABELS)["door", "front"]) == 4
