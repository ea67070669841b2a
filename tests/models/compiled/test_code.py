"""Compiled models against LightGBM."""

import ctypes
import mmap
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.arrays import Floats
from models.booster import BoosterScorer, lightgbm
from models.compiled.parity import difference, probes
from models.compiled.text import NotKnown, parse
from models.compiled.trees import goes_all_ways
from tests.models.compiled.boosters import NAMES, Rows, boosted, categories, numbers

pytest.importorskip("llvmlite", reason="the extra `compiled` is not installed")

from models.compiled import code
from models.compiled.code import CodeRefused, CompiledScorer, machine_code

if TYPE_CHECKING:
    from features.definition.model import Task

GOLDEN = np.array([[0.5, np.nan, 2.0], [1.5, 1.0, 3.0]])


def positive() -> Rows:
    matrix, labels = numbers()
    return matrix, labels + 0.5


def sizes(rows: Rows | None = None) -> Rows:
    """Labels from 0 to 3."""
    matrix, labels = rows or numbers()
    return matrix, labels + 2.0 * (matrix[:, 2] > 0)


def many() -> Rows:
    """So much to tell apart that trees grow large, some of them, and others not."""
    matrix, _ = numbers(3_000)
    return matrix, np.round(np.sin(9 * matrix[:, 0]) + np.cos(7 * matrix[:, 2]), 3)


def constant() -> Rows:
    matrix, labels = numbers()
    return matrix, np.full_like(labels, 0.25)


def zeros() -> Rows:
    """Many zeros, which LightGBM sets apart from what is next to them; and none that is missing."""
    matrix, labels = numbers()
    matrix[np.abs(matrix) < 0.5] = 0.0
    return np.nan_to_num(matrix), labels


MODELS: dict[str, tuple["Task", str]] = {
    "binary": ("binary", boosted("binary", numbers())),
    "one round": ("binary", boosted("binary", numbers(), rounds=1)),
    "weighted": ("binary", boosted("binary", numbers(), scale_pos_weight=3.0, sigmoid=2.0)),
    "categories": ("binary", boosted("binary", categories(), categorical=[0], cat_smooth=1.0)),
    "one category each": ("binary", boosted("binary", categories(), categorical=[0], max_cat_to_onehot=100)),
    "zeros": ("binary", boosted("binary", zeros())),
    "zero is missing": ("binary", boosted("binary", zeros(), zero_as_missing=True)),
    "nothing is missing": ("binary", boosted("binary", numbers(), use_missing=False)),
    "no split": ("regression", boosted("regression", constant())),
    "forest": (
        "regression",
        boosted("regression", numbers(), boosting="rf", bagging_freq=1, bagging_fraction=0.5),
    ),
    "dart": ("regression", boosted("regression", numbers(), boosting="dart")),
    **{
        objective: ("regression", boosted(objective, positive()))
        for objective in ("regression", "regression_l1", "huber", "fair", "poisson", "quantile", "mape")
    },
    "gamma": ("regression", boosted("gamma", positive())),
    "tweedie": ("regression", boosted("tweedie", positive())),
    "classes": ("multiclass", boosted("multiclass", sizes(), num_class=4)),
    "classes of categories": (
        "multiclass",
        boosted("multiclass", sizes(categories()), categorical=[0], num_class=4),
    ),
    "forest of classes": (
        "multiclass",
        boosted(
            "multiclass", sizes(), num_class=4, boosting="rf", bagging_freq=1, bagging_fraction=0.5, rounds=40
        ),
    ),
    "large trees": (
        "regression",
        boosted("regression", many(), rounds=4, leaves=200, min_data_in_leaf=1),
    ),
    "square roots": ("regression", boosted("regression", positive(), reg_sqrt=True)),
}


@cache
def both(name: str) -> tuple[BoosterScorer, CompiledScorer]:
    task, text = MODELS[name]
    forest = parse(text)
    scorer = CompiledScorer(machine_code(forest), len(NAMES), forest.outputs)
    return BoosterScorer(text, task, NAMES, forest.outputs), scorer


@pytest.mark.parametrize("name", MODELS)
def test_compiled_code_says_what_lightgbm_says_to_the_bit(name: str) -> None:
    assert difference(*both(name), probes(parse(MODELS[name][1]), GOLDEN)) is None


@given(st.lists(st.tuples(*[st.floats(width=64) for _ in NAMES]), min_size=1, max_size=30))
def test_whatever_numbers_come_the_bits_are_the_same(rows: list[tuple[float, ...]]) -> None:
    assert difference(*both("binary"), np.array(rows)) is None


CODES = st.integers(0, 100).map(float) | st.just(np.nan)


@given(st.lists(st.tuples(CODES, st.floats(), st.floats()), min_size=1, max_size=30))
def test_whatever_categories_come_the_bits_are_the_same(rows: list[tuple[float, ...]]) -> None:
    assert difference(*both("categories"), np.array(rows)) is None


