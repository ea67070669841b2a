"""What is refused, where, and how it says to mend it."""

import pytest

from features.expression import ColumnType, ExpressionError, ExpressionProblem, compile_expression

TYPES: dict[str, ColumnType] = {
    "amount": "number",
    "mean": "number",
    "flag": "bool",
    "kind": "string",
    "at": "timestamp",
    "like": "number",
}


def problems(text: str) -> tuple[ExpressionProblem, ...]:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text, TYPES)
    return caught.value.problems


REFUSED = [
    # what is not SQL, or not one expression: text, offset, offending text, part of cause or mend
    ("", 0, "", "there is no expression"),
    ("   ", 0, "", "there is no expression"),
    ("amount > > 3", 7, "> > 3", "operator"),
    ("amount mean", 7, "mean", "nothing can follow"),
    ("amount AS mean", 7, "AS", "nothing can follow"),
    ("amount; mean", 6, ";", "one expression"),
    ("amount +", 8, "", "missing"),
    ("+ amount", 0, "+", "cannot be read"),
    ("(amount", 0, "(", "not closed"),
    ("amount)", 6, ")", "no parenthesis is open"),
    ("amount > 'abc", 9, "'abc", "quote"),
    ("'it''s' || 'x", 11, "'x", "quote"),
    ('amount > "abc', 9, '"abc', "quote"),
    ("amount -- so", 7, "-- so", "comments"),
    ("/* so */ amount", 0, "/* so */", "comments"),
    ("amount /* so */ + 1", 7, "/* so */", "comments"),
    ("amount\u00a0+ 1", 6, "\u00a0".strip(), "unusual"),
    ("amount == 1", 7, "==", "write ="),
    ("kind::double", 4, "::", "CAST"),
    ("amount ^ 2", 7, "^", "POWER"),
    ("amount.mean", 6, ".", "dots"),
    (".5 + amount", 0, ".", "0.5"),
    ("1_000", 1, "_000", "nothing can follow"),
    ("0x1F", 1, "x1F", "nothing can follow"),
    ("1e999", 0, "1e999", "float64"),
    ("\u0661 + 1", 0, "\u0661", "no meaning"),
    ("INTERVAL -", 0, "INTERVAL -", "one expression"),
    ("é > 1", 0, "é", 'as in "é"'),
    ("'\ud800'", 1, "\ud800", "surrogate"),
    ("amount > ?", 9, "?", "no parameters"),
    ("amount > :x", 9, ":", "no parameters"),
    ("*", 0, "*", "name a field"),
    ("()", 0, "()", "not something"),
    ("{{ amount }}", 0, "{", "no meaning"),
    ("amount > NOT flag", 9, "NOT flag", "parentheses"),
    ("1 < amount < 3", 0, "1 < amount", "parentheses"),
    ("flag = amount IS NULL", 7, "amount IS NULL", "parentheses"),
    ("amount IS NULL IS NULL", 0, "amount IS NULL", "parentheses"),
    # what is SQL, but not here
    ("NOW() > at", 0, "NOW", "clock"),
    ("CURRENT_DATE > at", 0, "CURRENT_DATE > at", "clock"),
    ("COUNT(*) > 3", 0, "COUNT", "window"),
    ("sum(amount) > 3", 0, "sum", "LEAST or GREATEST"),
    ("ABS(amount) OVER (PARTITION BY kind)", 12, "OVER", "function"),
    ("(SELECT 1)", 0, "(SELECT 1)", "one event"),
    ("amount IN (SELECT 1)", 11, "SELECT", "missing"),
    ("amount IN mean", 10, "mean", "( was expected"),
    ("amount IN (mean)", 11, "mean", "literals"),
    ("amount IN ()", 11, ")", "missing"),
    ("amount IN (1,)", 12, ",", ") was expected"),
    ("amount IS TRUE", 10, "TRUE", "only IS NULL"),
    ("amount ISNULL", 7, "ISNULL", "IS was expected"),
    ("amount NOT NULL", 7, "NOT", "IS was expected"),
    ("amount IS DISTINCT FROM mean", 7, "IS DISTINCT FROM mean", "IS NULL"),
    ("kind ILIKE 'x'", 5, "ILIKE 'x'", "LOWER"),
    ("kind LIKE 'x' ESCAPE '!'", 14, "ESCAPE '!'", "operator"),
    ("kind LIKE kind", 10, "kind", "string literal"),
    ("kind LIKE 'a\\'", 10, "'a\\'", "backslash"),
    ("at AT TIME ZONE 'UTC'", 0, "at AT TIME ZONE 'UTC'", "timezone"),
    ("IF(flag, 1, 2)", 0, "IF", "CASE WHEN"),
    ("IFNULL(amount, 0)", 0, "IFNULL", "COALESCE"),
    ("MOD(amount, 2)", 0, "MOD", "x % y"),
    ("LOG(amount)", 0, "LOG", "LN"),
    ("HOUR(at)", 0, "HOUR", "EXTRACT"),
    ("TRY_CAST(kind AS DOUBLE)", 0, "TRY_CAST", "CAST"),
    ("COALESC(amount, 0)", 0, "COALESC", "did you mean COALESCE"),
    ("CAST(kind AS INTEGER)", 13, "INTEGER", "DOUBLE, BIGINT, VARCHAR, BOOLEAN"),
    ("CAST(kind AS VARCHAR(3))", 13, "VARCHAR", "function"),
    ("EXTRACT(hours FROM at)", 8, "hours", "did you mean hour"),
    ("EXTRACT(hour FROM at", 7, "(", "not closed"),
    ("SUBSTRING(kind FROM 2)", 15, "FROM", ", was expected"),
    ("TRIM(BOTH 'x' FROM kind)", 5, "BOTH", "cannot be read"),
    ("ABS()", 0, "ABS", "ABS(x)"),
    ("ABS(amount, mean)", 10, ",", "ABS(x)"),
    ("NULLIF(amount)", 0, "NULLIF", "NULLIF(a, b)"),
    ("CASE WHEN flag THEN 1", 21, "", "END"),
    ("CASE flag END", 10, "END", "WHEN was expected"),
    ("like > 3", 0, "like", 'write the field as "like"'),
    # types
    ("kind + 1", 0, "kind", "CAST(kind AS DOUBLE)"),
    ("-kind", 1, "kind", "number is needed"),
    ("amount || 'x'", 0, "amount", "CAST(amount AS VARCHAR)"),
    ("UPPER(amount)", 6, "amount", "CAST(amount AS VARCHAR)"),
    ("kind = 1", 7, "1", "write '1'"),
    ("amount = '1'", 9, "'1'", "remove the quotes"),
    ("flag = 1", 7, "1", "TRUE or FALSE"),
    ("flag + 1", 0, "flag", "CAST(flag AS DOUBLE)"),
    ("at > '2018-04-01'", 5, "'2018-04-01'", "TIMESTAMP '"),
    ("at - at", 0, "at", "EXTRACT(epoch"),
    ("at > 3", 5, "3", "EXTRACT(epoch"),
    ("EXTRACT(hour FROM amount)", 18, "amount", "timestamp is needed"),
    ("amount AND flag", 0, "amount", "amount <> 0"),
    ("NOT kind", 4, "kind", "bool is needed"),
    ("CASE WHEN amount THEN 1 END", 10, "amount", "bool is needed"),
    ("CASE WHEN flag THEN 1 ELSE 'x' END", 27, "'x'", "1 is a number"),
    ("CASE amount WHEN 'x' THEN 1 END", 17, "'x'", "amount is a number"),
    ("COALESCE(kind, 0)", 15, "0", "kind is a string"),
    ("NULLIF(amount, 'x')", 15, "'x'", "amount is a number"),
    ("GREATEST(amount, kind)", 17, "kind", "amount is a number"),
    ("amount BETWEEN 1 AND 'x'", 21, "'x'", "amount is a number"),
    ("kind IN ('a', 1)", 14, "1", "kind is a string"),
    ("ROUND(amount, 'x')", 14, "'x'", "number is needed"),
    ("CAST(at AS VARCHAR)", 0, "CAST(at AS VARCHAR)", "EXTRACT"),
    # names
    ("amuont > 3", 0, "amuont", "did you mean amount?"),
    ("AMOUNT > 3", 0, "AMOUNT", "did you mean amount?"),
    ("zzz > 3", 0, "zzz", "there are amount, at"),
    ('kind = "payment"', 7, '"payment"', "single quotes"),
]


