"""The degradation ladder: champion, previous champion, rules; each prediction knows who answered and why."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from features.arrays import Bools, Floats, Ints
from features.definition.model import Definition
from features.event import EventBatch
from features.matrix import NO_LOOKUPS, FeaturePlan
from features.rows import RowId, Rows
from features.window import Evaluated
from models.bundle import Bundle
from models.rules import RuleModel
from models.scorer import output_count
from stream.pipeline.causes import Cause, Source


@dataclass(frozen=True, slots=True)
class Answerers:
    """Who may answer: a use case's models as they are deployed now."""

    definition: Definition
    """The champion's; where there is no usable champion, the previous one's or the file's."""
    plan: FeaturePlan
    champion: Bundle | None
    previous: Bundle | None
    rules: RuleModel


@dataclass(frozen=True, slots=True)
class Scored:
    """n answers."""

    scores: Floats
    """Shape (n,), or (n, classes) for multiclass; finite."""
    sources: Ints
    """Shape (n,): `Source`."""
    causes: Ints
    """Shape (n,): the `Cause` masks that scoring adds."""
    matrix: Floats
    """Shape (n, features): the features of `Answerers.definition`."""
    rule_reasons: Mapping[int, str]
    """The rule's reason, for answers of the rules that have one."""
    errors: tuple[str, ...]
    """What models raised, at most once per batch and model."""


def score(
    answerers: Answerers,
    events: EventBatch,
    rows: Mapping[RowId, Rows | Evaluated],
    index: Ints,
    usable: Bools,
    lookups: Mapping[str, Floats] = NO_LOOKUPS,
) -> Scored:
    """Let the best that can answer each of the n events at `index`; one call per model and batch.

    usable: shape (n,); where it is False no model is asked. rows, lookups: as `FeaturePlan.evaluate` takes
    them.
    """
    n = len(index)
    found = answerers.plan.evaluate(events, rows, index, lookups)
    matrix = found.values
    answers = np.full((n, output_count(answerers.definition)), np.nan)
    sources = np.full(n, int(Source.RULES))
    causes = np.where(found.trimmed, int(Cause.TRIMMED), 0).astype(np.int64)
    errors: list[str] = []
    waiting = usable.copy()
    if answerers.champion is None:
        causes[waiting] |= int(Cause.NO_MODEL)
    for source, bundle in ((Source.MODEL, answerers.champion), (Source.PREVIOUS, answerers.previous)):
        asked = np.flatnonzero(waiting)
        if bundle is None or not len(asked):
            continue
        raised, unfit = _CAUSES[source]
        try:
            own = bundle.plan is not answerers.plan
            served = bundle.plan.evaluate(events, rows, index, lookups) if own else found
            answer = bundle.scorer.predict(served.values[asked]).reshape(len(asked), -1)
        except Exception as error:  # noqa: BLE001  whatever a model raises, the ladder goes on and names it
            causes[asked] |= int(raised)
            errors.append(f"{source.name.lower()} {bundle.version}: {type(error).__name__}: {error}")
            continue
        fit = np.isfinite(answer).all(axis=1)
        causes[asked[~fit]] |= int(unfit)
        causes[asked[fit & served.trimmed[asked]]] |= int(Cause.TRIMMED)
        answers[asked[fit]] = answer[fit]
        sources[asked[fit]] = int(source)
        waiting[asked[fit]] = False
    reasons = _ask_rules(answerers, events, index, matrix, sources, answers)
    scores = answers if answerers.definition.task == "multiclass" else answers[:, 0]
    return Scored(scores, sources, causes, matrix, reasons, tuple(errors))


_CAUSES = {
    Source.MODEL: (Cause.MODEL_ERROR, Cause.MODEL_NAN),
    Source.PREVIOUS: (Cause.PREVIOUS_FAILED, Cause.PREVIOUS_FAILED),
}


def _ask_rules(
    answerers: Answerers, events: EventBatch, index: Ints, matrix: Floats, sources: Ints, answers: Floats
) -> dict[int, str]:
    """Fill in `answers` where no model gave one; returns the reasons."""
    left = np.flatnonzero(sources == Source.RULES)
    if not len(left):
        return {}
    columns = answerers.plan.columns(events.take(index[left]), matrix[left])
    ruled = answerers.rules.predict(columns, len(left))
    answers[left] = ruled.scores.reshape(len(left), -1)
    return {at: why for at, why in zip(left.tolist(), ruled.reasons, strict=True) if why is not None}
