"""Comparisons, three-valued logic and the choice among values.

Truth is float64: 1, 0, and NaN for null (unknown). Strings order by code point. Kernels `…_strings` take
object arrays, all others float64; a constant may come as shape (1,).
"""

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from features.arrays import Bools, Column, Floats, Strings
from features.expression.strings import each

NULL_STRING: Strings = np.array([None])


def truth(column: Column) -> Bools:
    """Where a condition holds, shape (n,): null is not true."""
    return np.equal(column, 1.0)


def is_null(column: Column) -> Bools:
    """Where a column of any type is null."""
    result: Bools = np.equal(column, NULL_STRING) if column.dtype == np.object_ else np.isnan(column)
    return result


def missing(column: Column) -> Floats:
    return is_null(column).astype(np.float64)


def both(p: Floats, q: Floats) -> Floats:
    """AND: false wins over null."""
    return np.where((p == 0.0) | (q == 0.0), 0.0, p * q)


def either(p: Floats, q: Floats) -> Floats:
    """OR: true wins over null."""
    return np.where((p == 1.0) | (q == 1.0), 1.0, p + q)


def negation(p: Floats) -> Floats:
    return 1.0 - p


def _with_nulls(result: Bools, a: Column, b: Column) -> Floats:
    values = result.astype(np.float64)
    values[is_null(a) | is_null(b)] = np.nan
    return values


def equal(a: Column, b: Column) -> Floats:
    return _with_nulls(np.equal(a, b), a, b)


def unequal(a: Column, b: Column) -> Floats:
    return _with_nulls(np.not_equal(a, b), a, b)


def less(a: Floats, b: Floats) -> Floats:
    return _with_nulls(np.less(a, b), a, b)


def at_most(a: Floats, b: Floats) -> Floats:
    return _with_nulls(np.less_equal(a, b), a, b)


def greater(a: Floats, b: Floats) -> Floats:
    return less(b, a)


def at_least(a: Floats, b: Floats) -> Floats:
    return at_most(b, a)


equal_strings = equal
unequal_strings = unequal


def less_strings(a: Strings, b: Strings) -> Floats:
    return each(lambda x, y: float(x < y), np.float64, a, b)


def at_most_strings(a: Strings, b: Strings) -> Floats:
    return each(lambda x, y: float(x <= y), np.float64, a, b)


def greater_strings(a: Strings, b: Strings) -> Floats:
    return less_strings(b, a)


def at_least_strings(a: Strings, b: Strings) -> Floats:
    return at_most_strings(b, a)


def between(x: Floats, low: Floats, high: Floats) -> Floats:
    """Both ends included."""
    return both(at_most(low, x), at_most(x, high))


def between_strings(x: Strings, low: Strings, high: Strings) -> Floats:
    return both(at_most_strings(low, x), at_most_strings(x, high))


def among(x: Floats, *constants: Floats) -> Floats:
    """IN over constants: null where `x` is null, or is not found and a constant is null."""
    values = np.concatenate(constants)
    return _among(np.isin(x, values[~np.isnan(values)]), x, values)


def among_strings(x: Strings, *constants: Strings) -> Floats:
    values = np.concatenate(constants)
    known = frozenset(values.tolist()) - {None}
    found = np.fromiter((value in known for value in x.tolist()), np.bool_, len(x))
    return _among(found, x, values)


def _among(found: Bools, x: Column, values: Column) -> Floats:
    result = found.astype(np.float64)
    result[is_null(x) | (~found & is_null(values).any())] = np.nan
    return result


def choose(condition: Floats, then: Column, otherwise: Column) -> Column:
    """`then` where the condition is true, `otherwise` where it is false or null."""
    return np.where(truth(condition), then, otherwise)


def coalesce(*columns: Column) -> Column:
    """The first that is not null."""
    return reduce(lambda rest, column: np.where(is_null(column), rest, column), reversed(columns))


def null_if(a: Floats, b: Floats) -> Floats:
    """`a`, but null where it equals `b`."""
    return np.where(np.equal(a, b), np.nan, a)


def null_if_strings(a: Strings, b: Strings) -> Strings:
    return np.where(np.equal(a, b), NULL_STRING, a)


def _extreme(columns: tuple[Column, ...], replaces: Callable[[Column, Column], Floats]) -> Column:
    """Of equal values the first: 0 and -0 must not depend on how numpy walks a batch."""

    def merge(best: Any, column: Any) -> Any:
        return np.where(truth(replaces(column, best)) | is_null(best), column, best)

    return reduce(merge, columns)


def least(*columns: Floats) -> Floats:
    """The least that is not null, as in Postgres; null only where all are."""
    return _extreme(columns, less)


def greatest(*columns: Floats) -> Floats:
    """The greatest that is not null."""
    return _extreme(columns, greater)


def least_strings(*columns: Strings) -> Strings:
    return _extreme(columns, less_strings)


def greatest_strings(*columns: Strings) -> Strings:
    return _extreme(columns, greater_strings)
