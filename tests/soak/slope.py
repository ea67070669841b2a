"""The slope of a series that outliers do not move, and how sure it is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Z_95 = 1.959964


@dataclass(frozen=True, slots=True)
class Slope:
    """Per unit of x."""

    value: float
    low: float
    """With `high`: the interval that holds the slope of independent deviations in 95 of 100 cases."""
    high: float


def theil_sen(x: Sequence[float], y: Sequence[float]) -> Slope:
    """The median of the slopes of all pairs, with Sen's interval (Sen, 1968); NaN below three points."""
    at, values = np.array(x, np.float64), np.array(y, np.float64)
    first, second = np.triu_indices(len(at), 1)
    apart = at[second] != at[first]
    first, second = first[apart], second[apart]
    if len(at) < 3 or not len(first):
        return Slope(math.nan, math.nan, math.nan)
    slopes = np.sort((values[second] - values[first]) / (at[second] - at[first]))
    n = len(at)
    spread = Z_95 * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low = max(0, math.floor((len(slopes) - spread) / 2))
    high = min(len(slopes) - 1, math.ceil((len(slopes) + spread) / 2))
    return Slope(float(np.median(slopes)), float(slopes[low]), float(slopes[high]))


def has_grown(counts: Sequence[int]) -> bool:
    """Whether a count that goes up and down never came back to where it was: all of the last quarter lie
    above all of the first.
    """
    quarter = len(counts) // 4
    return quarter > 0 and min(counts[-quarter:]) > max(counts[:quarter])
