"""Sums are those of the values one after the other, to the bit, whichever way they are taken."""

import numpy as np
import pytest

from features.arrays import Floats
from features.windows.aggregate import MANY, Segments, aggregate

DRAW = np.random.default_rng(7)
N = 3 * MANY
VALUES = {
    "labels": DRAW.integers(0, 2, N).astype(np.float64),
    "large whole numbers": DRAW.integers(2**48, 2**50, N).astype(np.float64),
    "fractions": DRAW.random(N),
    "below zero": DRAW.integers(-9, 9, N).astype(np.float64),
    "infinite": np.where(DRAW.random(N) < 0.01, np.inf, 1.0),
    "negative zeros": np.full(N, -0.0),
}


@pytest.mark.parametrize("name", VALUES)
def test_many_sums_have_the_bits_of_single_ones(name: str) -> None:
    values = VALUES[name]
    start = np.sort(DRAW.integers(0, N - 100, 2 * MANY))
    segments = Segments(start, start + DRAW.integers(0, 100, len(start)))
    for function in ("sum", "mean"):
        many = aggregate(function, values, segments, np.nan, 0.0)
        some = np.arange(0, len(start), 97)
        few = aggregate(function, values, Segments(start[some], segments.end[some]), np.nan, 0.0)
        assert bits(many[some]) == bits(few)


def bits(values: Floats) -> bytes:
    return values.tobytes()
