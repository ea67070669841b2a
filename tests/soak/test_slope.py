"""The arithmetic of a soak run: what counts as growth."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak.slope import Slope, floor, has_grown, theil_sen, verdict

RUNS = 400


@given(st.floats(-100, 100), st.floats(-1e4, 1e4), st.integers(8, 60), st.data())
def test_a_slope_is_found_through_outliers(
    slope: float, start: float, count: int, data: st.DataObject
) -> None:
    x = np.arange(count, dtype=np.float64)
    y = start + slope * x
    odd = data.draw(st.lists(st.integers(0, count - 1), max_size=count // 8, unique=True))
    y[odd] += 1e6
    found = theil_sen(x.tolist(), y.tolist())
    assert found.value == pytest.approx(slope, abs=1e-6)
    assert found.low <= found.value <= found.high


def test_the_interval_holds_the_slope_of_noise_about_as_often_as_it_says() -> None:
    assert 0.92 <= held(0.0) <= 0.99


def test_the_interval_of_deviations_that_last_is_wider_and_holds_the_slope_too() -> None:
    assert held(0.6) >= 0.88
    independent, lasting = (np.mean([one.high - one.low for one in slopes(m)]) for m in (0.0, 0.6))
    assert lasting > 1.5 * independent


def held(memory: float) -> float:
    return float(np.mean([one.low <= 0.5 <= one.high for one in slopes(memory)]))


def slopes(memory: float) -> list[Slope]:
    """Of series that rise by 0.5 each step, and whose deviations last by this share."""
    draw, x = np.random.default_rng(1), np.arange(40, dtype=np.float64)
    found = []
    for _ in range(RUNS):
        deviations = draw.normal(size=len(x))
        deviations[0] /= math.sqrt(1 - memory**2)
        for at in range(1, len(x)):
            deviations[at] += memory * deviations[at - 1]
        found.append(theil_sen(x.tolist(), (0.5 * x + deviations).tolist()))
    return found


def test_two_points_have_no_slope() -> None:
    assert math.isnan(theil_sen([1, 2], [3, 4]).value)


def test_the_floor_is_where_each_stretch_was_lowest() -> None:
    x = [0.0, 20.0, 40.0, 61.0, 70.0, 200.0]
    assert floor(x, [5.0, 3.0, 4.0, 9.0, 9.0, 2.0], 60) == ([20.0, 61.0, 200.0], [3.0, 9.0, 2.0])
    assert floor([], [], 60) == ([], [])


def test_what_is_taken_and_given_back_every_minute_leaves_the_floor_flat() -> None:
    x = [5.0 * at for at in range(240)]
    _, lowest = floor(x, [100.0 + 50 * (at % 12 > 3) for at in range(240)], 60)
    assert set(lowest) == {100.0}


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-9, -1, "flat"),
        (-9, 5, "flat"),
        (1, 4, "flat"),
        (-9, 6, "unknown"),
        (4, 9, "unknown"),
        (6, 9, "grows"),
    ],
)
def test_flat_is_only_what_is_shown_to_be(low: float, high: float, said: str) -> None:
    assert verdict(Slope((low + high) / 2, low, high), 20, 5) == said


def test_few_points_and_no_slope_show_nothing() -> None:
    assert verdict(Slope(0, -1, 1), 7, 5) == "unknown"
    assert verdict(Slope(math.nan, math.nan, math.nan), 20, 5) == "unknown"


def test_a_count_has_grown_only_where_it_never_comes_back() -> None:
    assert has_grown([10, 12, 11, 14, 15, 17, 18, 19])
    assert not has_grown([10, 30, 11, 12, 31, 10, 30, 11])
    assert not has_grown([10, 10, 10, 10])
    assert not has_grown([])
