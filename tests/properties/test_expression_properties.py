"""Expressions against a second evaluator, in any batch, written anew, and garbage."""

import logging
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.arrays import Column
from features.expression import ExpressionError, compile_expression
from tests.properties.expression_reference import TYPES, Row, Tree, any_tree, rows

SOME_TREE = any_tree.filter(lambda tree: len(tree.sql) < 1500)
SOME = settings(max_examples=150, deadline=None)


def columns_of(events: list[Row]) -> dict[str, Column]:
    return {
        name: np.array([row[name] for row in events], np.object_ if type_ == "string" else np.float64)
        for name, type_ in TYPES.items()
    }


def bits(values: Column) -> list[Any]:
    return list(values.view(np.int64)) if values.dtype == np.float64 else list(values)


@SOME
@given(SOME_TREE, rows)
def test_values_are_those_of_a_plain_evaluator(tree: Tree, events: list[Row]) -> None:
    found = compile_expression(tree.sql, TYPES).evaluate(columns_of(events), len(events))
    assert found.shape == (len(events),)
    for value, row in zip(found.tolist(), events, strict=True):
        expected = tree.value(row)
        assert (None if value != value else value) == expected


@SOME
@given(SOME_TREE, rows)
def test_a_batch_has_the_bits_of_its_rows_one_by_one(tree: Tree, events: list[Row]) -> None:
    expression = compile_expression(tree.sql, TYPES)
    batch = bits(expression.evaluate(columns_of(events), len(events)))
    one_by_one = [bits(expression.evaluate(columns_of([row]), 1))[0] for row in events]
    assert batch == one_by_one


@SOME
@given(SOME_TREE, rows)
def test_canonical_text_is_its_own_canonical_text_and_means_the_same(tree: Tree, events: list[Row]) -> None:
    expression = compile_expression(tree.sql, TYPES)
    again = compile_expression(expression.text, TYPES)
    assert again == expression
    columns, n = columns_of(events), len(events)
    assert bits(again.evaluate(columns, n)) == bits(expression.evaluate(columns, n))


@SOME
@given(
    st.sampled_from(
        ["EXP(x)", "LN(x)", "POWER(x, y)", "POWER(x, 0.5)", "POWER(x, 2)", "POWER(2, y)", "ROUND(x, y)"]
    ),
    st.lists(st.tuples(st.floats(-50, 50), st.none() | st.floats(-3, 3)), min_size=1, max_size=40),
)
def test_inexact_functions_too_have_the_same_bits_in_any_batch(
    text: str, values: list[tuple[float, float | None]]
) -> None:
    expression = compile_expression(text, TYPES)
    x, y = (np.array(column, np.float64) for column in zip(*values, strict=True))
    batch = expression.evaluate({"x": x, "y": y}, len(x))
    one_by_one = [expression.evaluate({"x": x[i : i + 1], "y": y[i : i + 1]}, 1) for i in range(len(x))]
    assert bits(batch) == bits(np.concatenate(one_by_one))


@SOME
@given(st.text(alphabet="ab%_.x\n", max_size=12), st.text(alphabet="ab%_.x\n", max_size=6))
def test_like_agrees_with_its_definition(text: str, pattern: str) -> None:
    def matches(text: str, pattern: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "%":
            return any(matches(text[i:], pattern[1:]) for i in range(len(text) + 1))
        return bool(text) and pattern[0] in ("_", text[0]) and matches(text[1:], pattern[1:])

    found = compile_expression(f"s LIKE '{pattern}'", TYPES).evaluate({"s": np.array([text], np.object_)}, 1)
    assert found.tolist() == [float(matches(text, pattern))]


SOUP = """
    x y p s 1 0 2.5 'a' '' "x" NULL TRUE ( ) ( ) , + - * / % || = <> != < >= == > AND OR NOT IN BETWEEN LIKE
    IS CASE WHEN THEN ELSE END CAST AS DOUBLE EXTRACT FROM hour COALESCE NULLIF ABS ROUND TRIM CONCAT
    TIMESTAMP INTERVAL SELECT EXISTS ANY OVER FILTER IF ESCAPE DIV ILIKE AT COLLATE ARRAY MAP [ ] { } ; . ::
    -> ? : @ $ # ^ & ~ ! /* */ -- ' " ` é CURRENT_DATE PRIOR CONNECT_BY_ROOT SET SHOW DESCRIBE USE VALUES
    DISTINCT WITH LATERAL UNNEST DATE FOR
"""
TOKENS = SOUP.split()
token_soup = st.builds(
    lambda joint, words: joint.join(words),
    st.sampled_from(["", " ", "\n"]),
    st.lists(st.sampled_from(TOKENS)),
)
mangled = st.builds(
    lambda tree, at, word: tree.sql[:at] + word + tree.sql[at:],
    SOME_TREE,
    st.integers(0, 60),
    st.sampled_from(TOKENS),
)


@settings(max_examples=400, deadline=None)
@given(st.one_of(token_soup, st.text(max_size=40), mangled))
def test_any_text_compiles_or_is_refused_with_places_in_it(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        # sqlglot logs what it takes for a command; nothing may come that far.
        patch.setattr(logging.getLogger("sqlglot"), "handle", lambda record: pytest.fail(record.getMessage()))
        try:
            expression = compile_expression(text, TYPES)
        except ExpressionError as error:
            refused = error
        else:
            assert compile_expression(expression.text, TYPES) == expression
            return
    assert refused.problems
    assert all(0 <= problem.offset <= len(text) for problem in refused.problems)
