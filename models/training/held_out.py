"""How good the model is, measured on events that the measured model has not seen."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from features.arrays import Bools
from features.categories import merge_rare
from features.past.offline import TrainingSet, build_training_set
from models.scorer import Scorer
from models.training.evaluate import Scored, evaluate_predictions
from models.training.fit import fit, load
from models.training.run import Run, TrainingError
from models.training.split import group_test_mask, time_split

Split: TypeAlias = Literal["after_training", "end_of_training", "groups", "none"]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What was measured, and on what."""

    split: Split
    """`after_training` measures the model itself on later events. `end_of_training` and `groups` measure a
    second model, trained alike on what is left."""
    events: int
    """Labelled events measured on."""
    metrics: Mapping[str, float]
    """As `evaluate_predictions` names them; empty for `none`."""


def measure(run: Run, final: Scorer) -> HeldOut:
    """A group split always holds out groups; a time split takes later events from end + gap on.

    Where the history has no later labels, the last part of the training time is held out from a second
    model. `none` where the gap leaves that nothing to learn from, or it nothing to be measured on.
    """
    evaluation = run.definition.evaluation
    if evaluation.split == "group":
        assert evaluation.group is not None, "a group split names its entity"
        test = group_test_mask(run.training.events.keys[evaluation.group], evaluation.test_share)
        return _second_model(run, ~test, test, "groups")
    after = run.end + evaluation.gap
    stop = run.options.test_end
    if stop is None:
        stop = int(run.history.events.times.max(initial=run.end)) + 1
    if stop > after:
        later = build_training_set(run.definition, run.history, after, stop, run.categories)
        if not np.isnan(later.labels).all():
            return _score(run, later, final, "after_training")
    train, test = time_split(run.training.events.times, run.start, run.end, evaluation.gap)
    return _second_model(run, train, test, "end_of_training")


def _second_model(run: Run, train: Bools, test: Bools, split: Split) -> HeldOut:
    index = np.flatnonzero(test & ~np.isnan(run.training.labels))
    if not len(index):
        return HeldOut("none", 0, {})
    matrix = merge_rare(run.definition, run.training.matrix, train)
    training = replace(run.training, matrix=matrix)
    try:
        scorer = load(run.definition, fit(replace(run, training=training), train))
    except TrainingError:  # too little is left: the final model stands, unmeasured, and the report says so
        return HeldOut("none", 0, {})
    held_out = TrainingSet(
        training.events.take(index), training.matrix[index], training.labels[index], training.weights[index]
    )
    return _score(run, held_out, scorer, split)


def _score(run: Run, on: TrainingSet, scorer: Scorer, split: Split) -> HeldOut:
    scored = Scored(on.events, on.labels, scorer.predict(on.matrix))
    metrics = evaluate_predictions(run.definition, scored, history=run.history, train_start=run.start)
    return HeldOut(split, int((~np.isnan(on.labels)).sum()), metrics)
