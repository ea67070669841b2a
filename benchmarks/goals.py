"""The names under `ratios`, which way is better, what is aimed at, and how far noise alone moves them."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """Of one ratio, or of one figure that is compared like one."""

    aim: float
    more_is_better: bool
    band: float
    """Relative: so much worse than the baseline is still noise."""
    slack: float = 0.0
    """The same in the figure's own unit, for those near zero; the larger of both counts."""

    def is_met(self, value: float) -> bool:
        return value >= self.aim if self.more_is_better else value <= self.aim

    def worst(self, baseline: float) -> float:
        """The last value that is not worse than the baseline beyond noise."""
        room = max(self.band * abs(baseline), self.slack)
        return baseline - room if self.more_is_better else baseline + room

    def is_worse(self, value: float, baseline: float) -> bool:
        """Beyond noise. What is no number is worse than any."""
        worst = self.worst(baseline)
        return not (value >= worst if self.more_is_better else value <= worst)


def _at_least(aim: float, band: float = 0.15) -> Goal:
    return Goal(aim, True, band)


def _at_most(aim: float, band: float = 0.15, slack: float = 0.0) -> Goal:
    return Goal(aim, False, band, slack)


GOALS: Mapping[str, Goal] = {
    # of events/s, over interleaved rounds
    "plain_to_passthrough": _at_least(0.4),
    "eos_to_alo": _at_least(0.9),
    "plain_lightgbm_to_passthrough": _at_least(0.22),
    "windows_to_passthrough": _at_least(0.25),
    "windows_to_best_peer": _at_least(2.5),
    "windows_to_median_peer": _at_least(15.0, 0.25),
    "plain_to_best_peer": _at_least(4.0),
    # of CPU time an event
    "cpu_two_to_one": _at_most(1.1, 0.1),
    # of latencies; tails on a machine that others use wander more
    "p99_to_passthrough_1000": _at_most(1.25, 0.3),
    "p99_to_passthrough_5000": _at_most(1.25, 0.3),
    "own_p99_ms": _at_most(1.0, 0.3, 0.2),
    # of feature reads
    "read_to_feast_1": _at_least(4.0, 0.25),
    "read_to_feast_100": _at_least(40.0, 0.25),
    "read_to_feast_1000": _at_least(100.0, 0.25),
    # of growth
    "rss_slope_mb_per_million": _at_most(1.0, 0.0, 2.0),
    "cost_1e7_to_1e3_entities": _at_most(1.3),
    "ready_s": _at_most(1.5, 0.25, 0.3),
    "swap_added_p99_ms": _at_most(5.0, 0.0, 5.0),
}
