"""One training run: what it is given, and what it raises."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from features.categories import Categories
from features.definition.model import Definition
from features.past.history import History
from features.past.offline import TrainingSet

Progress: TypeAlias = Callable[[str, int, int], None]
"""What is being done, how many steps of it are done, and of how many."""


def silent(what: str, done: int, total: int) -> None:
    """For those who do not watch."""


class TrainingError(Exception):
    """No model can be trained from what was given. The text names the cause and the mend."""

    def __init__(self, cause: str, mend: str) -> None:
        super().__init__(f"{cause}. {mend}")
        self.cause = cause
        self.mend = mend


@dataclass(frozen=True, slots=True)
class TrainOptions:
    version: str | None = None
    """The bundle's version and directory name; None makes it from the model digest and the fingerprints."""
    seed: int = 0
    threads: int = 1
    """More are faster and give the same model."""
    test_end: int | None = None
    """Where evaluation after the training time ends, in the time unit; None takes all there is."""
    lineage: Mapping[str, Any] = field(default_factory=dict)
    """JSON data to keep: where the history came from, who trained and why."""


@dataclass(frozen=True, slots=True)
class Run:
    """What every step of a training run works on."""

    definition: Definition
    history: History
    categories: Categories
    training: TrainingSet
    """The events of [start, end), n of them, labelled or not."""
    start: int
    end: int
    parameters: Mapping[str, Any]
    options: TrainOptions
    progress: Progress
