import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.arrays import Floats
from models.booster import BoosterScorer, lightgbm
from models.scorer import ModelMismatch

FEATURES = ("a", "b", "c")


def trained(objective: str, classes: int = 2, names: tuple[str, ...] = FEATURES) -> str:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(300, len(names)))
    labels = np.digitize(matrix[:, 0] + matrix[:, 1] / 2, np.linspace(-1, 1, classes + 1)[1:-1]).astype(float)
    parameters = {"objective": objective, "num_leaves": 5, "verbosity": -1, "num_threads": 1}
    if objective.startswith("multiclass"):
        parameters["num_class"] = classes
    data = lightgbm.Dataset(matrix, labels, feature_name=list(names))
    return lightgbm.train(parameters, data, num_boost_round=5).model_to_string()


BINARY, REGRESSION, MULTICLASS = trained("binary"), trained("regression"), trained("multiclass", 3)


def matrix_of(n: int) -> Floats:
    matrix = np.random.default_rng(1).normal(size=(n, 3))
    matrix[::3, 1] = np.nan
    return matrix


def test_binary_gives_probabilities() -> None:
    scores = BoosterScorer(BINARY, "binary", FEATURES, 1).predict(matrix_of(50))
    assert scores.shape == (50,)
    assert ((scores > 0) & (scores < 1)).all()
    assert np.ptp(scores) > 0.1


def test_regression_gives_values() -> None:
    scorer = BoosterScorer(REGRESSION, "regression", FEATURES, 1)
    low, high = scorer.predict(np.array([[-3.0, -3.0, 0.0], [3.0, 3.0, 0.0]]))
    assert low < high


def test_multiclass_gives_one_probability_per_class() -> None:
    scores = BoosterScorer(MULTICLASS, "multiclass", FEATURES, 3).predict(matrix_of(50))
    assert scores.shape == (50, 3)
    np.testing.assert_allclose(scores.sum(axis=1), 1.0)


@pytest.mark.parametrize(
    ("text", "task", "outputs", "shape"),
    [(BINARY, "binary", 1, (0,)), (MULTICLASS, "multiclass", 3, (0, 3))],
)
def test_an_empty_batch_gives_no_scores(text: str, task: str, outputs: int, shape: tuple[int, ...]) -> None:
    scorer = BoosterScorer(text, "binary" if task == "binary" else "multiclass", FEATURES, outputs)
    assert scorer.predict(np.empty((0, 3))).shape == shape
    assert scorer.contributions(np.empty((0, 3))).shape == (0, outputs, 3)


@settings(max_examples=30)
@given(st.lists(st.tuples(*[st.floats(width=64) for _ in FEATURES]), min_size=1, max_size=20))
def test_a_batch_equals_its_rows_one_by_one(rows: list[tuple[float, ...]]) -> None:
    scorer = BoosterScorer(BINARY, "binary", FEATURES, 1)
    matrix = np.array(rows)
    one_by_one = np.concatenate([scorer.predict(matrix[i : i + 1]) for i in range(len(matrix))])
    np.testing.assert_array_equal(scorer.predict(matrix), one_by_one)


def test_the_layout_of_the_matrix_in_memory_changes_nothing() -> None:
    scorer = BoosterScorer(BINARY, "binary", FEATURES, 1)
    matrix = matrix_of(40)
    expected = scorer.predict(matrix)
    wide = np.full((80, 3), 7.0)
    wide[::2] = matrix
    for same in (np.asfortranarray(matrix), wide[::2], np.ascontiguousarray(matrix.T).T):
        np.testing.assert_array_equal(scorer.predict(same), expected)


def test_contributions_add_up_to_the_raw_score() -> None:
    booster = lightgbm.Booster(model_str=MULTICLASS)
    matrix = matrix_of(10)
    added = BoosterScorer(MULTICLASS, "multiclass", FEATURES, 3).contributions(matrix).sum(axis=2)
    raw = np.asarray(booster.predict(matrix, raw_score=True))
    base = raw - added
    np.testing.assert_allclose(base, np.broadcast_to(base[0], base.shape))


@pytest.mark.parametrize(
    ("text", "features", "outputs", "cause"),
    [
        ("", FEATURES, 1, "not a LightGBM model"),
        ("tree\nversion=v4\n", FEATURES, 1, "not a LightGBM model"),
        (BINARY, ("a", "b"), 1, "the model has 3 features, the definition 2"),
        (BINARY, ("a", "c", "b"), 1, "feature 2 is 'b' in the model and 'c' in the definition"),
        (BINARY, FEATURES, 3, r"the model gives 1 number\(s\) per event, the task needs 3"),
        (REGRESSION, FEATURES, 1, "was trained for 'regression', which is no objective for a binary task"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_when_it_is_read(
    text: str, features: tuple[str, ...], outputs: int, cause: str
) -> None:
    with pytest.raises(ModelMismatch, match=cause):
        BoosterScorer(text, "binary", features, outputs)


def test_a_model_trained_one_against_all_is_no_multiclass_model() -> None:
    with pytest.raises(ModelMismatch, match="multiclassova"):
        BoosterScorer(trained("multiclassova", 3), "multiclass", FEATURES, 3)
