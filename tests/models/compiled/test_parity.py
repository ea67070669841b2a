import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from features.arrays import Floats
from models.compiled.parity import CELLS_MAX, difference, probes
from models.compiled.text import Forest, codes, parse, thresholds
from tests.models.compiled.boosters import boosted, categories, numbers

EMPTY = Forest((), 3, 1, "regression", False)
GOLDEN = np.array([[0.5, np.nan, 2.0], [1.5, 1.0, 3.0]])


class Says:
    """Gives these scores."""

    def __init__(self, scores: Floats) -> None:
        self.scores = scores

    def predict(self, matrix: Floats) -> Floats:
        return self.scores


@given(st.floats(1e-300, 1e300), st.booleans())
def test_one_bit_is_a_difference(score: float, up: bool) -> None:
    expected = np.array([0.25, score, np.nan])
    found = expected.copy()
    assert difference(Says(expected), Says(found), np.zeros((3, 2))) is None
    found[1] = np.nextafter(score, np.inf if up else -np.inf)
    said = difference(Says(expected), Says(found), np.arange(6.0).reshape(3, 2))
    assert said is not None
    assert said.startswith("1 of 3 scores differ; features [2.0, 3.0] give")
    assert repr(score) in said


def test_a_missing_score_a_zero_of_another_sign_and_another_shape_are_differences() -> None:
    matrix = np.zeros((1, 1))
    assert difference(Says(np.array([0.5])), Says(np.array([np.nan])), matrix)
    assert difference(Says(np.array([0.0])), Says(np.array([-0.0])), matrix)
    assert "shape" in (difference(Says(np.zeros(1)), Says(np.zeros((1, 2))), matrix) or "")


def test_probes_have_every_threshold_and_its_neighbours() -> None:
    forest = parse(boosted("binary", numbers()))
    asked = probes(forest, GOLDEN)
    for at, edges in thresholds(forest).items():
        column = set(asked[:, at].tolist())
        for threshold in edges:
            sides = {threshold, np.nextafter(threshold, np.inf), np.nextafter(threshold, -np.inf)}
            assert sides <= column
        assert {np.inf, -np.inf, 0.0} <= column
        assert np.isnan(asked[:, at]).any()


def test_probes_have_every_category_some_that_were_never_seen_and_missing_ones() -> None:
    forest = parse(boosted("binary", categories(), categorical=[0]))
    column = probes(forest, GOLDEN)[:, 0]
    assert set(range(codes(forest)[0] + 20)) <= set(column.tolist())
    assert np.isnan(column).any()
    assert (np.isnan(column) | (column == np.floor(column)) | np.isin(column, GOLDEN[:, 0])).all()


def test_the_golden_cases_come_first() -> None:
    np.testing.assert_array_equal(probes(EMPTY, GOLDEN)[:2], GOLDEN)


def test_probes_are_the_same_every_time() -> None:
    forest = parse(boosted("binary", numbers()))
    np.testing.assert_array_equal(probes(forest, GOLDEN), probes(forest, GOLDEN))


def test_probes_of_very_many_features_stay_small() -> None:
    assert probes(EMPTY, np.zeros((1, 5_000))).size <= CELLS_MAX + 5_000