@pytest.mark.parametrize(
    ("text", "offset", "offending", "said"), REFUSED, ids=[repr(row[0]) for row in REFUSED]
)
def test_a_refusal_names_the_place_the_text_the_cause_and_the_mend(
    text: str, offset: int, offending: str, said: str
) -> None:
    problem = problems(text)[0]
    assert (problem.offset, problem.text) == (offset, offending)
    assert said in f"{problem.cause}; {problem.mend}"
    assert problem.cause
    assert problem.mend


def test_every_mistake_of_names_and_types_is_reported_at_once() -> None:
    found = problems("amuont + kind > 3 AND kidn = 'a' OR mean")
    assert [(p.offset, p.text) for p in found] == [(0, "amuont"), (9, "kind"), (22, "kidn"), (36, "mean")]


def test_functions_and_names_are_reported_together() -> None:
    found = problems("NOW() > amuont AND COUNT(x) > 1")
    assert [p.text for p in found] == ["NOW", "amuont", "COUNT", "x"]


def test_an_unknown_name_is_no_type_error_too() -> None:
    assert [p.text for p in problems("UPPER(nmae) = 'A' AND nmae + 1 > 2")] == ["nmae", "nmae"]


def test_an_error_is_printed_with_every_problem() -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression("amuont > 3 AND kind", TYPES)
    lines = str(caught.value).splitlines()
    assert lines[0] == "character 1: `amuont`: no field or feature has this name; did you mean amount?"
    assert lines[1].startswith("character 16: `kind`: this is a string")


