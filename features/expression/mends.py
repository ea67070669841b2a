"""How to mend a wrong name or type."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from features.expression.problem import ExpressionProblem, problem_at
from features.expression.scan import Token, close_match
from features.expression.tree import ColumnType, Node

NAMES_SHOWN_MAX = 12
SECONDS = "EXTRACT(epoch FROM …) gives a timestamp's seconds"


def name_problem(
    text: str, name: str, start: int, end: int, types: Mapping[str, ColumnType]
) -> ExpressionProblem:
    """The problem of a name that is not among `types`."""
    close = close_match(name, types)
    if close:
        mend = f"did you mean {close}?"
    elif types:
        shown = sorted(types)[:NAMES_SHOWN_MAX]
        mend = f"there are {', '.join(shown)}{' …' if len(types) > len(shown) else ''}"
    else:
        mend = "no fields or features are known here"
    if text[start] == '"':
        mend = f"write text in single quotes, as in 'text'; of names, {mend}"
    return problem_at(text, start, end, "no field or feature has this name", mend)


def unknown_names(
    tokens: Sequence[Token],
    text: str,
    types: Mapping[str, ColumnType],
    known_problems: Sequence[ExpressionProblem],
) -> list[ExpressionProblem]:
    """The unknown names of an expression that has no tree, as far as tokens tell."""
    reported = {problem.offset for problem in known_problems}
    found = []
    for i, token in enumerate(tokens):
        called = i + 1 < len(tokens) and tokens[i + 1].source == "("
        is_part = i > 1 and tokens[i - 2].keyword == "EXTRACT" and tokens[i - 1].source == "("
        name = token.value if token.kind == "quoted" else token.source
        if token.is_name and not called and not is_part and name not in types and token.start not in reported:
            found.append(name_problem(text, name, token.start, token.end, types))
    return found


def with_quotes(
    problem: ExpressionProblem, tokens: Sequence[Token], types: Mapping[str, ColumnType]
) -> ExpressionProblem:
    """`problem`, but where a field has the name of a keyword, how to write that."""
    for token in tokens:
        if token.start == problem.offset and token.source in types and not token.is_name:
            return replace(
                problem, cause="a keyword of SQL stands here", mend=f'write the field as "{token.source}"'
            )
    return problem


def mend_for_type(source: str, given: ColumnType, wanted: ColumnType) -> str:
    """How `source` of one type may stand where another is needed."""
    if given == "timestamp" or wanted == "timestamp":
        return (
            SECONDS if given == "timestamp" else "write a timestamp field, or TIMESTAMP '2018-04-01 12:30:00'"
        )
    if wanted == "number":
        return f"write CAST({source} AS DOUBLE)"
    if wanted == "string":
        return f"write CAST({source} AS VARCHAR)"
    comparison = "<> 0" if given == "number" else "= 'yes'"
    return f"compare it, as in {source} {comparison}"


def mend_for_types(
    text: str, one: tuple[Node, ColumnType | None], other: tuple[Node, ColumnType | None]
) -> str:
    """How two operands may come to be of one type: change the literal, if one is."""
    types = {one[1], other[1]}
    literals = [node for node, _ in (one, other) if node.op in ("string", "number", "truth")]
    if "timestamp" in types:
        return "write TIMESTAMP '2018-04-01 12:30:00', or compare EXTRACT(epoch FROM x) with seconds"
    if types == {"string", "number"} and literals:
        source = text[literals[0].start : literals[0].end]
        return "remove the quotes" if literals[0].op == "string" else f"write '{source}'"
    if types == {"bool", "number"} and literals and literals[0].op == "number":
        return "write TRUE or FALSE"
    node = one[0] if one[1] != "number" else other[0]
    source = text[node.start : node.end]
    return f"write CAST({source} AS {'VARCHAR' if types == {'string', 'bool'} else 'DOUBLE'})"
