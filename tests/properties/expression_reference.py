"""A second evaluator of expressions, in plain Python with None for null, and trees to try it on."""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from hypothesis import strategies as st

from features.expression import ColumnType

TYPES: dict[str, ColumnType] = {
    "x": "number", "y": "number", "p": "bool", "q": "bool", "s": "string", "t": "string",
}  # fmt: skip
Row = dict[str, Any]
Reference = Callable[[Row], Any]


@dataclass(frozen=True)
class Tree:
    """An expression in SQL, with every parenthesis, and what it means."""

    sql: str
    value: Reference


def strict(function: Callable[..., Any], *trees: Tree) -> Reference:
    """Null where an operand is, or where the result is not finite."""

    def value(row: Row) -> Any:
        values = [tree.value(row) for tree in trees]
        if any(v is None for v in values):
            return None
        try:
            result = function(*values)
        except (ZeroDivisionError, OverflowError, ValueError):
            return None
        return None if isinstance(result, float) and not math.isfinite(result) else result

    return value


def kleene_and(a: Tree, b: Tree) -> Reference:
    def value(row: Row) -> Any:
        found = (a.value(row), b.value(row))
        return False if False in found else None if None in found else True

    return value


def kleene_or(a: Tree, b: Tree) -> Reference:
    def value(row: Row) -> Any:
        found = (a.value(row), b.value(row))
        return True if True in found else None if None in found else False

    return value


def half_up(x: float) -> float:
    return float(Decimal(x).to_integral_value(ROUND_HALF_UP))


def to_number(text: str) -> float | None:
    stripped = text.strip()
    if not stripped.isascii() or "_" in stripped or stripped.lower().lstrip("+-")[:1] in ("i", "n"):
        return None
    return float(stripped)


def when(condition: Tree, then: Tree, otherwise: Tree) -> Reference:
    return lambda row: (then if condition.value(row) is True else otherwise).value(row)


def first_known(a: Tree, b: Tree) -> Reference:
    def value(row: Row) -> Any:
        found = a.value(row)
        return b.value(row) if found is None else found

    return value


def null_if(a: Tree, b: Tree) -> Reference:
    def value(row: Row) -> Any:
        found = a.value(row)
        return None if found is not None and found == b.value(row) else found

    return value


def extreme(choose: Callable[..., Any], *trees: Tree) -> Reference:
    return lambda row: choose((v for t in trees if (v := t.value(row)) is not None), default=None)


def listed(x: Tree, values: list[Any]) -> Reference:
    def value(row: Row) -> Any:
        found = x.value(row)
        if found is None:
            return None
        return True if found in [v for v in values if v is not None] else None if None in values else False

    return value


def name(text: str) -> Tree:
    return Tree(text, lambda row: row[text])


def quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


NUMBERS = st.sampled_from([0.0, 1.0, 2.0, 3.0, 0.5, 2.5, 100.0, 1e-7, 1e200, 1e308])
TEXTS = st.sampled_from(["", "a", "b", "ab", "A b", "1", " 2.5 ", "-3", "x'y", "é", "1e3", "inf"])
COMPARISONS = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
ARITHMETIC = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "%": math.fmod,
}  # fmt: skip
OF_NUMBER: dict[str, Callable[[float], float]] = {
    "ABS": abs,
    "FLOOR": lambda x: float(math.floor(x)),
    "CEIL": lambda x: float(math.ceil(x)),
    "SQRT": math.sqrt,
    "SIGN": lambda x: float((x > 0) - (x < 0)),
    "ROUND": half_up,
}

null = st.just(Tree("NULL", lambda _: None))
number_leaf = st.one_of(
    st.sampled_from([name("x"), name("y")]), NUMBERS.map(lambda v: Tree(repr(v), lambda _: v)), null
)
string_leaf = st.one_of(
    st.sampled_from([name("s"), name("t")]), TEXTS.map(lambda v: Tree(quote(v), lambda _: v)), null
)
bool_leaf = st.one_of(
    st.sampled_from([name("p"), name("q")]),
    st.booleans().map(lambda v: Tree(str(v).upper(), lambda _: v)),
    null,
)
LEAVES = {"number": number_leaf, "string": string_leaf, "bool": bool_leaf}


