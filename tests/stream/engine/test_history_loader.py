"""History goes into the rows beside live events, and what it covers is claimed once all of it is there."""

import pytest

from features.progress import ALWAYS, NEVER, HistoryClaim, Progress
from features.store import StoreUnavailable
from stream.engine.completeness import NOTHING_YET, lacks
from stream.engine.history_loader import HistoryLoader, Loading
from stream.engine.lease import Lease
from stream.engine.stored import StoredState
from stream.errors import Fatal
from tests.stream.engine.bench import HEARTBEAT_MS, REWIND_MS, Bench
from tests.stream.engine.contents import EVENTS
from tests.stream.engine.pasts import FIRST, LAST, PAST, loader, past_id, through
from tests.stream.engine.workers import START_MS


def past_entries(made: Bench) -> int:
    """How many entries of the past are in the rows of persons."""
    rows = made.rows().items()
    return sum(entry[0] <= LAST for (entity, _), row in rows if entity == "person" for entry in row)


# ------------------------------------------------------------------------------------------------- loading


def test_all_of_it_is_in_the_rows_before_it_is_claimed(one: Bench) -> None:
    loading, store = loader(one)
    name = one.namespace.history()
    steps = 0
    while (how := loading.step()) is Loading.GOING_ON:
        steps += 1
        assert store.read([name]) == [None]
    assert (how, steps, loading.done) == (Loading.SETTLING, 12, 40)
    one.clock.ms += REWIND_MS - 1
    assert loading.step() is Loading.SETTLING
    assert store.read([name]) == [None]
    one.clock.ms += 1
    assert loading.step() is Loading.DONE
    assert past_entries(one) == 40
    assert loading.claim == HistoryClaim(epoch="by-a", since=FIRST, until=LAST)
    assert one.state().history == loading.claim
    assert not one.state().loading


def test_a_store_that_fails_in_between_is_gone_on_with(one: Bench) -> None:
    loading, store = loader(one)
    failures = 0
    for step in range(100):
        if step % 2:
            one.store.refusals = step % 4
        store.cut_append = step % 5 == 0
        try:
            if loading.step() is Loading.DONE:
                break
            one.clock.ms += 1_000
        except StoreUnavailable:
            failures += 1
    assert failures > 10
    assert past_entries(one) == 40


@pytest.mark.parametrize("lost_ms", [None, REWIND_MS])
@pytest.mark.parametrize("steps", [5, 15])
def test_what_a_store_lost_meanwhile_is_loaded_again(one: Bench, lost_ms: int | None, steps: int) -> None:
    loading, _ = loader(one)
    for _ in range(steps):
        loading.step()
    for node in range(3):
        one.store.fail_over(node, lost_ms, breaks=False)
    through(one, loading)
    assert past_entries(one) == 40
    assert one.state().history is not None


def test_one_loads_at_a_time_and_another_takes_over_when_it_dies(one: Bench) -> None:
    first, _ = loader(one, "a")
    second, _ = loader(one, "b")
    for _ in range(3):
        first.step()
        assert second.step() is Loading.ELSEWHERE
    one.clock.ms += 60_000
    through(one, second)
    assert past_entries(one) == 40


def test_files_without_an_event_are_no_history(one: Bench) -> None:
    store = one.store.connect()
    state = StoredState(one.namespace, store, one.clock, lambda: "e", None)
    lease = Lease(store, one.namespace.loading(), "a", 60_000, one.clock)
    with pytest.raises(Fatal, match="hold no event"):
        HistoryLoader(state, store, lease, lambda: iter(()), None, 0, one.clock).step()


# ------------------------------------------------------------------------------------- what rows hold then


