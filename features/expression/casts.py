"""CAST: null where it fails."""

import re
from collections.abc import Callable

import numpy as np

from features.arrays import Column, Floats, Strings
from features.expression.numbers import finite
from features.expression.strings import each
from features.expression.tree import ColumnType, number_text

CAST_TYPES: dict[str, ColumnType] = {
    "DOUBLE": "number",
    "BIGINT": "number",
    "VARCHAR": "string",
    "BOOLEAN": "bool",
}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
WHOLE_NUMBER = re.compile(r"[+-]?\d+", re.ASCII)
TRUTHS = dict.fromkeys(("true", "t", "yes", "y", "on", "1"), 1.0) | dict.fromkeys(
    ("false", "f", "no", "n", "off", "0"), 0.0
)
BIGINT_END = 2.0**63
SPACES = " \t\n\r\f\v"


def same(column: Column) -> Column:
    return column


def to_bigint(x: Floats) -> Floats:
    """The nearest whole number, of two the even one, as Postgres and DuckDB do; null beyond int64."""
    whole = np.rint(x) + 0.0  # -0 is no integer
    return np.where((whole >= -BIGINT_END) & (whole < BIGINT_END), whole, np.nan)


def number_to_truth(x: Floats) -> Floats:
    """All but zero is true."""
    return np.where(np.isnan(x), np.nan, x != 0.0)


def number_to_string(x: Floats) -> Strings:
    """Shortest form: 5 for 5.0, 0.1, 1e+20."""
    return each(number_text, np.object_, x)


def truth_to_string(p: Floats) -> Strings:
    return each(lambda value: "true" if value else "false", np.object_, p)


def string_to_number(s: Strings) -> Floats:
    """Decimal notation, with spaces around it; no hexadecimal, no underscores, no infinity."""
    return finite(each(_number, np.float64, s))


def _number(text: str) -> float | None:
    stripped = text.strip(SPACES)
    return float(stripped) if NUMBER.fullmatch(stripped) else None


def string_to_bigint(s: Strings) -> Floats:
    """A whole number in digits, as in Postgres: '1.5' is null."""
    return to_bigint(each(_whole_number, np.float64, s))


def _whole_number(text: str) -> float | None:
    stripped = text.strip(SPACES)
    return float(stripped) if WHOLE_NUMBER.fullmatch(stripped) else None


def string_to_truth(s: Strings) -> Floats:
    """true, t, yes, y, on, 1 and their opposites, in any case."""
    return each(lambda text: TRUTHS.get(text.strip(SPACES).lower()), np.float64, s)


CASTS: dict[tuple[ColumnType, str], Callable[[Column], Column]] = {
    ("number", "DOUBLE"): same,
    ("number", "BIGINT"): to_bigint,
    ("number", "VARCHAR"): number_to_string,
    ("number", "BOOLEAN"): number_to_truth,
    ("bool", "DOUBLE"): same,
    ("bool", "BIGINT"): same,
    ("bool", "VARCHAR"): truth_to_string,
    ("bool", "BOOLEAN"): same,
    ("string", "DOUBLE"): string_to_number,
    ("string", "BIGINT"): string_to_bigint,
    ("string", "VARCHAR"): same,
    ("string", "BOOLEAN"): string_to_truth,
}
"""By the operand's type and the target. Timestamps are not cast: EXTRACT their parts."""
