"""Codes of categories: learnt by frequency, 0 for what is not known, NaN for what is missing."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from features.categories import CODES_MAX, coders, learn_categories, merge_rare
from features.event import EventBatch, hash_ids, hash_texts
from features.matrix import FeaturePlan
from tests.features.definition_texts import read

FEATURES = """
  - {categories: [kind], min_count: 3}
  - {fields: [price]}
  - lookup: {entity: buyer, fields: {tier: string, limit: float64}, min_count: 2}
  - {name: is_sale, sql: "kind = 'sale'"}"""
DEFINITION = read(features=FEATURES)
TEXT = st.one_of(st.none(), st.sampled_from(["", "a", "b", "é", "sale", "c d"]), st.text(max_size=3))
TEXTS = st.lists(TEXT)


def events(kinds: list[str | None]) -> EventBatch:
    ids = [str(i) for i in range(len(kinds))]
    n = len(ids)
    columns = {name: np.array([None] * n, object) for name in ("order_id", "buyer", "kind")}
    columns |= {name: np.full(n, 7.0) for name in ("placed_at", "shop", "price", "gift")}
    columns["kind"] = np.array(kinds, object)
    return EventBatch(ids, hash_ids(ids), np.arange(n), np.arange(n, dtype=np.uint64), columns, {})


def test_categories_stand_by_count_and_then_by_text_and_rare_ones_do_not() -> None:
    kinds = ["b"] * 3 + ["a"] * 3 + ["z"] * 5 + ["rare"] * 2 + [None] * 9
    found = learn_categories(DEFINITION, {"kind": kinds, "buyer_tier": ["x", "x", None]})
    assert found == {"kind": ("z", "a", "b"), "buyer_tier": ("x",)}


def test_only_the_most_frequent_have_a_code() -> None:
    kinds = [f"{i:06}" for i in range(CODES_MAX + 1)] * 3 + ["twice"] * 4
    known = learn_categories(DEFINITION, {"kind": kinds})["kind"]
    assert (len(known), known[:2], known[-1]) == (CODES_MAX, ("twice", "000000"), f"{CODES_MAX - 2:06}")


@given(TEXTS, TEXTS)
def test_a_code_tells_one_known_value_and_hashes_have_the_code_of_their_text(
    learnt: list[str | None], seen: list[str | None]
) -> None:
    known = learn_categories(DEFINITION, {"kind": learnt, "buyer_tier": learnt})
    made = coders(DEFINITION, known)
    texts = np.array([*seen, None], object)
    for name, column in {"kind": texts, "buyer_tier": hash_texts([*seen, None])}.items():
        codes = made[name](column)
        assert np.isnan(codes[-1])
        for text, code in zip(seen, codes.tolist(), strict=False):
            if text is None:
                assert np.isnan(code)
            elif text in known[name]:
                assert known[name][int(code) - 1] == text
            else:
                assert code == 0
    least = {"kind": 3, "buyer_tier": 2}
    counts = Counter(text for text in learnt if text is not None)
    assert {name: set(texts) for name, texts in known.items()} == {
        name: {text for text, count in counts.items() if count >= least[name]} for name in least
    }


def test_the_plan_codes_fields_and_lookups_and_leaves_the_text_to_rules_and_expressions() -> None:
    plan = FeaturePlan(DEFINITION, {"kind": ("sale", "gift"), "buyer_tier": ("gold", "tin")})
    batch = events(["gift", "sale", "new", None])
    lookups = {
        "buyer_tier": hash_texts(["tin", None, "lead", "gold"]),
        "buyer_limit": np.array([1.0, np.nan, 3.0, 4.0]),
    }
    matrix = plan.matrix(batch, {}, lookups=lookups)
    np.testing.assert_array_equal(matrix[:, 0], [2, 1, 0, np.nan])
    np.testing.assert_array_equal(matrix[:, 2], [2, np.nan, 0, 1])
    np.testing.assert_array_equal(matrix[:, 3], [1, np.nan, 3, 4])
    np.testing.assert_array_equal(matrix[:, 4], [0, 1, 0, np.nan])
    assert plan.columns(batch, matrix)["kind"].tolist() == ["gift", "sale", "new", None]
    np.testing.assert_array_equal(plan.matrix(batch, {}, np.array([3, 0]), lookups), matrix[[3, 0]])


def test_without_categories_or_lookups_they_are_missing() -> None:
    batch = events(["sale", None])
    lookups = {"buyer_tier": hash_texts(["gold", "tin"]), "buyer_limit": np.array([1.0, 2.0])}
    matrix = FeaturePlan(DEFINITION).matrix(batch, {}, lookups=lookups)
    assert np.isnan(matrix[:, [0, 2]]).all()
    np.testing.assert_array_equal(matrix[:, 3], [1, 2])
    known = FeaturePlan(DEFINITION, {"kind": (), "buyer_tier": ()}).matrix(batch, {})
    np.testing.assert_array_equal(known[:, 0], [0, np.nan])
    assert np.isnan(known[:, [2, 3]]).all()


def test_what_is_rare_among_the_rows_of_a_model_is_unknown_to_it_everywhere() -> None:
    codes = np.array([1, 1, 1, 2, 2, 2, 3, 3, 0, np.nan, 3])
    matrix = np.column_stack([codes, codes, codes, codes, codes])
    among = np.arange(len(codes)) < 7
    merged = merge_rare(DEFINITION, matrix, among)
    np.testing.assert_array_equal(merged[:, 0], [1, 1, 1, 2, 2, 2, 0, 0, 0, np.nan, 0])
    np.testing.assert_array_equal(merged[:, 2], merged[:, 0])
    np.testing.assert_array_equal(merged[:, [1, 3, 4]], matrix[:, [1, 3, 4]])
    np.testing.assert_array_equal(matrix[:, 0], codes)
