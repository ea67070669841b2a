"""What a model is to those who score with it."""

from typing import Protocol

from features.arrays import Floats
from features.definition.model import Definition, RecordLabel


class Scorer(Protocol):
    """A loaded model. It keeps no state between calls and uses the calling thread only."""

    def predict(self, matrix: Floats) -> Floats:
        """Score a feature matrix.

        matrix: (n, features) in model order, NaN is missing.
        Returns (n,): the probability of the positive class (binary) or the value (regression); or
        (n, classes): probabilities in the order of the label's classes (multiclass).
        """
        ...


class Explainable(Protocol):
    """A model whose scores can be split into what each feature adds to them."""

    def contributions(self, matrix: Floats) -> Floats:
        """SHAP values on the model's raw scale (log-odds for classes), shape (n, outputs, features).

        With the expected value, which is left out, they add up to the raw score. This costs about a
        hundred predictions a row: ask for the rows that need it.
        """
        ...


class ModelMismatch(Exception):
    """The model does not fit the definition: other features, another task, another number of classes."""


def output_count(definition: Definition) -> int:
    """How many numbers a model of this use case gives per event."""
    if definition.task != "multiclass":
        return 1
    assert isinstance(definition.label, RecordLabel), "a multiclass task has a label with classes"
    return len(definition.label.classes)
