"""LightGBM models in LightGBM's own text format, scored on one thread."""

from collections.abc import Sequence

import numpy as np

from features.arrays import Floats
from features.definition.model import Task
from models.scorer import ModelMismatch
from models.threads import prepare_lightgbm, taking_nothing_along

prepare_lightgbm()

with taking_nothing_along():
    import lightgbm as lightgbm  # noqa: PLC0414  prepared first; training takes it from here

OBJECTIVES: dict[Task, frozenset[str]] = {
    "binary": frozenset({"binary"}),
    "multiclass": frozenset({"multiclass"}),
    "regression": frozenset({
        "regression", "regression_l1", "huber", "fair", "poisson", "quantile", "mape", "gamma", "tweedie",
    }),
}  # fmt: skip
"""Objectives whose `predict` gives what `Scorer.predict` promises, by task."""


class BoosterScorer:
    """A Booster read from text. `Booster.predict` takes its number of threads per call only."""

    def __init__(self, text: str, task: Task, features: Sequence[str], outputs: int) -> None:
        """Raises `ModelMismatch` when the text is no model, or not one of this task and these features."""
        try:
            booster = lightgbm.Booster(model_str=text)
        except lightgbm.basic.LightGBMError as error:
            raise ModelMismatch(f"not a LightGBM model: {error}") from error
        _check(booster, text, task, tuple(features), outputs)
        self._booster = booster
        self._features = len(features)
        self._outputs = outputs

    def predict(self, matrix: Floats) -> Floats:
        """See `Scorer.predict`. A matrix of another width is a bug of the caller's."""
        assert matrix.shape[1:] == (self._features,), matrix.shape
        if not len(matrix):  # LightGBM refuses an empty matrix
            return np.empty(0 if self._outputs == 1 else (0, self._outputs))
        return np.asarray(self._booster.predict(matrix, num_threads=1), dtype=np.float64)

    def contributions(self, matrix: Floats) -> Floats:
        """See `Explainable.contributions`."""
        n = len(matrix)
        if not n:
            return np.empty((0, self._outputs, self._features))
        flat = np.asarray(self._booster.predict(matrix, pred_contrib=True, num_threads=1), dtype=np.float64)
        return flat.reshape(n, self._outputs, self._features + 1)[:, :, :-1]


def _check(booster: lightgbm.Booster, text: str, task: Task, features: tuple[str, ...], outputs: int) -> None:
    own = tuple(booster.feature_name())
    if len(own) != len(features):
        raise ModelMismatch(f"the model has {len(own)} features, the definition {len(features)}")
    for at, (theirs, ours) in enumerate(zip(own, features, strict=True), start=1):
        if theirs != ours:
            raise ModelMismatch(f"feature {at} is {theirs!r} in the model and {ours!r} in the definition")
    if booster.num_model_per_iteration() != outputs:
        given = booster.num_model_per_iteration()
        raise ModelMismatch(f"the model gives {given} number(s) per event, the task needs {outputs}")
    objective = _objective(text)
    if objective not in OBJECTIVES[task]:
        raise ModelMismatch(
            f"the model was trained for {objective!r}, which is no objective for a {task} task"
        )


def _objective(text: str) -> str:
    """The first word of the header's line ``objective=binary sigmoid:1``; empty where there is none."""
    for line in text[: text.find("\nTree=")].splitlines():
        if line.startswith("objective="):
            return line.removeprefix("objective=").split(" ", 1)[0]
    return ""
