"""The limit on rejected records."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.engine.rejects import JUDGED_FROM, RejectLimit


def test_a_few_bad_records_at_the_start_do_not_stop_a_worker() -> None:
    limit = RejectLimit(0.1, 10_000)
    assert not limit.seen(JUDGED_FROM - 1, JUDGED_FROM - 1)


def test_more_than_the_share_stops_and_exactly_the_share_does_not() -> None:
    limit = RejectLimit(0.1, 10_000)
    assert not limit.seen(10_000, 1_000)
    assert limit.seen(10, 3)


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
