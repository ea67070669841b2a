"""How far rows may be folded: as far as every partition of the topic allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from features.progress import ALWAYS, NEVER, Progress
from stream.engine.watermark import newest_of, watermark

GRACE = 100
BUSY = Progress(
    epoch="e",
    offset=5,
    log_end=9,
    event_time=7_000,
    complete_since=ALWAYS,
    written_at=1_000_000,
    life="first",
)


def folded(*partitions: Progress | None, life: str = "first") -> int | None:
    return watermark(partitions, life, GRACE)


def test_the_partition_that_is_furthest_behind_holds_it_back_less_the_grace_period() -> None:
    behind = structs.replace(BUSY, event_time=500)
    assert folded(BUSY) == 7_000 - GRACE
    assert folded(BUSY, behind, BUSY) == 500 - GRACE


def test_an_idle_partition_holds_it_back_for_twice_the_grace_since_it_was_seen_at_its_logs_end() -> None:
    idle = structs.replace(BUSY, event_time=500, not_before=6_990)
    assert folded(BUSY, idle) == 6_990 - 2 * GRACE
    assert folded(BUSY, structs.replace(idle, event_time=6_950)) == 6_950 - GRACE


def test_a_partition_that_nobody_looks_at_holds_it_where_it_was_last_seen() -> None:
    """However much time passes, and however old the events are by the clock."""
    orphan = structs.replace(BUSY, event_time=500, not_before=600, offset=9, written_at=0)
    assert folded(structs.replace(BUSY, event_time=10**12), orphan) == 500 - GRACE


def test_a_partition_that_never_had_an_event_is_passed_over_once_it_was_seen_empty() -> None:
    empty = structs.replace(BUSY, offset=0, log_end=0, event_time=NEVER)
    assert folded(BUSY, empty) is None
    assert folded(BUSY, structs.replace(empty, not_before=7_000)) == 7_000 - 2 * GRACE
    assert folded(empty) is None
    assert folded() is None


@pytest.mark.parametrize(
    "unknown",
    [None, structs.replace(BUSY, event_time=NEVER), structs.replace(BUSY, life="before the restart")],
)
def test_nothing_is_folded_while_a_partition_may_still_bring_anything(unknown: Progress | None) -> None:
    assert folded(BUSY, unknown) is None


def test_progress_that_names_no_life_is_taken_as_it_is() -> None:
    assert folded(structs.replace(BUSY, life="")) == 7_000 - GRACE


def test_the_newest_of_a_topic_is_that_of_any_partition() -> None:
    assert newest_of([None, BUSY, structs.replace(BUSY, event_time=500)]) == 7_000
    assert newest_of([None]) == NEVER


@given(st.lists(st.tuples(st.sampled_from([NEVER, 0, 500, 7_000]), st.sampled_from([NEVER, 450, 7_050]))))
def test_it_never_passes_what_a_partition_has_reached_or_was_seen_to_wait_for(
    times: list[tuple[int, int]],
) -> None:
    found = folded(*(structs.replace(BUSY, event_time=time, not_before=seen) for time, seen in times))
    if found is not None:
        assert all(found <= max(time - GRACE, seen - 2 * GRACE) for time, seen in times)
