"""Tree to numpy: types are checked, constants are computed once, and closures are left."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import TypeAlias

import numpy as np

from features.arrays import Column
from features.expression import logic
from features.expression.casts import CAST_TYPES, CASTS
from features.expression.functions import FUNCTIONS, OPERATORS, Function, Kernel
from features.expression.local_time import extract, timestamp_ms
from features.expression.mends import mend_for_type, mend_for_types, name_problem
from features.expression.problem import ExpressionProblem, problem_at
from features.expression.strings import like, like_matcher
from features.expression.tree import ColumnType, Node

Columns: TypeAlias = Mapping[str, Column]
Run: TypeAlias = Callable[[Columns], Column]

LITERALS: dict[str, ColumnType | None] = {
    "number": "number",
    "string": "string",
    "truth": "bool",
    "timestamp": "timestamp",
    "null": None,
}
"""The kinds of literals and their types."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A checked part of an expression."""

    type: ColumnType | None
    """None: it is null whatever the event, or it is wrong; either fits any type."""
    run: Run
    """To an array of shape (n,), which may be the caller's own or shared; (1,) if constant."""
    constant: bool


class Compiler:
    """Compiles trees of one text, and collects what is wrong with them in `problems`."""

    def __init__(self, text: str, types: Mapping[str, ColumnType], zone: tzinfo) -> None:
        self.text = text
        self.types = types
        self.zone = zone
        self.problems: list[ExpressionProblem] = []

    def compile(self, node: Node) -> Compiled:
        return FORMS.get(node.op, Compiler._apply)(self, node)

    def _problem(self, node: Node, cause: str, mend: str) -> None:
        self.problems.append(problem_at(self.text, node.start, node.end, cause, mend))

    def _source(self, node: Node) -> str:
        return self.text[node.start : node.end]

    # -- leaves

    def _name(self, node: Node) -> Compiled:
        name = str(node.value)
        if name not in self.types:
            self.problems.append(name_problem(self.text, name, node.start, node.end, self.types))
            return null_of(None)
        type_ = self.types[name]
        return Compiled(type_, (lambda columns: columns[name]) if type_ == "string" else floats(name), False)

    def _timestamp(self, node: Node) -> Compiled:
        try:
            return literal("timestamp", timestamp_ms(str(node.value), self.zone))
        except ValueError:
            self._problem(node, "not a timestamp", "write it as in TIMESTAMP '2018-04-01 12:30:00'")
            return null_of("timestamp")

    def _literal(self, node: Node) -> Compiled:
        return literal(LITERALS[node.op], node.value)

    # -- operands

    def _operand(self, node: Node, wanted: ColumnType) -> Compiled:
        """`node`, which must be of the wanted type."""
        operand = self.compile(node)
        if operand.type is None:
            return null_of(wanted)
        if operand.type != wanted:
            self._problem(
                node,
                f"this is a {operand.type}, and a {wanted} is needed here",
                mend_for_type(self._source(node), operand.type, wanted),
            )
            return null_of(wanted)
        return operand

    def _same(self, nodes: Sequence[Node]) -> tuple[ColumnType | None, list[Compiled]]:
        """Operands that must be of one type, and that type."""
        operands = [self.compile(node) for node in nodes]
        pairs = list(zip(nodes, operands, strict=True))
        first, common = next(((n, o.type) for n, o in pairs if o.type is not None), (None, None))
        for node, operand in pairs:
            if first is not None and operand.type not in (common, None):
                self._problem(
                    node,
                    f"this is a {operand.type}, but {self._source(first)} is a {common}",
                    mend_for_types(self.text, (node, operand.type), (first, common)),
                )
        return common, [o if o.type == common else null_of(common) for o in operands]

    # -- functions and operators

    def _apply(self, node: Node) -> Compiled:
        function = FUNCTIONS.get(node.op) or OPERATORS[node.op]
        operands: list[Compiled | None] = [None] * len(node.arguments)
        alike = [i for i in range(len(operands)) if function.operand(i) == "same"]
        same, compiled = self._same([node.arguments[i] for i in alike])
        for i, operand in zip(alike, compiled, strict=True):
            operands[i] = operand
        if node.op == "IN":
            self._only_literals(node.arguments[1:])
        given = [
            operand if operand is not None else self._fixed(node.arguments[i], function, i)
            for i, operand in enumerate(operands)
        ]
        gives = same if function.gives == "same" else function.gives
        return applied(gives, function.kernel_for(same), given)

    def _fixed(self, node: Node, function: Function, index: int) -> Compiled:
        wanted = function.operand(index)
        assert wanted != "same"
        return self._operand(node, wanted)

    def _only_literals(self, nodes: Sequence[Node]) -> None:
        for node in nodes:
            inner = node.arguments[0] if node.op == "NEGATE" else node
            if inner.op not in LITERALS:
                self._problem(node, "IN takes a list of literals", "write comparisons joined with OR")

    def _like(self, node: Node) -> Compiled:
        operand = self._operand(node.arguments[0], "string")
        pattern = node.arguments[1]
        if pattern.op != "string":
            self._problem(pattern, "the pattern of LIKE must be a string literal", "write it as in LIKE 'a%'")
            return null_of("bool")
        try:
            return applied("bool", like(like_matcher(str(pattern.value))), [operand])
        except ValueError as error:
            self._problem(pattern, str(error), "double the backslash")
            return null_of("bool")

    def _cast(self, node: Node) -> Compiled:
        target = str(node.value)
        operand = self.compile(node.arguments[0])
        if operand.type is None:
            return null_of(CAST_TYPES[target])
        kernel = CASTS.get((operand.type, target))
        if kernel is None:
            cause = f"a {operand.type} is not cast to {target}"
            self._problem(
                node, cause, "use EXTRACT for a timestamp's parts, EXTRACT(epoch FROM x) for seconds"
            )
            return null_of(CAST_TYPES[target])
        return applied(CAST_TYPES[target], kernel, [operand])

    def _extract(self, node: Node) -> Compiled:
        operand = self._operand(node.arguments[0], "timestamp")
        return applied("number", extract(str(node.value), self.zone), [operand])

    def _case(self, node: Node) -> Compiled:
        simple = node.op == "CASE OF"
        branches = node.arguments[simple:]
        whens, thens = branches[:-1:2], branches[1::2]
        if simple:
            same, (subject, *values) = self._same([node.arguments[0], *whens])
            kernel = OPERATORS["="].kernel_for(same)
            conditions = [applied("bool", kernel, [subject, value]) for value in values]
        else:
            conditions = [self._operand(when, "bool") for when in whens]
        type_, values = self._same([*thens, branches[-1]])
        chosen = values[-1]
        for condition, value in zip(reversed(conditions), reversed(values[:-1]), strict=True):
            chosen = applied(type_, logic.choose, [condition, value, chosen])
        return chosen


