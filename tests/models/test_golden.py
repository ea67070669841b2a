from collections.abc import Mapping

import numpy as np

from features.past.offline import build_training_set
from models.bundle import load_bundle
from models.golden import decode_cases, spread
from models.training.train import TrainResult
from tests.models.usecases import UseCase


def test_cases_are_spread_from_the_lowest_to_the_highest_score() -> None:
    scores = np.array([0.5, 0.1, 0.9, 0.3, 0.7])
    assert sorted(scores[spread(scores, 3)].tolist()) == [0.1, 0.5, 0.9]
    assert spread(scores, 99).tolist() == [0, 1, 2, 3, 4]


def test_equal_scores_are_chosen_from_in_order() -> None:
    assert spread(np.zeros(100), 2).tolist() == [0, 99]


def test_golden_features_are_those_the_model_was_trained_on(
    trained: Mapping[str, TrainResult], cases: Mapping[str, UseCase]
) -> None:
    for name, case in cases.items():
        training = build_training_set(case.definition, case.history, case.start, case.end)
        rows = dict(zip(training.events.ids, training.matrix, strict=True))
        for golden in decode_cases((trained[name].path / "golden.json").read_bytes()):
            served = [np.nan if value is None else value for value in golden.features]
            np.testing.assert_array_equal(served, rows[golden.input["id"]])


def test_golden_cases_reach_missing_values_and_every_decision(trained: Mapping[str, TrainResult]) -> None:
    cases = decode_cases((trained["orders"].path / "golden.json").read_bytes())
    assert {case.decision for case in cases} == {"call", "ship"}
    assert load_bundle(trained["orders"].path).golden.shape == (32, 7)
    assert any(value is None for case in cases for value in case.features)
