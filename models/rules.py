"""The fallback model: the definition's rules, first match wins."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from features.arrays import Column, Floats, Ints
from features.definition.model import Definition
from models.cases import first_match
from models.scorer import output_count


@dataclass(frozen=True, slots=True)
class RuleScores:
    """What the rules say of n events."""

    scores: Floats
    """(n,), or (n, classes)."""
    rule: Ints
    """(n,): the place of the rule that matched; the last one, `otherwise`, always does."""
    texts: tuple[str | None, ...]
    """The reason of each rule by its place."""

    @property
    def reasons(self) -> list[str | None]:
        """The reason of each event."""
        texts = self.texts
        return [texts[at] for at in self.rule.tolist()]


class RuleModel:
    """Missing values are missing to the rules, and a condition that is null does not match."""

    def __init__(self, definition: Definition) -> None:
        self._rules = definition.rules
        self._outputs = output_count(definition)
        self._table = np.array([rule.score for rule in self._rules], dtype=np.float64)
        self._texts = tuple(rule.reason for rule in self._rules)

    def predict(self, columns: Mapping[str, Column], n: int) -> RuleScores:
        """columns: fields and features by name, each (n,)."""
        place = first_match([rule.when for rule in self._rules], columns, n)
        scores = self._table[place]
        return RuleScores(scores[:, 0] if self._outputs == 1 else scores, place, self._texts)
