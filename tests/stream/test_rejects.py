"""The limit on rejected records."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.engine.rejects import CLEARLY, JUDGED_FROM, RejectLimit


def test_a_few_bad_records_at_the_start_do_not_stop_a_worker() -> None:
    limit = RejectLimit(0.1, 10_000)
    assert not any(limit.seen(1, 1) for _ in range(CLEARLY))


def test_many_bad_records_at_the_start_stop_a_worker_at_once() -> None:
    assert RejectLimit(0.1, 10_000).seen(100, 41)
    assert not RejectLimit(0.1, 10_000).seen(100, 40)


def test_good_records_before_make_up_for_bad_ones_as_the_share_says() -> None:
    limit = RejectLimit(0.1, 10_000)
    limit.seen(500, 0)
    assert not limit.seen(80, 80)
    assert limit.seen(20, 20)


def test_below_the_share_no_number_of_records_stops_a_worker() -> None:
    limit = RejectLimit(0.1, 10_000)
    assert not any(limit.seen(20, 2) for _ in range(2_000))


def test_more_than_the_share_stops_and_exactly_the_share_does_not() -> None:
    limit = RejectLimit(0.1, 10_000)
    assert not limit.seen(10_000, 1_000)
    assert limit.seen(10, 3)
    exact = RejectLimit(0.29, JUDGED_FROM)
    assert not any(exact.seen(100, 29) for _ in range(20))


def test_with_a_share_of_one_nothing_is_too_much() -> None:
    limit = RejectLimit(1.0, 10_000)
    assert not any(limit.seen(500, 500) for _ in range(50))


def test_old_records_no_longer_count() -> None:
    limit = RejectLimit(0.1, 2_000)
    limit.seen(1_000, 100)
    for _ in range(10):
        limit.seen(1_000, 0)
    assert limit.share == 0.0


@pytest.mark.parametrize("window", [50, 5_000])
@given(batches=st.lists(st.tuples(st.integers(1, 300), st.floats(0, 1)), min_size=1, max_size=60))
def test_the_share_is_that_of_the_latest_batches_that_fill_the_window(
    window: int, batches: list[tuple[int, float]]
) -> None:
    limit = RejectLimit(0.5, window)
    counted = [(size, int(size * share)) for size, share in batches]
    for size, rejected in counted:
        limit.seen(size, rejected)
    latest: list[tuple[int, int]] = []
    while counted and sum(size for size, _ in latest) < window:
        latest.append(counted.pop())
    records, rejected = sum(s for s, _ in latest), sum(r for _, r in latest)
    assert limit.share == rejected / records


def test_what_is_passed_again_after_an_abort_counts_once() -> None:
    limit = RejectLimit(0.1, 10_000)
    assert not limit.seen(100, 35)
    limit.settled()
    for _ in range(20):
        assert not limit.seen(100, 14)
        limit.taken_back()
    assert limit.share == 0.35
    assert not limit.seen(100, 14)
    limit.settled()
    limit.taken_back()
    assert limit.share == 49 / 200
