import math

import numpy as np
import pytest

from models.training import metrics

LABELS = np.array([0.0, 0.0, 1.0, 1.0])
SCORES = np.array([0.1, 0.4, 0.35, 0.8])


def test_ranking_metrics_of_a_case_worked_by_hand() -> None:
    assert metrics.roc_auc(LABELS, SCORES) == 0.75  # 3 of 4 pairs are in order
    assert metrics.average_precision(LABELS, SCORES) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_ranking_metrics_of_one_class_are_not_a_number() -> None:
    assert math.isnan(metrics.roc_auc(np.zeros(3), np.arange(3.0)))
    assert math.isnan(metrics.roc_auc(np.ones(3), np.arange(3.0)))
    assert math.isnan(metrics.average_precision(np.zeros(3), np.arange(3.0)))


def test_binary_metrics_call_positive_from_a_half_on() -> None:
    scores = np.array([0.5, 0.2, 0.4, 0.9])
    assert metrics.accuracy(LABELS, scores) == 0.5
    assert metrics.f1(LABELS, scores) == 0.5
    assert metrics.f1(np.zeros(2), np.zeros(2)) == 0.0


def test_logloss_is_finite_for_a_certain_mistake() -> None:
    assert metrics.logloss(np.array([1.0]), np.array([0.25])) == pytest.approx(math.log(4))
    assert 30 < metrics.logloss(np.array([1.0]), np.array([0.0])) < 40


def test_regression_metrics() -> None:
    labels, scores = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 1.0])
    assert metrics.rmse(labels, scores) == pytest.approx(math.sqrt(5 / 3))
    assert metrics.mae(labels, scores) == 1.0
    assert metrics.bias(labels, scores) == pytest.approx(-1 / 3)


def test_multiclass_metrics() -> None:
    labels = np.array([0.0, 0.0, 1.0, 2.0])
    scores = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    assert metrics.accuracy(labels, scores) == metrics.micro_f1(labels, scores) == 0.75
    assert metrics.macro_f1(labels, scores) == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert metrics.logloss(labels, scores) == pytest.approx(-(3 * math.log(0.8) + math.log(0.1)) / 4)
