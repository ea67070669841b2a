"""What expressions evaluate to."""

import math
import warnings
from typing import Any

import numpy as np
import pytest

from features.arrays import Column
from features.expression import ColumnType, Expression, compile_expression, truth

NULL = math.nan
TYPES: dict[str, ColumnType] = {
    "x": "number",
    "y": "number",
    "p": "bool",
    "q": "bool",
    "s": "string",
    "t": "string",
    "at": "timestamp",
    "until": "timestamp",
}


def column(type_: ColumnType, *values: Any) -> Column:
    if type_ == "string":
        return np.array(values, np.object_)
    return np.array([NULL if value is None else value for value in values], np.float64)


def plain(values: Column) -> list[Any]:
    """As Python values, None for null."""
    return [None if value is None or value != value else value for value in values.tolist()]


def value_of(text: str, **row: Any) -> Any:
    """The value of an expression for one event; columns that are not named are null."""
    columns = {name: column(type_, row.get(name)) for name, type_ in TYPES.items()}
    return plain(compile_expression(text, TYPES).evaluate(columns, 1))[0]


LITERAL_OF = {None: "NULL", True: "TRUE", False: "FALSE"}


@pytest.mark.parametrize("p", [None, True, False])
@pytest.mark.parametrize("q", [None, True, False])
def test_logic_has_three_values(p: bool | None, q: bool | None) -> None:
    both = False if False in (p, q) else None if None in (p, q) else True
    either = True if True in (p, q) else None if None in (p, q) else False
    assert value_of("p AND q", p=p, q=q) == both == value_of(f"p AND {LITERAL_OF[q]}", p=p)
    assert value_of("p OR q", p=p, q=q) == either == value_of(f"{LITERAL_OF[p]} OR q", q=q)
    assert value_of("NOT p", p=p) == (None if p is None else not p)


def test_null_columns_of_every_type_are_null() -> None:
    for name in TYPES:
        assert value_of(name) is None
        assert value_of(f"{name} IS NULL") == 1
        assert value_of(f"{name} = {name}") is None


def test_not_binds_looser_than_comparison_and_tighter_than_and() -> None:
    assert value_of("NOT x = 1 AND p", x=2, p=True) == 1
    assert value_of("NOT x = 1 OR p", x=1, p=True) == 1


def test_timestamps_compare_with_timestamps() -> None:
    assert value_of("at < until", at=1, until=2) == 1
    assert value_of("LEAST(at, until)", at=1, until=2) == 1
    assert value_of("EXTRACT(epoch FROM until) - EXTRACT(epoch FROM at)", at=500, until=2000) == 1.5


def test_infinity_in_a_column_is_null() -> None:
    assert value_of("x", x=math.inf) is None
    assert value_of("x > 0", x=math.inf) is None
    assert value_of("COALESCE(x, 7)", x=-math.inf) == 7


def test_a_null_condition_is_not_true() -> None:
    condition = compile_expression("x > 0.5", TYPES).evaluate({"x": column("number", 1, None, 0)}, 3)
    assert truth(condition).tolist() == [True, False, False]
    assert truth(condition).dtype == np.bool_


@pytest.mark.parametrize(("text", "dtype"), [("1", np.float64), ("NULL", np.float64), ("'a'", np.object_)])
@pytest.mark.parametrize("n", [0, 1, 3])
def test_a_constant_has_the_shape_of_the_batch(text: str, dtype: type, n: int) -> None:
    values = compile_expression(text, TYPES).evaluate({}, n)
    assert values.shape == (n,)
    assert values.dtype == dtype


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "s",
        "x / y",
        "POWER(x, y)",
        "s || 'a'",
        "x IN (1, 2)",
        "s LIKE 'a%'",
        "ROUND(x, 2)",
        "LEAST(s, t)",
    ],
)
def test_an_empty_batch_has_an_empty_value(text: str) -> None:
    empty = {name: column(type_) for name, type_ in TYPES.items()}
    assert compile_expression(text, TYPES).evaluate(empty, 0).shape == (0,)


@pytest.mark.parametrize("text", ["x", "s", "at", "COALESCE(x, y)", "1", "'a'"])
def test_what_evaluate_returns_belongs_to_the_caller(text: str) -> None:
    columns = {name: column(type_, *("a" if type_ == "string" else 1,) * 2) for name, type_ in TYPES.items()}
    expression = compile_expression(text, TYPES)
    first = expression.evaluate(columns, 2)
    expected = first.tolist()
    first[:] = None
    assert expression.evaluate(columns, 2).tolist() == expected


