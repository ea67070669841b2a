"""One LightGBM training run that gives the same model for the same input, whatever the number of threads."""

import re
from typing import Any

import numpy as np

from features.arrays import Bools, Floats
from features.categories import categorical
from features.definition.model import Definition
from models.booster import BoosterScorer, lightgbm
from models.scorer import output_count
from models.training.run import Run, TrainingError


def lightgbm_parameters(definition: Definition, seed: int) -> dict[str, Any]:
    """The definition's parameters, which it has checked, and those that we fix.

    One `seed` stands for all of LightGBM's: it draws the others from it. Histograms are built column-wise
    because the automatic choice is made by timing.
    """
    parameters: dict[str, Any] = {
        **definition.training.parameters,
        "objective": definition.task,
        "seed": seed,
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
    }
    if definition.task == "multiclass":
        parameters["num_class"] = output_count(definition)
    return parameters


def fit(run: Run, chosen: Bools) -> str:
    """Train on the labelled ones of the training events that `chosen` (n,) picks; returns the model's text.

    Raises `TrainingError` when there is nothing to learn from.
    """
    definition, training = run.definition, run.training
    index = np.flatnonzero(chosen & ~np.isnan(training.labels))
    labels = training.labels[index]
    _check_labels(definition, labels)
    rounds = definition.training.rounds

    def tell(env: lightgbm.callback.CallbackEnv) -> None:
        run.progress("train", env.iteration + 1, rounds)

    data = lightgbm.Dataset(
        training.matrix[index],
        labels,
        weight=_weights(training.weights[index]),
        feature_name=list(definition.feature_names),
        categorical_feature=list(categorical(definition)),
    )
    try:
        threaded = {**run.parameters, "num_threads": run.options.threads}
        booster = lightgbm.train(threaded, data, num_boost_round=rounds, callbacks=[tell])
    except lightgbm.basic.LightGBMError as error:
        raise TrainingError(f"LightGBM refuses: {error}", "Mend training.parameters") from error
    return _without_threads(booster.model_to_string())


def load(definition: Definition, text: str) -> BoosterScorer:
    return BoosterScorer(text, definition.task, definition.feature_names, output_count(definition))


def _check_labels(definition: Definition, labels: Floats) -> None:
    if not len(labels):
        raise TrainingError(
            "no event has a label", "Widen the training time, or wait until labels have matured"
        )
    if definition.task == "regression":
        return
    found = np.unique(labels)
    last = max(1, output_count(definition) - 1)
    strange = found[(found < 0) | (found > last) | (found != np.floor(found))]
    if len(strange):
        cause = f"the label has the value {strange[0]:g}"
        raise TrainingError(cause, f"A {definition.task} task has whole labels from 0 to {last}")
    if len(found) == 1:
        cause = f"all {len(labels)} labels are {found[0]:g}"
        raise TrainingError(cause, "Widen the training time until it holds more than one class")


def _weights(weights: Floats) -> Floats | None:
    return None if bool((weights == 1.0).all()) else weights


def _without_threads(text: str) -> str:
    """The text ends with the parameters in force; the number of threads changes nothing in the model."""
    return re.sub(r"\[num_threads: \d+\]", "[num_threads: 1]", text)
