"""What is wrong with an expression, said so that its writer can mend it."""

from collections.abc import Sequence
from dataclasses import dataclass

TEXT_MAX = 60


@dataclass(frozen=True, slots=True)
class ExpressionProblem:
    """One mistake. `offset` counts characters from the start of the expression's text."""

    offset: int
    text: str
    """The offending text, cut to 60 characters; empty at the end of the expression."""
    cause: str
    mend: str

    def __str__(self) -> str:
        return f"character {self.offset + 1}: `{self.text}`: {self.cause}; {self.mend}"


class ExpressionError(ValueError):
    """An expression that does not compile, with every mistake that could be found at once."""

    def __init__(self, problems: Sequence[ExpressionProblem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.offset))
        super().__init__("\n".join(map(str, self.problems)))


def problem_at(text: str, start: int, end: int, cause: str, mend: str) -> ExpressionProblem:
    """The problem with `text[start:end]`."""
    offending = text[start:end].strip()
    if len(offending) > TEXT_MAX:
        offending = offending[: TEXT_MAX - 1] + "…"
    return ExpressionProblem(start, offending, cause, mend)