def test_long_offending_text_is_cut() -> None:
    (problem,) = problems("amount = '" + "x" * 500 + "'")
    assert len(problem.text) == 60


@pytest.mark.parametrize(
    "text",
    [
        "(" * 900 + "amount" + ")" * 900,
        "(" * 21 + "amount" + ")" * 21,
        "ABS(" * 400 + "amount" + ")" * 400,
        "CASE WHEN flag THEN " * 60 + "1" + " END" * 60,
        "NOT " * 400 + "flag",
        "- " * 900 + "amount",
        "NOT (" * 150 + "flag" + ")" * 150,
        "+".join(["amount"] * 200),
        " OR ".join(["flag"] * 200),
        "flag" + " = flag" * 200,
        "[" * 900,
        "{" * 900,
        "CASE " * 300,
        "amount IN (" * 100,
        "DISTINCT " * 200,
        "amount -> " * 150 + "amount",
    ],
)
def test_hostile_nesting_is_a_problem_and_no_crash(text: str) -> None:
    assert problems(text)


def test_at_most_two_kilobytes_are_read() -> None:
    fits = "kind IN ('" + "x" * 2000 + "')"
    assert compile_expression(fits, TYPES).text == fits
    (problem,) = problems("kind IN ('" + "é" * 1030 + "')")
    assert "2,072 bytes" in problem.cause
    grows = "amount IN (" + ",".join(["1"] * 900) + ")"
    assert len(grows) < 2048
    assert "written out" in problems(grows)[0].cause


def test_nothing_is_known_where_there_are_no_columns() -> None:
    with pytest.raises(ExpressionError, match="no fields or features are known here"):
        compile_expression("amount", {})
