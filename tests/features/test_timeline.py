"""How rows and times are put in order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.windows.axis import Axis, ragged_arange

FAR = 2**62
times_near = st.lists(st.integers(-50, 50), min_size=1, max_size=12)
times_far = st.lists(
    st.one_of(st.integers(-50, 50), st.sampled_from([-FAR, FAR - 1])), min_size=1, max_size=12
)
rows = st.integers(0, 3)


def ranked(times: list[int]) -> Axis:
    distinct = np.unique(np.array(times))
    return Axis(0, len(distinct) + 2, distinct)


@pytest.mark.parametrize("kind", ["dense", "ranked"])
@given(
    times=times_near,
    entry_rows=st.lists(rows, min_size=12, max_size=12),
    query=st.integers(-60, 60),
    row=rows,
)
def test_an_entry_is_at_most_a_query_exactly_where_row_and_time_are(
    kind: str, times: list[int], entry_rows: list[int], query: int, row: int
) -> None:
    held = np.array(times)
    axis = Axis.over(held, 4) if kind == "dense" else ranked(times)
    assert (axis.distinct is None) == (kind == "dense")
    of_row = np.array(entry_rows[: len(times)])
    keys = axis.keys(of_row, held)
    at = axis.keys(np.array([row]), np.array([query]))[0]
    wanted = [(r, t) <= (row, query) for r, t in zip(of_row.tolist(), times, strict=True)]
    assert (keys <= at).tolist() == wanted


@given(times=times_far, entry_rows=st.lists(rows, min_size=12, max_size=12))
def test_keys_order_like_row_and_time_however_far_times_lie_apart(
    times: list[int], entry_rows: list[int]
) -> None:
    held, of_row = np.array(times), np.array(entry_rows[: len(times)])
    keys = Axis.over(held, 4).keys(of_row, held).tolist()
    pairs = list(zip(of_row.tolist(), times, strict=True))
    for key, pair in zip(keys, pairs, strict=True):
        assert [other < key for other in keys] == [other < pair for other in pairs]


def test_times_that_lie_too_far_apart_for_one_integer_are_ranked() -> None:
    assert Axis.over(np.array([0, 10**6]), 10**6).distinct is None
    assert Axis.over(np.array([-FAR, FAR - 1]), 4).distinct is not None
    assert Axis.over(np.array([0, 2**40]), 2**23).distinct is not None


def test_an_axis_over_nothing_orders_rows_all_the_same() -> None:
    axis = Axis.over(np.empty(0, np.int64), 3)
    keys = axis.keys(np.arange(3), np.array([5, -5, 0]))
    assert (np.diff(keys) > 0).all()


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=8))
def test_a_ragged_range_is_one_range_after_the_other(ranges: list[tuple[int, int]]) -> None:
    starts = np.array([start for start, _ in ranges], np.int64)
    lengths = np.array([length for _, length in ranges], np.int64)
    wanted = [start + n for start, length in ranges for n in range(length)]
    assert ragged_arange(starts, lengths).tolist() == wanted
