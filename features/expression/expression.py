"""A compiled expression."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from features.arrays import Column
from features.expression.compile import Compiler, Run
from features.expression.local_time import UnknownZone, time_zone
from features.expression.mends import unknown_names, with_quotes
from features.expression.parse import parse
from features.expression.problem import ExpressionError, ExpressionProblem
from features.expression.scan import BYTES_MAX, scan, too_long
from features.expression.tree import ColumnType, Node, render


@dataclass(frozen=True, slots=True)
class Expression:
    """A scalar SQL expression over the columns of a batch."""

    text: str
    """Canonical: the same however the expression was spaced, capitalised or put in needless parentheses."""
    names: frozenset[str]
    """The columns it reads."""
    type: ColumnType
    timezone: str
    """The zone of EXTRACT and of timestamp literals."""
    _run: Run = field(repr=False, compare=False)

    def evaluate(self, columns: Mapping[str, Column], n: int) -> Column:
        """The value for each of n events, shape (n,), an array of the caller's own.

        columns: at least `names`, each of shape (n,). Numbers, bools and timestamps are float64 and NaN is
        null; strings are objects and None is null. A batch gives the same bits as its rows one by one.
        """
        with np.errstate(all="ignore"):
            values = self._run(columns)
        if self.type == "string":
            result = np.empty(n, np.object_)
            result[:] = values
            return result
        result = np.empty(n, np.float64)
        result[:] = values
        result[np.isnan(result)] = np.nan  # one NaN: which of its bit patterns came out depends on n
        return result


def compile_expression(text: str, types: Mapping[str, ColumnType], timezone: str = "UTC") -> Expression:
    """Compile SQL over columns of the given types; raises `ExpressionError` with every mistake found.

    timezone: an IANA name, for EXTRACT and for timestamp literals that name no zone.
    """
    try:
        zone = time_zone(timezone)
    except UnknownZone:
        cause, mend = "no such time zone on this system", "write a name such as UTC or Europe/Paris"
        raise ExpressionError([ExpressionProblem(0, timezone, cause, mend)]) from None
    tokens, problems = scan(text)
    if problems:
        raise ExpressionError(problems + unknown_names(tokens, text, types, problems))
    try:
        tree = parse(text, tokens)
    except ExpressionError as error:
        problems = [with_quotes(problem, tokens, types) for problem in error.problems]
        raise ExpressionError(problems + unknown_names(tokens, text, types, problems)) from None
    compiler = Compiler(text, types, zone)
    compiled = compiler.compile(tree)
    if compiler.problems:
        raise ExpressionError(compiler.problems)
    canonical = render(tree)
    size = len(canonical.encode())
    if size > BYTES_MAX:
        raise ExpressionError([too_long(text, f"written out it is {size:,} bytes")])
    return Expression(canonical, frozenset(_names(tree)), compiled.type or "number", timezone, compiled.run)


def _names(node: Node) -> Iterator[str]:
    """The columns that a tree reads."""
    if node.op == "name":
        yield str(node.value)
    for argument in node.arguments:
        yield from _names(argument)
