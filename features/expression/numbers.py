"""Arithmetic on float64 columns: NaN is null, and so is every result that is not finite.

numpy does the same for an event in any batch as long as the work is exact (IEEE 754: + - * / sqrt, rounding).
Its EXP, LOG and POWER are not exact, and take another path for arrays of one element; see `_as_in_a_batch`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from features.arrays import Floats

DIGITS_MAX = 308
SCALES = np.array([float(f"1e{digits}") for digits in range(DIGITS_MAX + 1)])
WHOLE_FROM = 2.0**52
"""From here on every float64 is a whole number."""


def finite(values: Floats) -> Floats:
    """`values`, a fresh array, with infinity made null in place."""
    values[np.isinf(values)] = np.nan
    return values


def add(a: Floats, b: Floats) -> Floats:
    return finite(np.add(a, b))


def subtract(a: Floats, b: Floats) -> Floats:
    return finite(np.subtract(a, b))


def multiply(a: Floats, b: Floats) -> Floats:
    return finite(np.multiply(a, b))


def divide(a: Floats, b: Floats) -> Floats:
    """Null where `b` is zero."""
    return finite(np.divide(a, b))


def remainder(a: Floats, b: Floats) -> Floats:
    """With the sign of `a`; null where `b` is zero."""
    return np.fmod(a, b)


def negate(x: Floats) -> Floats:
    return np.negative(x)


def absolute(x: Floats) -> Floats:
    return np.abs(x)


def floor(x: Floats) -> Floats:
    return np.floor(x)


def ceil(x: Floats) -> Floats:
    return np.ceil(x)


def sign(x: Floats) -> Floats:
    """-1, 0 or 1."""
    return np.sign(x)


def square_root(x: Floats) -> Floats:
    """Null below zero."""
    return np.sqrt(x)


def logarithm(x: Floats) -> Floats:
    """The natural logarithm; null at zero and below."""
    return finite(_as_in_a_batch(np.log, x))


def exponential(x: Floats) -> Floats:
    return finite(_as_in_a_batch(np.exp, x))


def power(x: Floats, y: Floats) -> Floats:
    """Null for a negative base with a fractional exponent, and for zero with a negative one."""
    result = finite(_as_in_a_batch(np.power, x, y))
    return np.where(np.isnan(x) | np.isnan(y), np.nan, result)  # C has 1 ** NaN = NaN ** 0 = 1


def rounded(x: Floats, digits: Floats | None = None) -> Floats:
    """Halves away from zero. Digits may be negative (tens, hundreds…) and are rounded themselves."""
    if digits is None:
        return _half_away(x)
    places = np.clip(np.rint(digits), -DIGITS_MAX, DIGITS_MAX)
    scale = SCALES[np.abs(np.nan_to_num(places)).astype(np.int64)]
    up, down = np.multiply(x, scale), np.divide(x, scale)
    left = np.where(np.abs(up) < WHOLE_FROM, np.divide(_half_away(up), scale), x)
    result = np.where(places >= 0, left, np.multiply(_half_away(down), scale))
    return finite(np.where(np.isnan(places), np.nan, result))


def _half_away(x: Floats) -> Floats:
    whole = np.trunc(x)
    return np.where(np.abs(x - whole) >= 0.5, whole + np.copysign(1.0, x), whole)


def _as_in_a_batch(function: Callable[..., Any], *arguments: Floats) -> Floats:
    """`function` over contiguous arrays of at least two elements.

    For one element, or a strided or repeated operand, numpy's loops leave the vector code for the C
    library or a shortcut (``x ** 0.5`` as a root), whose last bit may differ; a batch must equal its rows.
    """
    n = np.broadcast_shapes(*(argument.shape for argument in arguments))[0]
    if n == 0:
        return np.empty(0)
    shape = (max(n, 2),)
    full = [np.ascontiguousarray(np.broadcast_to(argument, shape)) for argument in arguments]
    result: Floats = function(*full)
    return result[:n].copy()
