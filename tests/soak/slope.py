"""Whether a series grows: its slope, that outliers do not move, how sure it is, and what follows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from features.arrays import Floats

Z_95 = 1.959964
POINTS_MIN = 8
"""With fewer the interval is nearly the range of all slopes."""
ALIKE_MAX = 0.9
"""More alike than this neighbours are not taken to be: what grows steadily looks so too."""

Verdict: TypeAlias = Literal["flat", "grows", "unknown"]


@dataclass(frozen=True, slots=True)
class Slope:
    """Per unit of x."""

    value: float
    low: float
    """With `high`: the interval that holds the slope in 95 of 100 cases."""
    high: float


def theil_sen(x: Sequence[float], y: Sequence[float]) -> Slope:
    """The median of the slopes of all pairs, with Sen's interval (Sen, 1968); NaN below three points.

    What is measured has a memory: a deviation lasts. Sen's interval is for independent ones, so its spread
    is widened as for a first-order autoregression (Yue and Wang, 2004, for the test it is made of).
    """
    at, values = np.array(x, np.float64), np.array(y, np.float64)
    first, second = np.triu_indices(len(at), 1)
    apart = at[second] != at[first]
    first, second = first[apart], second[apart]
    if len(at) < 3 or not len(first):
        return Slope(math.nan, math.nan, math.nan)
    slopes = np.sort((values[second] - values[first]) / (at[second] - at[first]))
    value = float(np.median(slopes))
    n, alike = len(at), _alike(values - value * at)
    spread = Z_95 * math.sqrt(n * (n - 1) * (2 * n + 5) / 18 * (1 + alike) / (1 - alike))
    low = max(0, math.floor((len(slopes) - spread) / 2))
    high = min(len(slopes) - 1, math.ceil((len(slopes) + spread) / 2))
    return Slope(value, float(slopes[low]), float(slopes[high]))


def _alike(deviations: Floats) -> float:
    """How much a deviation resembles the one before, by their ranks; 0 where it does not."""
    ranks = np.argsort(np.argsort(deviations, kind="stable"), kind="stable").astype(np.float64)
    ranks -= ranks.mean()
    power = float(ranks @ ranks)
    return min(max(float(ranks[1:] @ ranks[:-1]) / power, 0.0), ALIKE_MAX) if power else 0.0


def floor(x: Sequence[float], y: Sequence[float], width: float) -> tuple[list[float], list[float]]:
    """The lowest y of every `width` of x, where it stood first. What is taken for a while and given back is
    no growth; what is kept raises the floor.
    """
    lowest: dict[int, tuple[float, float]] = {}
    for at, value in zip(x, y, strict=True):
        block = int(at // width)
        if block not in lowest or value < lowest[block][1]:
            lowest[block] = at, value
    found = [lowest[block] for block in sorted(lowest)]
    return [at for at, _ in found], [value for _, value in found]


def verdict(slope: Slope, points: int, limit: float) -> Verdict:
    """Flat only where growth beyond `limit` is ruled out; it grows where the whole interval lies beyond."""
    if points < POINTS_MIN or not math.isfinite(slope.value):
        return "unknown"
    if slope.high <= limit:
        return "flat"
    return "grows" if slope.low > limit else "unknown"


def has_grown(counts: Sequence[int]) -> bool:
    """Whether a count that goes up and down never came back to where it was: all of the last quarter lie
    above all of the first.
    """
    quarter = len(counts) // 4
    return quarter > 0 and min(counts[-quarter:]) > max(counts[:quarter])
