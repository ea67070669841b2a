from collections.abc import Mapping

import numpy as np
import pytest

from models.bundle import Bundle, load_bundle
from models.explain import contributions
from models.training.train import TrainResult


@pytest.fixture(scope="session")
def bundles(trained: Mapping[str, TrainResult]) -> dict[str, Bundle]:
    return {name: load_bundle(result.path) for name, result in trained.items()}


def test_binary_reasons_raise_the_score_and_the_strongest_comes_first(bundles: Mapping[str, Bundle]) -> None:
    bundle = bundles["orders"]
    values = bundle.explainer.contributions(bundle.golden)[:, 0]
    for codes, row in zip(contributions(bundle, bundle.golden, 2), values, strict=True):
        assert [code.contribution for code in codes] == sorted(row[row > 0], reverse=True)[:2]
        for code in codes:
            assert row[bundle.definition.feature_names.index(code.feature)] == code.contribution


def test_regression_reasons_are_the_largest_in_either_direction(bundles: Mapping[str, Bundle]) -> None:
    bundle = bundles["pumps"]
    found = contributions(bundle, bundle.golden, 1)
    values = bundle.explainer.contributions(bundle.golden)[:, 0]
    assert [abs(codes[0].contribution) for codes in found] == np.abs(values).max(axis=1).tolist()
    assert min(codes[0].contribution for codes in found) < 0 < max(codes[0].contribution for codes in found)


def test_multiclass_reasons_are_those_of_the_predicted_class(bundles: Mapping[str, Bundle]) -> None:
    bundle = bundles["sizes"]
    chosen = bundle.scorer.predict(bundle.golden).argmax(axis=1)
    values = bundle.explainer.contributions(bundle.golden)[np.arange(len(chosen)), chosen]
    for codes, row in zip(contributions(bundle, bundle.golden, 9), values, strict=True):
        assert [code.contribution for code in codes] == sorted(row[row > 0], reverse=True)
    assert len(set(chosen.tolist())) > 1


def test_no_rows_have_no_reasons(bundles: Mapping[str, Bundle]) -> None:
    bundle = bundles["orders"]
    assert contributions(bundle, bundle.golden[:0], 3) == []
