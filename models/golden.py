"""Golden cases: events with all that their features need, and what came out when the bundle was made.

They answer whether this machine, with its libraries, computes what the training machine did.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from features.arrays import Floats, Ints
from features.categories import Categories
from features.definition.model import Definition
from features.golden import golden_inputs, golden_matrix
from features.matrix import FeaturePlan
from features.past.history import History
from models.decision import decide
from models.scorer import Scorer

CASES = 32

TOLERANCE = 1e-9
"""Relative, for scores: `exp` and the order of additions may differ in the last bits between processors
and builds of LightGBM, while features are plain float64 arithmetic and equal exactly. A wrong tree is off
by far more."""


@dataclass(frozen=True, slots=True)
class GoldenCase:
    """None among numbers is NaN."""

    input: dict[str, Any]
    """Plain data of `features.golden`."""
    features: tuple[float | None, ...]
    score: tuple[float | None, ...]
    """One number, or one per class."""
    decision: str


class GoldenMismatch(Exception):
    """The text names the case, the feature or score, what was expected and what came out."""


def spread(scores: Floats, count: int = CASES) -> Ints:
    """Places of `count` events, evenly by rank from the lowest score to the highest (first class's)."""
    key = scores if scores.ndim == 1 else scores[:, 0]
    order = np.argsort(key, kind="stable")
    return np.unique(order[np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(np.int64)])


def make_cases(
    definition: Definition, categories: Categories, history: History, index: Ints, scorer: Scorer
) -> list[GoldenCase]:
    """Cases of the events at `index` of the history."""
    inputs = golden_inputs(definition, history, index)
    matrix, scores, decisions = _evaluate(definition, categories, inputs, scorer)
    return [
        GoldenCase(inputs[at], _plain(matrix[at]), _plain(np.atleast_1d(scores[at])), decisions[at])
        for at in range(len(inputs))
    ]


def verify_cases(
    definition: Definition, categories: Categories, cases: Sequence[GoldenCase], scorer: Scorer
) -> Floats:
    """Compute every case anew and compare; returns the feature matrix of the cases.

    Features equal exactly (NaN equals NaN), scores within `TOLERANCE`, decisions equal.
    Raises `GoldenMismatch` for the first that differs.
    """
    inputs = [case.input for case in cases]
    matrix, scores, decisions = _evaluate(definition, categories, inputs, scorer)
    expected = _matrix([case.features for case in cases], len(definition.features))
    _compare(cases, definition.feature_names, expected, matrix, np.zeros(1))
    outputs = scores.reshape(len(cases), -1)
    names = ("score",) if scores.ndim == 1 else tuple(f"probability {at}" for at in range(outputs.shape[1]))
    expected = _matrix([case.score for case in cases], len(names))
    _compare(cases, names, expected, outputs, TOLERANCE * np.abs(expected))
    for case, decision in zip(cases, decisions, strict=True):
        if case.decision != decision:
            raise GoldenMismatch(
                f"case {case.input.get('id')!r}: the decision is {decision!r}, not {case.decision!r}"
            )
    return matrix


def _evaluate(
    definition: Definition, categories: Categories, inputs: Sequence[dict[str, Any]], scorer: Scorer
) -> tuple[Floats, Floats, list[str]]:
    events, matrix = golden_matrix(definition, inputs, categories)
    scores = scorer.predict(matrix)
    places = decide(definition, FeaturePlan(definition).columns(events, matrix), scores)
    return matrix, scores, [definition.decisions[place].decision for place in places.tolist()]


def _compare(
    cases: Sequence[GoldenCase], names: Sequence[str], expected: Floats, actual: Floats, tolerance: Floats
) -> None:
    same = (expected == actual) | (np.isnan(expected) & np.isnan(actual))
    with np.errstate(invalid="ignore"):  # infinity minus infinity is NaN, which is not within any tolerance
        same |= np.abs(expected - actual) <= tolerance
    for at, place in np.argwhere(~same).tolist():
        found, wanted = float(actual[at, place]), float(expected[at, place])
        raise GoldenMismatch(
            f"case {cases[at].input.get('id')!r}: {names[place]} is {found!r}, not {wanted!r}"
        )


def encode_cases(cases: Sequence[GoldenCase]) -> bytes:
    return msgspec.json.encode({"cases": cases}) + b"\n"


class _File(msgspec.Struct):
    cases: list[GoldenCase]


def decode_cases(data: bytes) -> list[GoldenCase]:
    """Raises `ValueError` (msgspec's) for anything else."""
    return msgspec.json.decode(data, type=_File).cases


def _plain(values: Floats) -> tuple[float | None, ...]:
    return tuple(None if np.isnan(value) else value for value in values.tolist())


def _matrix(rows: Sequence[Sequence[float | None]], width: int) -> Floats:
    if any(len(row) != width for row in rows):
        raise GoldenMismatch(f"a case has another number of values than {width}")
    return np.array([[np.nan if v is None else v for v in row] for row in rows], dtype=np.float64).reshape(
        -1, width
    )
