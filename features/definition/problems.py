"""What is wrong with a use case file, and where."""

from collections.abc import Sequence
from dataclasses import dataclass

EXCERPT_MAX = 60


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands: line and column from 1 in a file, or a path in plain data."""

    line: int = 0
    column: int = 0
    path: str = ""

    def __str__(self) -> str:
        return self.path or f"{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake, in words for the person who wrote the file."""

    place: str
    """``file:line:column``; for plain data ``name:$.path.to[0].it``."""
    text: str
    """The offending text."""
    cause: str
    mend: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}: {self.cause}; {self.mend}"


class DefinitionError(ValueError):
    """The use case cannot be read; `problems` holds every mistake, in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


def excerpt(text: str) -> str:
    """`text` on one line, cut to a length that fits a message."""
    line = " ".join(text.split())
    return line if len(line) <= EXCERPT_MAX else line[: EXCERPT_MAX - 1] + "…"