def test_columns_are_not_written_to() -> None:
    x, s = column("number", 1, math.inf, None), column("string", "a", None, "b")
    x.flags.writeable = s.flags.writeable = False
    for text in ("x / 0", "NULLIF(x, 1)", "COALESCE(x, 2)", "s || 'a'", "GREATEST(x, 2)", "NOT x = 1"):
        compile_expression(text, TYPES).evaluate({"x": x, "s": s}, 3)
    assert x.tolist()[:2] == [1, math.inf]
    assert s.tolist() == ["a", None, "b"]


def test_numpy_does_not_warn() -> None:
    columns = {"x": column("number", 0, None, -1e308, 1e308), "y": column("number", 0, 1, -9, 1e308)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for text in (
            "x / y",
            "x * y",
            "x % y",
            "SQRT(x)",
            "LN(x)",
            "EXP(y)",
            "POWER(x, y)",
            "CAST(x AS BIGINT)",
        ):
            compile_expression(text, TYPES).evaluate(columns, 4)


def test_strided_columns_give_the_same_bits_as_contiguous_ones() -> None:
    matrix = np.random.default_rng(7).uniform(0.01, 9, (97, 2))
    for text in ("EXP(x)", "LN(x)", "POWER(x, 0.5)", "POWER(x, y)"):
        expression = compile_expression(text, TYPES)
        strided = expression.evaluate({"x": matrix[:, 0], "y": matrix[:, 1]}, 97)
        tight = expression.evaluate({"x": matrix[:, 0].copy(), "y": matrix[:, 1].copy()}, 97)
        assert strided.tobytes() == tight.tobytes()


def test_a_hostile_string_costs_like_no_more_than_its_length() -> None:
    pattern = "%a" * 40 + "%b"
    assert value_of(f"s LIKE '{pattern}'", s="a" * 5000) == 0


def test_an_expression_says_what_it_reads_and_what_it_is() -> None:
    expression = compile_expression("CASE WHEN p THEN x ELSE LENGTH(s) END", TYPES)
    assert expression.names == {"p", "x", "s"}
    assert expression.type == "number"
    assert compile_expression("x > 1", TYPES).type == "bool"
    assert compile_expression("LOWER(s)", TYPES).type == "string"
    assert compile_expression("COALESCE(NULL, at)", TYPES).type == "timestamp"


def compiled(text: str) -> Expression:
    return compile_expression(text, TYPES)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("x>1", "x > 1"),
        (" ( (x) >\n\t1.0 ) ", "x > 1"),
        ("x not in(1,2)", "x NOT IN (1, 2)"),
        ("not x in (1)", "x NOT IN (1)"),
        ("NOT x IS NULL", "x IS NOT NULL"),
        ("x != 1", "x <> 1"),
        ("not (p and q)", "NOT (p AND q)"),
        ("(x + y) * (x * y)", "(x + y) * (x * y)"),
        ("(x + y) + x", "x + y + x"),
        ("x - (y - x)", "x - (y - x)"),
        ("- - x", "-(-x)"),
        ("p = (x is null)", "p = (x IS NULL)"),
        ("case when p then 1 else null end", "CASE WHEN p THEN 1 END"),
        ("case x when 1 then 's' end", "CASE x WHEN 1 THEN 's' END"),
        ("ceiling(x) + pow(x, 2) + 1e3", "CEIL(x) + POWER(x, 2) + 1000"),
        ("extract(isodow from at)", "EXTRACT(ISODOW FROM at)"),
        ("cast(s as double)", "CAST(s AS DOUBLE)"),
        ('"x" + "y"', "x + y"),
        ("timestamp '2018-04-01' < at", "TIMESTAMP '2018-04-01' < at"),
    ],
)
def test_text_is_canonical(text: str, canonical: str) -> None:
    assert compiled(text).text == canonical
    assert compiled(canonical) == compiled(text)


def test_names_of_any_kind_can_be_quoted() -> None:
    types: dict[str, ColumnType] = {"end": "number", "date": "number", 'a "b".c': "number", "Größe": "number"}
    expression = compile_expression('"end" + date + "a ""b"".c" + "Größe"', types)
    assert expression.names == types.keys()
    assert compile_expression(expression.text, types) == expression
    assert expression.evaluate({name: column("number", 2) for name in types}, 1).tolist() == [8]


def test_names_tell_case_apart() -> None:
    expression = compile_expression("Amount - amount", {"Amount": "number", "amount": "number"})
    assert expression.names == {"Amount", "amount"}


def test_long_chains_are_read() -> None:
    assert value_of(" + ".join(["x"] * 90), x=1) == 90
    assert value_of(" OR ".join(["x = 1"] * 90), x=1) == 1
    assert value_of("x IN (" + ", ".join(map(str, range(400))) + ")", x=399) == 1
    assert value_of("ABS(" * 18 + "x" + ")" * 18, x=-1) == 1
