"""Text to tree: sqlglot parses, and nothing is believed that the tokens do not say again.

sqlglot is lenient: it reads ``a > > 3`` as a shift, ``a b`` as an alias, ``EXTRACT(hour FROM a`` without its
parenthesis. So its tree is walked together with the tokens. Every node must be of a class that stands here,
and must account for the next tokens one by one; at the end none may be left. What passes is exactly what a
strict parser would have read, and every node knows its place in the text.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from sqlglot import Tokenizer, exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ErrorLevel

from features.expression.casts import CAST_TYPES
from features.expression.cursor import ALLOWED, Cursor
from features.expression.functions import FUNCTIONS, SPELLINGS
from features.expression.grammar import BINARY, CALLS, COMPARISONS, LOOSE, MENDS, NEGATABLE
from features.expression.local_time import EPOCH_PART, PARTS
from features.expression.problem import ExpressionError, problem_at
from features.expression.scan import Token, close_match
from features.expression.tree import Node

DEPTH_MAX = 100
"""Levels of the tree; a chain such as a + b + c has one for each operator."""

PARENTHESES = "write parentheses, or AND between two comparisons"


def parse(text: str, tokens: Sequence[Token]) -> Node:
    """The tree of an expression that `scan` has let through; raises `ExpressionError`."""
    try:
        tree = _sqlglot_tree(text)
    except Exception:  # noqa: BLE001 - whatever sqlglot's builders raise on nonsense, it is nonsense
        raise _failure(text, "this cannot be read as one expression", ALLOWED) from None
    if _depth(tree) > DEPTH_MAX:
        cause = f"more than {DEPTH_MAX} operators deep"
        raise _failure(text, cause, "split it into several features, or write IN for a chain of OR")
    reader = _Reader(text, tokens)
    node = reader.read(tree)
    reader.finish()
    return node


def _sqlglot_tree(text: str) -> Any:
    """What sqlglot makes of `text` as a condition (no statements, no aliases), its mistakes passed over."""
    parser = Dialect.get_or_raise(None).parser(error_level=ErrorLevel.IGNORE)
    trees = parser.parse_into(exp.Condition, Tokenizer().tokenize(text), text)
    return trees[0] if len(trees) == 1 else None


def _failure(text: str, cause: str, mend: str) -> ExpressionError:
    return ExpressionError([problem_at(text, 0, len(text), cause, mend)])


def _depth(tree: Any) -> int:
    deepest, level = 0, [tree]
    while level and deepest <= DEPTH_MAX:
        deepest += 1
        level = [child for node in level if node is not None for child in node.iter_expressions()]
    return deepest


class _Reader(Cursor):
    """Walks sqlglot's tree and the tokens side by side."""

    def read(self, tree: Any) -> Node:
        """The node for `tree`, which must begin at the current token."""
        if tree is None:
            self.refuse("a name, number or string is missing here", "complete the expression")
        reader = READERS.get(type(tree))
        if reader is None:
            self.unsupported(tree)
        return reader(self, tree)

    def unsupported(self, tree: Any) -> NoReturn:
        name = f"{str(tree.key).upper()} is"
        if isinstance(tree, exp.Binary):
            self.read(tree.this)  # to stand at the operator
            name = "this operator is"
        self.refuse(
            f"{name} not something an expression may hold", MENDS.get(type(tree), ALLOWED), to_end=True
        )

    # -- leaves

    def name(self, tree: Any) -> Node:
        name = self.token.source if self.token.kind == "word" else self.token.value
        if name != tree.name:
            self.refuse("this cannot be read here", ALLOWED)
        token = self.take_kind("word", "quoted")
        return self.node("name", token.start, value=name)

    def literal(self, tree: Any) -> Node:
        if tree.is_string:
            token = self.take_kind("string")
            return self.node("string", token.start, value=token.value)
        token = self.take_kind("number")
        value = float(token.source)
        if not math.isfinite(value):
            self.place -= 1
            self.refuse("not a number that float64 can hold", "write it in decimal, below 1.7e308")
        return self.node("number", token.start, value=value)

    def truth(self, tree: Any) -> Node:
        token = self.take("TRUE" if tree.this else "FALSE")
        return self.node("truth", token.start, value=bool(tree.this))

    def null(self, _: Any) -> Node:
        return self.node("null", self.take("NULL").start)

    def paren(self, tree: Any) -> Node:
        if self.token.source != "(":  # sqlglot's own: a = b IS NULL becomes a = (b IS NULL)
            self.refuse("engines differ in what this comparison applies to", PARENTHESES, to_end=True)
        self.take("(")
        inner = self.read(tree.this)
        self.take(")")
        return inner

    # -- operators

    def binary(self, tree: Any) -> Node:
        start = self.token.start
        symbols = BINARY[type(tree)]
        read = self.operand if isinstance(tree, COMPARISONS) else self.read
        left = read(tree.this)
        self.take(*symbols)
        return self.node(symbols[0], start, left, read(tree.expression))

    def operand(self, tree: Any) -> Node:
        """An operand of a comparison."""
        node = self.read(tree)
        if isinstance(tree, LOOSE):
            self.refuse_node(node, "engines differ in how one comparison groups with another", PARENTHESES)
        return node

    def negate(self, tree: Any) -> Node:
        start = self.take("-").start
        return self.node("NEGATE", start, self.read(tree.this))

    def negation(self, tree: Any) -> Node:
        """NOT before an operand, or within ``x NOT IN``, ``x IS NOT NULL`` and their like."""
        start = self.token.start
        if isinstance(tree.this, NEGATABLE) and self.token.keyword != "NOT":
            return self.node("NOT", start, self.condition(tree.this, negated=True))
        self.take("NOT")
        return self.node("NOT", start, self.read(tree.this))

    def plain_condition(self, tree: Any) -> Node:
        if tree.args.get("negate"):
            start = self.token.start
            return self.node("NOT", start, self.condition(tree, negated=True))
        return self.condition(tree, negated=False)

    def condition(self, tree: Any, negated: bool) -> Node:
        start = self.token.start
        operand = self.operand(tree.this)
        if isinstance(tree, exp.Is):
            return self.is_null(tree, start, operand, negated)
        if negated:
            self.take("NOT")
        if isinstance(tree, exp.Between):
            self.take("BETWEEN")
            low = self.operand(tree.args.get("low"))
            self.take("AND")
            return self.node("BETWEEN", start, operand, low, self.operand(tree.args.get("high")))
        if isinstance(tree, exp.Like):
            self.take("LIKE")
            return self.node("LIKE", start, operand, self.operand(tree.expression))
        self.take("IN")
        return self.node("IN", start, operand, *self.listed(tree.expressions))

    def is_null(self, tree: Any, start: int, operand: Node, negated: bool) -> Node:
        self.take("IS")
        if negated:
            self.take("NOT")
        if not isinstance(tree.expression, exp.Null):
            self.refuse(
                "only IS NULL and IS NOT NULL are read", "compare with =, or write COALESCE(x, FALSE)"
            )
        self.take("NULL")
        return self.node("IS NULL", start, operand)

    # -- what is written like a call

    def listed(self, trees: Sequence[Any], usage: str = "") -> list[Node]:
        """Values in parentheses, between commas; `usage` is how a call of them is written."""
        self.take("(")
        nodes = [self.read(trees[0] if trees else None)]
        for tree in trees[1:]:
            self.take(",")
            nodes.append(self.read(tree))
        if usage and self.token.source == ",":
            self.refuse("it takes no more values", f"write {usage}")
        self.take(")")
        return nodes

    def call(self, tree: Any) -> Node:
        name, keys = CALLS[type(tree)]
        spelled = [spelling for spelling, meant in SPELLINGS.items() if meant == name]
        start = self.take(*spelled).start
        arguments: list[Any] = []
        for key in keys:
            value = tree.args.get(key)
            arguments.extend(value if isinstance(value, list) else [value] if value is not None else [])
        opening = self.token.start
        if not FUNCTIONS[name].accepts(len(arguments)) or self.token.source != "(":
            cause = f"{name} does not take {len(arguments)} value{'' if len(arguments) == 1 else 's'}"
            mend = f"write {FUNCTIONS[name].usage}"
            raise ExpressionError([problem_at(self.text, start, opening, cause, mend)])
        return self.node(name, start, *self.listed(arguments, FUNCTIONS[name].usage))

    def cast(self, tree: Any) -> Node:
        start = self.token.start
        if self.token.keyword == "TIMESTAMP":
            self.take("TIMESTAMP")
            return self.node("timestamp", start, value=self.take_kind("string").value)
        self.take("CAST")
        self.take("(")
        operand = self.read(tree.this)
        self.take("AS")
        target = self.token.value
        if target not in CAST_TYPES:
            self.refuse("not a type to cast to", f"write one of {', '.join(CAST_TYPES)}")
        self.take(target)
        self.take(")")
        return self.node("CAST", start, operand, value=target)

    def extract(self, tree: Any) -> Node:
        start = self.take("EXTRACT").start
        self.take("(")
        part = self.token.value
        if part not in PARTS and part != EPOCH_PART:
            close = close_match(part, [*PARTS, EPOCH_PART])
            names = ", ".join(name.lower() for name in [*PARTS, EPOCH_PART])
            mend = f"did you mean {close.lower()}?" if close else f"there are {names}"
            self.refuse("not a part of a timestamp", mend)
        self.take(part)
        self.take("FROM")
        operand = self.read(tree.expression)
        self.take(")")
        return self.node("EXTRACT", start, operand, value=part)

    def case(self, tree: Any) -> Node:
        start = self.take("CASE").start
        operand = [self.read(tree.this)] if tree.this is not None else []
        branches: list[Node] = []
        for branch in tree.args.get("ifs") or [exp.If()]:
            self.take("WHEN")
            branches.append(self.read(branch.this))
            self.take("THEN")
            branches.append(self.read(branch.args.get("true")))
        default = tree.args.get("default")
        if default is not None:
            self.take("ELSE")
            branches.append(self.read(default))
        else:
            branches.append(Node("null", self.token.start, self.token.start))
        self.take("END")
        return self.node("CASE OF" if operand else "CASE", start, *operand, *branches)


READERS: dict[type[Any], Callable[[_Reader, Any], Node]] = {
    exp.Column: _Reader.name,
    exp.Literal: _Reader.literal,
    exp.Boolean: _Reader.truth,
    exp.Null: _Reader.null,
    exp.Paren: _Reader.paren,
    exp.Neg: _Reader.negate,
    exp.Not: _Reader.negation,
    exp.Cast: _Reader.cast,
    exp.Extract: _Reader.extract,
    exp.Case: _Reader.case,
    **dict.fromkeys(NEGATABLE, _Reader.plain_condition),
    **dict.fromkeys(BINARY, _Reader.binary),
    **dict.fromkeys(CALLS, _Reader.call),
}
"""The allow-list."""