def test_an_empty_batch_gives_no_scores() -> None:
    assert both("binary")[1].predict(np.empty((0, 3))).shape == (0,)
    assert both("classes")[1].predict(np.empty((0, 3))).shape == (0, 4)


def test_the_layout_of_the_matrix_in_memory_changes_nothing() -> None:
    matrix = numbers()[0]
    wide = np.full((len(matrix) * 2, 3), 7.0)
    wide[::2] = matrix
    reference, compiled = both("binary")
    expected = reference.predict(matrix)
    for same in (np.asfortranarray(matrix), wide[::2], np.ascontiguousarray(matrix.T).T):
        np.testing.assert_array_equal(compiled.predict(same), expected)


def test_scores_of_one_batch_are_not_those_of_the_next() -> None:
    compiled = both("binary")[1]
    first = compiled.predict(np.zeros((4, 3)))
    kept = first.copy()
    compiled.predict(np.ones((4, 3)))
    np.testing.assert_array_equal(first, kept)


def test_code_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "generate", lambda *_, opaque: "define void @other() { ret void }")
    other = machine_code(parse(MODELS["binary"][1]))
    with pytest.raises(CodeRefused, match="score"):
        CompiledScorer(other, 3, 1)


@pytest.mark.parametrize("objective", ["cross_entropy", "multiclassova"])
def test_an_objective_that_is_not_known_is_told(objective: str) -> None:
    text = (
        boosted(objective, numbers())
        if objective == "cross_entropy"
        else boosted(objective, sizes(), num_class=4)
    )
    with pytest.raises(NotKnown, match=f"its objective is {objective}"):
        machine_code(parse(text))


@pytest.mark.parametrize("name", ["binary", "categories", "classes", "large trees"])
def test_every_number_of_rows_gives_the_scores_of_its_rows(name: str) -> None:
    reference, compiled = both(name)
    matrix = probes(parse(MODELS[name][1]), GOLDEN)[:400]
    expected = reference.predict(matrix)
    for n in [*range(1, 40), 127, 128, 129, 255, 257, 400]:
        np.testing.assert_array_equal(compiled.predict(matrix[:n]), expected[:n])
        np.testing.assert_array_equal(compiled.predict(matrix[-n:]), expected[-n:])


def test_nothing_is_written_or_read_beyond_the_arrays() -> None:
    """The rows end where the memory that may be read does."""
    page = mmap.PAGESIZE
    area = mmap.mmap(-1, 2 * page)
    memory = np.frombuffer(area, np.float64)
    libc = ctypes.CDLL(None, use_errno=True)
    start = memory.ctypes.data
    assert libc.mprotect(ctypes.c_void_p(start + page), ctypes.c_size_t(page), 0) == 0
    reference, compiled = both("binary")
    rows = numbers()[0][:21]
    last = memory[page // 8 - rows.size : page // 8].reshape(rows.shape)
    last[:] = rows
    np.testing.assert_array_equal(compiled.predict(last), reference.predict(rows))
    assert libc.mprotect(ctypes.c_void_p(start + page), ctypes.c_size_t(page), 3) == 0


def test_what_would_not_fit_on_the_stack_is_not_compiled() -> None:
    forest = parse(MODELS["binary"][1])
    for larger in (replace(forest, features=10_000), replace(forest, outputs=1_000)):
        with pytest.raises(NotKnown, match="too many"):
            machine_code(larger)


def test_a_model_of_very_many_features_says_the_same() -> None:
    rng = np.random.default_rng(3)
    matrix = rng.normal(size=(300, 2_500))
    names = [f"f{at}" for at in range(matrix.shape[1])]
    data = lightgbm.Dataset(matrix, (matrix[:, 7] > matrix[:, 2_400]).astype(float), feature_name=names)
    text = str(lightgbm.train({"objective": "binary", "verbosity": -1}, data, 5).model_to_string())
    compiled = CompiledScorer(machine_code(parse(text)), len(names), 1)
    assert difference(BoosterScorer(text, "binary", names, 1), compiled, matrix) is None


def test_small_trees_go_all_ways_and_large_ones_are_walked() -> None:
    ways = {
        name: {goes_all_ways(tree) for tree in parse(MODELS[name][1]).trees}
        for name in ("binary", "categories", "zero is missing", "large trees")
    }
    assert ways["binary"] == {True}
    assert False in ways["categories"]
    assert False in ways["zero is missing"]
    assert False in ways["large trees"]


def test_another_models_code_is_told_from_the_right_one() -> None:
    reference, other = both("binary")[0], both("one round")[1]
    matrix: Floats = probes(parse(MODELS["binary"][1]), GOLDEN)
    assert "scores differ" in (difference(reference, other, matrix) or "")