FORMS: dict[str, Callable[[Compiler, Node], Compiled]] = {
    **dict.fromkeys(LITERALS, Compiler._literal),
    "name": Compiler._name,
    "timestamp": Compiler._timestamp,
    "CASE": Compiler._case,
    "CASE OF": Compiler._case,
    "CAST": Compiler._cast,
    "LIKE": Compiler._like,
    "EXTRACT": Compiler._extract,
}
"""What is more than a function of its operands."""


def literal(type_: ColumnType | None, value: str | float | bool | None) -> Compiled:
    constant = np.array([value], np.object_ if type_ == "string" else np.float64)  # None is NaN
    return Compiled(type_, lambda _: constant, True)


def null_of(type_: ColumnType | None) -> Compiled:
    return literal(type_, None)


def floats(name: str) -> Run:
    """Reads a column that is not of strings; infinity is null, as it is everywhere."""

    def run(columns: Columns) -> Column:
        column = np.ascontiguousarray(columns[name], np.float64)
        infinite = np.isinf(column)
        return np.where(infinite, np.nan, column) if infinite.any() else column

    return run


def applied(type_: ColumnType | None, kernel: Kernel, operands: Sequence[Compiled]) -> Compiled:
    """`kernel` over `operands`; computed here and now if all of them are constant."""
    runs = [operand.run for operand in operands]
    if all(operand.constant for operand in operands):
        with np.errstate(all="ignore"):
            value = kernel(*(run({}) for run in runs))
        return Compiled(type_, lambda _: value, True)
    match runs:
        case [only]:
            return Compiled(type_, lambda columns: kernel(only(columns)), False)
        case [left, right]:
            return Compiled(type_, lambda columns: kernel(left(columns), right(columns)), False)
        case _:
            return Compiled(type_, lambda columns: kernel(*[run(columns) for run in runs]), False)
