from math import nan

import pytest

from benchmarks.check import judge
from benchmarks.goals import GOALS, Goal

MORE, LESS = Goal(2.0, True, 0.1), Goal(2.0, False, 0.1)


def test_a_goal_is_met_on_its_own_side() -> None:
    assert MORE.is_met(2.0)
    assert not MORE.is_met(1.99)
    assert LESS.is_met(2.0)
    assert not LESS.is_met(2.01)


@pytest.mark.parametrize(
    ("goal", "value", "is_worse"),
    [
        (MORE, 0.91, False),
        (MORE, 0.89, True),
        (MORE, 5.0, False),
        (LESS, 1.09, False),
        (LESS, 1.11, True),
        (LESS, 0.1, False),
    ],
)
def test_only_what_is_worse_beyond_the_band_is_worse(goal: Goal, value: float, is_worse: bool) -> None:
    assert goal.is_worse(value, baseline=1.0) == is_worse


def test_a_figure_near_zero_has_room_in_its_own_unit() -> None:
    slope = Goal(1.0, False, 0.1, slack=2.0)
    assert not slope.is_worse(1.9, baseline=0.0)
    assert not slope.is_worse(0.0, baseline=-0.5)
    assert slope.is_worse(2.1, baseline=0.0)


def test_the_band_of_a_negative_baseline_goes_the_same_way() -> None:
    assert not LESS.is_worse(-0.95, baseline=-1.0)
    assert LESS.is_worse(-0.85, baseline=-1.0)


def test_what_is_no_number_is_worse_than_any() -> None:
    assert MORE.is_worse(nan, 1.0)
    assert LESS.is_worse(nan, 1.0)


def test_a_run_without_a_ratio_of_the_baseline_fails() -> None:
    goals = {"there": MORE, "gone": MORE}
    verdicts = judge({"there": 1.0, "gone": 1.0, "unknown": 1.0}, {"there": 1.0, "new": 0.0}, goals)
    assert [(one.name, one.is_worse) for one in verdicts] == [("there", False), ("gone", True)]
    assert verdicts[0].worst == pytest.approx(0.9)


def test_every_goal_leaves_noise_some_room() -> None:
    assert all(goal.band > 0 or goal.slack > 0 for goal in GOALS.values())
