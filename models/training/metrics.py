"""Metrics of predictions by name. scikit-learn computes most; it is imported where it is used."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from features.arrays import Floats
from features.definition.model import Task

Metric: TypeAlias = Callable[[Floats, Floats], float]
"""labels (n,), and scores (n,) or (n, classes), both without NaN, n > 0."""


def roc_auc(labels: Floats, scores: Floats) -> float:
    """Area under the ROC curve; NaN when there is only one class."""
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415  only the `train` extra has scikit-learn

    return float(roc_auc_score(labels > 0, scores)) if 0 < (labels > 0).sum() < len(labels) else np.nan


def average_precision(labels: Floats, scores: Floats) -> float:
    """The step-wise sum of precision over recall, not interpolated; NaN without a positive."""
    from sklearn.metrics import average_precision_score  # noqa: PLC0415  as above

    return float(average_precision_score(labels > 0, scores)) if (labels > 0).any() else np.nan


def logloss(labels: Floats, scores: Floats) -> float:
    """Mean negative log-likelihood, natural logarithm; probabilities are kept a float step above 0."""
    if scores.ndim == 1:
        right = np.where(labels > 0, scores, 1 - scores)
    else:
        right = scores[np.arange(len(scores)), labels.astype(np.int64)]
    return float(-np.log(np.maximum(right, np.finfo(np.float64).eps)).mean())


def accuracy(labels: Floats, scores: Floats) -> float:
    """The share of right classes; binary at 0.5."""
    return float((_classes(scores) == labels).mean())


def f1(labels: Floats, scores: Floats) -> float:
    """Binary at 0.5; 0 when nothing is positive and nothing was called so."""
    from sklearn.metrics import f1_score  # noqa: PLC0415  as above

    return float(f1_score(labels > 0, scores >= 0.5, zero_division=0))


def macro_f1(labels: Floats, scores: Floats) -> float:
    """The mean of the classes' F1; a class that is neither there nor predicted is left out."""
    from sklearn.metrics import f1_score  # noqa: PLC0415  as above

    return float(f1_score(labels.astype(np.int64), _classes(scores), average="macro", zero_division=0))


def micro_f1(labels: Floats, scores: Floats) -> float:
    """F1 over all decisions together, which for one class per event is the accuracy."""
    from sklearn.metrics import f1_score  # noqa: PLC0415  as above

    return float(f1_score(labels.astype(np.int64), _classes(scores), average="micro", zero_division=0))


def rmse(labels: Floats, scores: Floats) -> float:
    return float(np.sqrt(np.mean((scores - labels) ** 2)))


def mae(labels: Floats, scores: Floats) -> float:
    return float(np.abs(scores - labels).mean())


def bias(labels: Floats, scores: Floats) -> float:
    """The mean of prediction minus label: positive when the model says too much."""
    return float((scores - labels).mean())


METRICS: Mapping[Task, Mapping[str, Metric]] = {
    "binary": {
        "roc_auc": roc_auc,
        "average_precision": average_precision,
        "logloss": logloss,
        "accuracy": accuracy,
        "f1": f1,
    },
    "multiclass": {"macro_f1": macro_f1, "micro_f1": micro_f1, "accuracy": accuracy, "logloss": logloss},
    "regression": {"rmse": rmse, "mae": mae, "bias": bias},
}


def _classes(scores: Floats) -> Floats:
    chosen = scores >= 0.5 if scores.ndim == 1 else scores.argmax(axis=1)
    return np.asarray(chosen, dtype=np.float64)
