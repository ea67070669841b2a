"""The degradation ladder."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.arrays import Bools, Floats
from features.matrix import FeaturePlan
from features.rows import RowId, Rows, assemble_rows, request_rows
from models.bundle import Bundle
from models.rules import RuleModel
from stream.pipeline.causes import Cause, Source
from stream.pipeline.score import Answerers, Scored, score
from tests.stream.visits import DEFINITION, Visit, batch, stored, trained

VISITS: list[Visit] = [(0, n, 1_000 + n, "ann", "front", float(3 * n)) for n in range(4)]
EVENTS = batch(VISITS)
ALL = np.arange(4)
MODEL, PREVIOUS, RULES = int(Source.MODEL), int(Source.PREVIOUS), int(Source.RULES)


class Raising:
    def predict(self, matrix: Floats) -> Floats:
        raise RuntimeError("no memory")


class Blind:
    """Answers what it is told, NaN included."""

    def __init__(self, answer: list[float]) -> None:
        self._answer = answer

    def predict(self, matrix: Floats) -> Floats:
        return np.array(self._answer[: len(matrix)])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return trained(Path(tmp_path_factory.mktemp("models")))


def with_scorer(bundle: Bundle, scorer: Any, version: str) -> Bundle:
    manifest = replace(bundle.manifest, version=version)
    return replace(bundle, scorer=scorer, manifest=manifest)


def ladder(champion: Bundle | None, previous: Bundle | None) -> Answerers:
    return Answerers(DEFINITION, FeaturePlan(DEFINITION), champion, previous, RuleModel(DEFINITION))


def rows() -> Mapping[RowId, Rows]:
    request = request_rows(DEFINITION, EVENTS)
    return assemble_rows(DEFINITION, EVENTS, request, stored(request, []), {})[0]


def answer(champion: Bundle | None, previous: Bundle | None = None, usable: Bools | None = None) -> Scored:
    return score(
        ladder(champion, previous), EVENTS, rows(), ALL, np.ones(4, np.bool_) if usable is None else usable
    )


def test_the_champion_answers_and_nothing_is_stamped(bundle: Bundle) -> None:
    got = answer(bundle)
    assert got.sources.tolist() == [MODEL] * 4
    assert got.causes.tolist() == [0] * 4
    np.testing.assert_array_equal(got.scores, bundle.scorer.predict(got.matrix))


def test_when_the_champion_raises_the_previous_one_answers(bundle: Bundle) -> None:
    got = answer(with_scorer(bundle, Raising(), "broken"), bundle)
    assert got.sources.tolist() == [PREVIOUS] * 4
    assert got.causes.tolist() == [Cause.MODEL_ERROR] * 4
    np.testing.assert_array_equal(got.scores, bundle.scorer.predict(got.matrix))
    assert got.errors == ("model broken: RuntimeError: no memory",)


def test_only_the_events_without_a_finite_score_go_down_the_ladder(bundle: Bundle) -> None:
    got = answer(with_scorer(bundle, Blind([0.25, np.nan, np.inf, 0.75]), "blind"), bundle)
    assert got.sources.tolist() == [MODEL, PREVIOUS, PREVIOUS, MODEL]
    assert got.causes.tolist() == [0, Cause.MODEL_NAN, Cause.MODEL_NAN, 0]
    assert got.scores[[0, 3]].tolist() == [0.25, 0.75]


def test_when_every_model_fails_the_rules_answer_with_their_reason(bundle: Bundle) -> None:
    got = answer(with_scorer(bundle, Raising(), "a"), with_scorer(bundle, Blind([np.nan] * 4), "b"))
    assert got.sources.tolist() == [RULES] * 4
    assert got.causes.tolist() == [Cause.MODEL_ERROR | Cause.PREVIOUS_FAILED] * 4
    assert got.scores.tolist() == [0.1, 0.1, 0.9, 0.9]
    assert got.rule_reasons == {2: "heavy", 3: "heavy"}


def test_without_a_champion_the_previous_one_answers_and_it_is_stamped(bundle: Bundle) -> None:
    got = answer(None, bundle)
    assert got.sources.tolist() == [PREVIOUS] * 4
    assert got.causes.tolist() == [Cause.NO_MODEL] * 4


def test_no_model_is_asked_about_events_whose_rows_cannot_be_trusted(bundle: Bundle) -> None:
    got = answer(bundle, bundle, np.array([True, False, True, False]))
    assert got.sources.tolist() == [MODEL, RULES, MODEL, RULES]
    assert got.causes.tolist() == [0] * 4


def test_without_rows_the_rules_see_fields_and_missing_features(bundle: Bundle) -> None:
    got = score(ladder(bundle, None), EVENTS, {}, ALL, np.zeros(4, np.bool_))
    assert got.scores.tolist() == [0.1, 0.1, 0.9, 0.9]
    assert np.isnan(got.matrix[:, 1:]).all()


def test_only_the_chosen_events_are_scored_but_all_of_them_are_seen(bundle: Bundle) -> None:
    whole = answer(bundle)
    got = score(ladder(bundle, None), EVENTS, rows(), np.array([3]), np.ones(1, np.bool_))
    np.testing.assert_array_equal(got.matrix, whole.matrix[3:])
    np.testing.assert_array_equal(got.scores, whole.scores[3:])


def test_whoever_answers_from_a_row_that_is_cut_says_so(bundle: Bundle) -> None:
    schema = next(row for row in DEFINITION.rows if row.entity == "person")
    coarse = replace(schema, exact=2, resolution=600)
    definition = replace(DEFINITION, rows=tuple(coarse if row is schema else row for row in DEFINITION.rows))
    visits: list[Visit] = [(0, n, 1_000 + 100 * n, "ann", None, 3.0) for n in range(20)]
    events = batch([*visits, (0, 20, 3_050, "bob", None, 3.0)])
    request = request_rows(definition, events)
    united = assemble_rows(definition, events, request, [None] * len(request.store_keys), {})[0]
    answerers = Answerers(definition, FeaturePlan(definition), None, None, RuleModel(definition))
    index = np.array([4, 19, 20])
    ruled = score(answerers, events, united, index, np.zeros(3, np.bool_))
    # Ann's windows reach back 1000 ms: from 2,900 to the midst of the tile that begins at 1,800.
    assert ruled.causes.tolist() == [0, Cause.TRIMMED, 0]
    previous = replace(bundle, plan=FeaturePlan(definition))
    whole = ladder(None, previous)
    answered = score(whole, events, united, index, np.ones(3, np.bool_))
    assert answered.sources.tolist() == [PREVIOUS] * 3
    assert answered.causes.tolist() == [
        int(Cause.NO_MODEL),
        int(Cause.NO_MODEL | Cause.TRIMMED),
        int(Cause.NO_MODEL),
    ]
