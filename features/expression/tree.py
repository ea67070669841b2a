"""The tree of an expression, and the one way it is written."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sqlglot import Tokenizer, TokenType

ColumnType: TypeAlias = Literal["number", "bool", "string", "timestamp"]


@dataclass(frozen=True, slots=True)
class Node:
    """`text[start:end]` of an expression.

    op: an operator as it is written (``+``, ``AND``, ``IS NULL``), the name of a function, ``NEGATE``,
    ``IN``, ``CASE`` (arguments: condition and value by turns, then the value of ELSE), ``CASE OF`` (the
    same after the operand), ``CAST`` and ``EXTRACT`` (`value`: the type or part), ``name``, or the kind of
    literal: ``number``, ``string``, ``truth``, ``timestamp``, ``null``.
    """

    op: str
    start: int
    end: int
    arguments: tuple["Node", ...] = ()
    value: str | float | bool | None = None


OPERATOR_RANK = {
    "OR": 1,
    "AND": 2,
    "NOT": 3,
    **dict.fromkeys(("=", "<>", "<", "<=", ">", ">=", "IS NULL", "IN", "BETWEEN", "LIKE"), 4),
    "||": 5,
    **dict.fromkeys("+-", 6),
    **dict.fromkeys("*/%", 7),
    "NEGATE": 8,
}
"""How tightly operators bind; what is not here needs no parentheses."""

PRIMARY_RANK = 9
NEGATABLE = frozenset(("IS NULL", "IN", "BETWEEN", "LIKE"))
BARE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
NOT_BARE = frozenset(("ANY", "CONNECT_BY_ROOT", "IF", "NEXT", "PRIOR"))
"""Words that sqlglot's parser, but not its tokenizer, treats apart."""


def render(node: Node) -> str:
    """The expression as SQL: keywords in capitals, one space, no parentheses that change nothing."""
    if node.op in LEAVES:
        return LEAVES[node.op](node.value)
    if node.op in FORMS:
        return FORMS[node.op](node)
    if node.op in OPERATOR_RANK:
        return _binary(node)
    return f"{node.op}({', '.join(map(render, node.arguments))})"


def number_text(value: float) -> str:
    """The shortest text that reads back as `value`; whole numbers without a fraction, as in Postgres."""
    text = repr(value + 0.0)
    return text.removesuffix(".0")


def _name(name: str) -> str:
    """A name, quoted unless the tokenizer takes it for nothing but a name."""
    if BARE_NAME.fullmatch(name) and name.upper() not in NOT_BARE:
        kinds = [token.token_type for token in Tokenizer().tokenize(name)]
        if kinds == [TokenType.VAR]:
            return name
    return '"' + name.replace('"', '""') + '"'


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _not(node: Node) -> str:
    (inner,) = node.arguments
    return (
        _condition(inner, "NOT ") if inner.op in NEGATABLE else f"NOT {_inside(inner, OPERATOR_RANK['NOT'])}"
    )


def _negate(node: Node) -> str:
    return f"-{_inside(node.arguments[0], PRIMARY_RANK)}"


def _rank(node: Node) -> int:
    if node.op == "NOT" and node.arguments[0].op in NEGATABLE:
        return OPERATOR_RANK[node.arguments[0].op]
    return OPERATOR_RANK.get(node.op, PRIMARY_RANK)


def _inside(node: Node, rank: int) -> str:
    """`node` as an operand that must bind at least as tightly as `rank`."""
    text = render(node)
    return text if _rank(node) >= rank else f"({text})"


def _binary(node: Node) -> str:
    rank = OPERATOR_RANK[node.op]
    left, right = node.arguments
    # Comparisons do not chain; everything else groups from the left.
    chains = rank != OPERATOR_RANK["="]
    return f"{_inside(left, rank if chains else rank + 1)} {node.op} {_inside(right, rank + 1)}"


def _condition(node: Node, negation: str = "") -> str:
    rank = OPERATOR_RANK[node.op] + 1
    first, *rest = (_inside(argument, rank) for argument in node.arguments)
    match node.op:
        case "IS NULL":
            return f"{first} IS {negation}NULL"
        case "IN":
            return f"{first} {negation}IN ({', '.join(rest)})"
        case "BETWEEN":
            return f"{first} {negation}BETWEEN {rest[0]} AND {rest[1]}"
        case _:
            return f"{first} {negation}LIKE {rest[0]}"


def _case(node: Node) -> str:
    parts = [render(argument) for argument in node.arguments]
    head = f"CASE {parts.pop(0)}" if node.op == "CASE OF" else "CASE"
    otherwise = parts.pop()
    branches = [f" WHEN {parts[i]} THEN {parts[i + 1]}" for i in range(0, len(parts), 2)]
    tail = "" if node.arguments[-1].op == "null" else f" ELSE {otherwise}"
    return f"{head}{''.join(branches)}{tail} END"


LEAVES: dict[str, Callable[[Any], str]] = {
    "name": _name,
    "number": number_text,
    "string": _quoted,
    "timestamp": lambda value: f"TIMESTAMP {_quoted(value)}",
    "truth": lambda value: "TRUE" if value else "FALSE",
    "null": lambda _: "NULL",
}
FORMS: dict[str, Callable[[Node], str]] = {
    "NOT": _not,
    "NEGATE": _negate,
    "CASE": _case,
    "CASE OF": _case,
    "CAST": lambda node: f"CAST({render(node.arguments[0])} AS {node.value})",
    "EXTRACT": lambda node: f"EXTRACT({node.value} FROM {render(node.arguments[0])})",
    **dict.fromkeys(NEGATABLE, _condition),
}
