import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.booster import lightgbm
from models.compiled.text import ZERO, NotKnown, codes, parse, thresholds
from models.compiled.trees import out_of_zero
from tests.models.compiled.boosters import NAMES, boosted, categories, numbers

NEAR_ZERO = st.sampled_from([0.0, -0.0, ZERO, -ZERO, ZERO / 2, -ZERO / 2, 5e-324]) | st.floats(-2e-35, 2e-35)


def test_the_forest_is_what_lightgbm_itself_dumps() -> None:
    text = boosted("binary", numbers(), rounds=5)
    forest = parse(text)
    dumped = lightgbm.Booster(model_str=text).dump_model()["tree_info"]
    assert (len(forest.trees), forest.features, forest.outputs) == (5, len(NAMES), 1)
    assert forest.objective == "binary sigmoid:1"
    assert not forest.is_averaged
    for tree, info in zip(forest.trees, dumped, strict=True):
        nodes = [(0, info["tree_structure"])]
        for at, node in nodes:
            if at < 0:
                assert tree.leaves[~at] == node["leaf_value"]
                continue
            split = tree.splits[at]
            assert (split.feature, split.threshold) == (node["split_feature"], node["threshold"])
            assert split.default_left == node["default_left"]
            assert (
                split.missing.name == {"None": "NOTHING", "NaN": "NAN", "Zero": "ZERO"}[node["missing_type"]]
            )
            nodes += [(split.left, node["left_child"]), (split.right, node["right_child"])]
        assert len(nodes) == len(tree.splits) + len(tree.leaves)


def test_thresholds_are_those_of_all_trees() -> None:
    forest = parse(boosted("binary", numbers(), rounds=5))
    found = thresholds(forest)
    assert set(found) <= set(range(len(NAMES)))
    assert sum(map(len, found.values())) <= sum(len(tree.splits) for tree in forest.trees)
    assert codes(forest) == {}


def test_categories_are_counted_and_are_no_numbers() -> None:
    forest = parse(boosted("binary", categories(), categorical=[0]))
    assert set(codes(forest)) == {0}
    assert codes(forest)[0] >= 32
    assert 0 not in thresholds(forest)


def test_a_model_of_no_split_is_one_of_single_leaves() -> None:
    matrix, labels = numbers()
    forest = parse(boosted("regression", (matrix, np.ones_like(labels)), rounds=2))
    assert all(tree.splits == () and len(tree.leaves) == 1 for tree in forest.trees)


def test_linear_leaves_are_not_known() -> None:
    with pytest.raises(NotKnown, match="linear models"):
        parse(boosted("regression", numbers(), linear_tree=True))


def test_text_of_another_version_is_not_known() -> None:
    with pytest.raises(NotKnown, match="version v9"):
        parse(boosted("regression", numbers()).replace("version=v4", "version=v9"))


@pytest.mark.parametrize("line", ["left_child", "threshold", "leaf_value", "num_tree_per_iteration"])
def test_what_is_no_model_is_refused(line: str) -> None:
    text = boosted("binary", numbers())
    with pytest.raises((ValueError, LookupError)):
        parse(text.replace(f"{line}=", f"{line}=x ", 1))
    with pytest.raises((ValueError, LookupError)):
        parse(text.replace(f"{line}=", f"{line}s=", 1))


@given(NEAR_ZERO, NEAR_ZERO | st.floats(-1, 1))
def test_a_threshold_near_zero_splits_as_it_did_once_features_are_taken_as_they_are(
    threshold: float, feature: float
) -> None:
    taken = 0.0 if abs(feature) <= ZERO else feature
    assert (taken <= threshold) == (feature <= out_of_zero(threshold))


@given(st.floats(allow_nan=False).filter(lambda value: abs(value) > ZERO))
def test_no_other_threshold_is_moved(threshold: float) -> None:
    assert out_of_zero(threshold) == threshold