@st.composite
def trees(draw: st.DrawFn, type_: str, depth: int = 3) -> Tree:
    """A tree of the type, at most `depth` operators deep."""
    if depth == 0 or draw(st.integers(0, 4)) == 0:
        return draw(LEAVES[type_])

    def inner(of: str) -> Tree:
        return draw(trees(of, depth - 1))

    kind = draw(st.sampled_from([type_, type_, type_, "any"]))
    if kind == "any":
        a, b, p = inner(type_), inner(type_), inner("bool")
        return draw(
            st.sampled_from(
                [
                    Tree(f"CASE WHEN {p.sql} THEN {a.sql} ELSE {b.sql} END", when(p, a, b)),
                    Tree(f"COALESCE({a.sql}, {b.sql})", first_known(a, b)),
                    Tree(f"NULLIF({a.sql}, {b.sql})", null_if(a, b)),
                    Tree(f"LEAST({a.sql}, {b.sql})", extreme(min, a, b)),
                    Tree(f"GREATEST({a.sql}, {b.sql})", extreme(max, a, b)),
                ]
            )
        )
    return {"number": number_tree, "string": string_tree, "bool": bool_tree}[kind](draw, inner)


def number_tree(draw: st.DrawFn, inner: Callable[[str], Tree]) -> Tree:
    match draw(st.integers(0, 4)):
        case 0:
            function = draw(st.sampled_from(sorted(OF_NUMBER)))
            a = inner("number")
            return Tree(f"{function}({a.sql})", strict(OF_NUMBER[function], a))
        case 1:
            a = inner("number")
            return Tree(f"(-{a.sql})" if a.sql[0] != "-" else f"(-({a.sql}))", strict(operator.neg, a))
        case 2:
            a = inner("string")
            return Tree(f"CAST({a.sql} AS DOUBLE)", strict(to_number, a))
        case _:
            symbol = draw(st.sampled_from(sorted(ARITHMETIC)))
            a, b = inner("number"), inner("number")
            return Tree(f"({a.sql} {symbol} {b.sql})", strict(ARITHMETIC[symbol], a, b))


def string_tree(draw: st.DrawFn, inner: Callable[[str], Tree]) -> Tree:
    a, b = inner("string"), inner("string")
    p = inner("bool")
    return draw(
        st.sampled_from(
            [
                Tree(f"({a.sql} || {b.sql})", strict(operator.add, a, b)),
                Tree(f"UPPER({a.sql})", strict(str.upper, a)),
                Tree(f"SUBSTRING({a.sql}, 2, 1)", strict(lambda text: text[1:2], a)),
                Tree(f"CAST({p.sql} AS VARCHAR)", strict(lambda value: str(value).lower(), p)),
            ]
        )
    )


def bool_tree(draw: st.DrawFn, inner: Callable[[str], Tree]) -> Tree:
    of = draw(st.sampled_from(["number", "string", "bool"]))
    match draw(st.integers(0, 6)):
        case 0:
            a, b = inner("bool"), inner("bool")
            return Tree(f"({a.sql} AND {b.sql})", kleene_and(a, b))
        case 1:
            a, b = inner("bool"), inner("bool")
            return Tree(f"({a.sql} OR {b.sql})", kleene_or(a, b))
        case 2:
            a = inner("bool")
            return Tree(f"(NOT {a.sql})", strict(operator.not_, a))
        case 3:
            a = inner(of)
            return Tree(f"({a.sql} IS NULL)", lambda row: a.value(row) is None)
        case 4:
            a, low, high = inner(of), inner(of), inner(of)
            above, below = Tree("", strict(operator.ge, a, low)), Tree("", strict(operator.le, a, high))
            return Tree(f"({a.sql} BETWEEN {low.sql} AND {high.sql})", kleene_and(above, below))
        case 5:
            a, values = inner("number"), draw(st.lists(st.one_of(NUMBERS, st.none()), min_size=1, max_size=3))
            constants = ", ".join("NULL" if v is None else repr(v) for v in values)
            return Tree(f"({a.sql} IN ({constants}))", listed(a, values))
        case _:
            symbol = draw(st.sampled_from(sorted(COMPARISONS)))
            a, b = inner(of), inner(of)
            return Tree(f"({a.sql} {symbol} {b.sql})", strict(COMPARISONS[symbol], a, b))


any_tree = st.sampled_from(["number", "string", "bool"]).flatmap(trees)
rows = st.lists(
    st.fixed_dictionaries(
        {
            "x": st.none() | st.floats(allow_nan=False, allow_infinity=False) | NUMBERS,
            "y": st.none() | st.sampled_from([-0.0, 0.0, 1.0, -1.0, 2.5, -1e308]),
            "p": st.none() | st.booleans(),
            "q": st.none() | st.booleans(),
            "s": st.none() | TEXTS,
            "t": st.none() | TEXTS,
        }
    ),
    min_size=1,
    max_size=6,
)
