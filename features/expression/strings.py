"""Functions of strings: object arrays of ``str`` with None for null. Python works per event here."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from features.arrays import Column, Floats, Strings

Cells = list[Any]
CODE_POINTS_MAX = 1 << 62
"""Longer than any string, and still safe to add to."""


def cells(column: Column) -> Cells:
    """The values of a column as Python objects, None for null."""
    if column.dtype == np.object_:
        return list(column)
    return [None if value != value else value for value in column.tolist()]


def each(function: Callable[..., Any], dtype: Any, *columns: Column) -> Column:
    """`function` of each row's values, null where one of them is null or the function gives None.

    dtype: of the result, ``np.float64`` or ``np.object_``.
    """
    rows = zip(*map(cells, np.broadcast_arrays(*columns)), strict=True)
    values = [None if None in row else function(*row) for row in rows]
    result = np.empty(len(values), dtype)
    result[:] = values  # numpy writes None as NaN into float64
    return result


def join(a: Strings, b: Strings) -> Strings:
    """``||``: null where one is."""
    return each(str.__add__, np.object_, a, b)


def concatenate(*columns: Strings) -> Strings:
    """CONCAT leaves nulls out, and is never null, as in Postgres and DuckDB."""
    rows = zip(*map(cells, np.broadcast_arrays(*columns)), strict=True)
    values = ["".join(text for text in row if text is not None) for row in rows]
    result = np.empty(len(values), np.object_)
    result[:] = values
    return result


def length(s: Strings) -> Floats:
    """In characters (code points)."""
    return each(len, np.float64, s)


def lower(s: Strings) -> Strings:
    return each(str.lower, np.object_, s)


def upper(s: Strings) -> Strings:
    return each(str.upper, np.object_, s)


def trim(s: Strings) -> Strings:
    """Without the spaces at either end; other white space stays."""
    return each(lambda text: text.strip(" "), np.object_, s)


def substring(s: Strings, start: Floats, count: Floats | None = None) -> Strings:
    """`count` characters from the `start`-th on, the first being 1.

    As in Postgres, a start before 1 uses up the count; a negative count is null.
    """
    if count is None:
        return each(lambda text, first: text[max(_whole(first) - 1, 0) :], np.object_, s, start)
    return each(_substring, np.object_, s, start, count)


def _substring(text: str, start: float, count: float) -> str | None:
    if count < 0:
        return None
    first = _whole(start) - 1
    return text[max(first, 0) : max(first + _whole(count), 0)]


def _whole(value: float) -> int:
    return round(min(max(value, -CODE_POINTS_MAX), CODE_POINTS_MAX))


def like_matcher(pattern: str) -> Callable[[str], bool]:
    r"""A test whether a whole string is LIKE `pattern`: % is any text, _ one character, \ quotes the next.

    Every part between two % is matched at its first place and for good (an atomic group), which is enough
    and keeps hostile strings from costing more than length times pattern. Raises ValueError for a pattern
    that ends in a lone backslash.
    """
    parts, escaped = [""], False
    for character in pattern:
        if escaped or character not in "%_\\":
            parts[-1] += re.escape(character)
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == "_":
            parts[-1] += "."
        else:
            parts.append("")
    if escaped:
        raise ValueError("the pattern ends in a lone backslash")
    first, *rest = parts
    middle = "".join(f"(?>.*?{part})" for part in rest[:-1])
    last = f".*{rest[-1]}" if rest else ""
    compiled = re.compile(f"{first}{middle}{last}", re.DOTALL)
    return lambda text: compiled.fullmatch(text) is not None


def like(matches: Callable[[str], bool]) -> Callable[[Strings], Floats]:
    """The kernel of LIKE with a compiled pattern."""
    return lambda s: each(lambda text: float(matches(text)), np.float64, s)