def test_history_and_a_log_that_overlaps_it_make_rows_complete_from_where_history_begins(one: Bench) -> None:
    for _, offset, time, person, door, weight in PAST[30:]:
        one.produce_visit((0, offset - 30, time, person, door, weight), past_id(offset))
    for n in range(3):
        one.produce_visit((0, 10 + n, START_MS, "ann", "front", 1.0), f"new-{n}")
    worker = one.materializer(complete_since=None)
    worker.take(2)
    assert one.progress_of().complete_since == PAST[31][2]
    through(one, loader(one)[0])
    one.clock.ms += HEARTBEAT_MS
    worker.settle()
    assert one.progress_of().complete_since == FIRST
    assert worker.value("riverrun_history_gap", topic=EVENTS, partition="0", state="") == 0
    rows = [row for (entity, _), row in one.rows().items() if entity == "person"]
    assert sum(len({entry[1] for entry in row}) for row in rows) == 40 + 3


def test_a_gap_between_history_and_the_log_is_told_and_nothing_is_claimed(one: Bench) -> None:
    one.produce_some(3)
    worker = one.materializer(complete_since=None)
    worker.settle()
    through(one, loader(one)[0])
    one.clock.ms += HEARTBEAT_MS
    worker.settle()
    assert one.progress_of().complete_since == START_MS + 2
    gap = START_MS + 2 - LAST
    assert worker.value("riverrun_history_gap", topic=EVENTS, partition="0", state="") == gap
    assert worker.notices == ["history_gap"]
    one.clock.ms += HEARTBEAT_MS
    worker.settle()
    assert worker.notices == ["history_gap"], "it is said once"


def test_a_log_that_has_brought_nothing_yet_has_no_gap() -> None:
    known = Progress(
        epoch="e", offset=0, log_end=0, event_time=NEVER, complete_since=NOTHING_YET, written_at=0
    )
    assert lacks(known, HistoryClaim(epoch="e", since=1, until=2)) == 0


# ------------------------------------------------------------------------------- a store that came up empty


def test_a_store_that_came_up_empty_counts_as_rebuilding_until_history_is_there_and_live_goes_on(
    one: Bench,
) -> None:
    one.produce_some(3)
    worker = one.materializer(complete_since=None, has_history=True)
    worker.settle()
    assert worker.awaits()
    assert (one.materialized(), one.progress_of().rebuilding) == (3, True)
    loading, _ = loader(one)
    for _ in range(5):
        loading.step()
        one.produce_some(1)
        worker.settle()
        assert one.progress_of().rebuilding
    assert one.materialized() == 8
    through(one, loading)
    one.clock.ms += HEARTBEAT_MS
    worker.settle()
    assert not worker.awaits()
    assert not one.progress_of().rebuilding
    one.broker.expel(worker.source)
    again = one.materializer(complete_since=None, has_history=True)
    again.settle()
    assert not again.awaits()


def test_who_takes_over_meanwhile_awaits_history_too(one: Bench) -> None:
    first = one.materializer(has_history=True)
    first.settle()
    one.broker.expel(first.source)
    second = one.materializer(has_history=True)
    second.settle()
    assert second.awaits()
    assert one.progress_of().rebuilding


def test_rows_that_are_there_already_await_nothing(one: Bench) -> None:
    first = one.materializer(complete_since=123)
    first.settle()
    one.broker.expel(first.source)
    second = one.materializer(complete_since=123, has_history=True)
    second.settle()
    assert not second.awaits()
    assert not one.progress_of().rebuilding


def test_a_store_that_is_lost_again_is_filled_from_history_again(one: Bench) -> None:
    worker = one.materializer(complete_since=ALWAYS, has_history=True)
    worker.settle()
    through(one, loader(one)[0])
    one.clock.ms += HEARTBEAT_MS
    worker.settle()
    one.store.restart(0)
    one.clock.ms += HEARTBEAT_MS
    worker.worker.step(0, 0)
    worker.settle()
    assert worker.awaits()
    through(one, loader(one)[0])
    one.clock.ms += HEARTBEAT_MS
    worker.settle()
    assert past_entries(one) == 40
    assert not one.progress_of().rebuilding
    assert one.progress_of().complete_since in (ALWAYS, NOTHING_YET, FIRST)
