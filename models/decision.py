"""From scores to decisions: the definition's cases over scores, fields and features."""

from collections.abc import Mapping

import numpy as np

from features.arrays import Column, Floats, Ints
from features.definition.model import Definition, RecordLabel
from models.cases import first_match


def class_names(definition: Definition) -> tuple[str, ...]:
    """The classes of a multiclass task in the order of its probabilities; else empty."""
    return definition.label.classes if isinstance(definition.label, RecordLabel) else ()


def score_columns(definition: Definition, scores: Floats) -> dict[str, Column]:
    """What a model or the rules said, as the columns that decisions may read.

    scores: (n,), or (n, classes) for multiclass.
    Binary: ``score``. Regression: ``value``, and ``score``, which is the same. Multiclass:
    ``probability_<class>``, and ``predicted_class``, the first of the most probable; None without scores.
    """
    if definition.task == "binary":
        return {"score": scores}
    if definition.task == "regression":
        return {"score": scores, "value": scores}
    classes = class_names(definition)
    columns: dict[str, Column] = {f"probability_{name}": scores[:, at] for at, name in enumerate(classes)}
    columns["predicted_class"] = np.array([*classes, None], dtype=object)[predicted_class(scores)]
    return columns


def predicted_class(scores: Floats) -> Ints:
    """The place of the most probable class, (n,); the first of equals; -1 where a probability is NaN."""
    if not len(scores):
        return np.empty(0, dtype=np.int64)
    return np.where(np.isnan(scores).any(axis=1), -1, scores.argmax(axis=1))


def decide(definition: Definition, columns: Mapping[str, Column], scores: Floats) -> Ints:
    """The place in `definition.decisions` of each event's decision, (n,); the last case always holds.

    columns: fields and features by name. scores: as `Scorer.predict` gives them.
    """
    conditions = [case.when for case in definition.decisions]
    return first_match(conditions, {**columns, **score_columns(definition, scores)}, len(scores))
