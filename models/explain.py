"""Reason codes: the features that moved a score most. Costly; ask for the rows that need them."""

from dataclasses import dataclass

import numpy as np

from features.arrays import Floats
from models.bundle import Bundle
from models.decision import predicted_class


@dataclass(frozen=True, slots=True)
class ReasonCode:
    feature: str
    contribution: float
    """SHAP value on the model's raw scale: log-odds for classes, the label's unit for regression."""


def contributions(bundle: Bundle, matrix: Floats, top: int) -> list[list[ReasonCode]]:
    """At most `top` reason codes for each row of a feature matrix (n, features), strongest first.

    Binary: the features that raise the score, so a row may have fewer. Multiclass: those that raise the
    predicted class. Regression, where neither direction is the alarming one: the largest either way.
    Equals keep the model's order.
    """
    if not len(matrix):
        return []
    values = bundle.explainer.contributions(matrix)
    if bundle.definition.task == "multiclass":
        chosen = predicted_class(bundle.scorer.predict(matrix))
        values = values[np.arange(len(matrix)), chosen]
    else:
        values = values[:, 0]
    strength = np.abs(values) if bundle.definition.task == "regression" else values
    order = np.argsort(-strength, axis=1, kind="stable")[:, :top]
    names = bundle.definition.feature_names
    return [
        [ReasonCode(names[at], float(row[at])) for at in best.tolist() if force[at] > 0]
        for best, row, force in zip(order, values, strength, strict=True)
    ]
