"""Lookups and categories: what they are called, who may read them, and what is refused."""

# ruff: noqa: E501  a problem is one line, and stands here as people read it

import pytest

from features.definition import definition_from_data
from features.definition.model import CategoryFeature, LookupFeature
from tests.features.definition_texts import SECTIONS, SEQUENCE, problems, read

DAY = 86_400_000


def lookup(body: str, *more: str, **sections: str) -> list[str]:
    """What is wrong with a use case whose first feature is a lookup."""
    return problems(features="\n  - " + "\n  - ".join([f"lookup: {{{body}}}", *more]), **sections)


def test_a_list_of_looked_up_fields_means_numbers_named_after_the_entity() -> None:
    definition = read(features="[{lookup: {entity: buyer, fields: [limit, age], max_age: 30d}}]")
    assert definition.features == (
        LookupFeature("buyer_limit", "buyer", "limit", False, 10, 30 * DAY),
        LookupFeature("buyer_age", "buyer", "age", False, 10, 30 * DAY),
    )
    assert definition.rows == ()


def test_a_mapping_says_which_looked_up_fields_are_texts_and_its_order_is_the_files() -> None:
    definition = read(
        features="""
  - lookup: {entity: shop, fields: {tier: string, area: float64}, min_count: 3}
  - lookup: {entity: buyer, fields: [limit]}
  - lookup: {entity: shop, fields: {brand: string}}"""
    )
    assert definition.lookups == {
        "shop": (
            LookupFeature("shop_tier", "shop", "tier", True, 3, None),
            LookupFeature("shop_area", "shop", "area", False, 3, None),
            LookupFeature("shop_brand", "shop", "brand", True, 10, None),
        ),
        "buyer": (LookupFeature("buyer_limit", "buyer", "limit", False, 10, None),),
    }
    assert definition_from_data(definition.source, "again").lookups == definition.lookups


def test_a_number_that_is_looked_up_may_be_read_by_later_expressions_rules_and_decisions() -> None:
    features = "[{lookup: {entity: buyer, fields: [limit]}}, {name: share, sql: price / buyer_limit}]"
    when = '"buyer_limit > 3 AND share > 2"'
    rules = f"[{{when: {when}, score: 1}}, {{otherwise: 0}}]"
    decisions = f"[{{when: {when}, decision: refuse}}, {{otherwise: accept}}]"
    assert problems(features=features, rules=rules, decisions=decisions) == []


def test_a_text_that_is_looked_up_is_no_value_of_expressions() -> None:
    found = lookup(
        "entity: buyer, fields: {tier: string}",
        '{name: gold, sql: "buyer_tier = 1"}',
        rules='[{when: "buyer_tier IS NULL", score: 1}, {otherwise: 0}]',
        decisions='[{when: "buyer_tier = score", decision: refuse}, {otherwise: accept}]',
    )
    told = "buyer_tier: a text that is looked up is a category for the model, no value here; look a number up instead"
    assert found == [told, told, told]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("entity: buyr, fields: [limit]", "buyr: no such entity; did you mean `buyer`?"),
        ("entity: buyer", "lookup: `fields` is missing; add `fields: [credit_limit]`"),
        ("fields: [limit]", "lookup: `entity` is missing; add `entity: customer`"),
        ("entity: buyer, fields: []", "[]: is empty; write something here, or take the key out"),
        ("entity: buyer, fields: {}", "{}: is empty; write something here, or take the key out"),
        ("entity: buyer, fields: limit", "limit: a text stands where a list is expected; write a list: [a, b]"),
        ("entity: buyer, fields: [a b]", "a b: not a name; letters, digits and _ only, no digit first"),
        ("entity: buyer, fields: {a b: string}", "a b: not a name; letters, digits and _ only, no digit first"),
        ("entity: buyer, fields: {tier: text}", "text: not one of the values this can have; choose from `float64`, `string`"),
        ("entity: buyer, fields: [limit, limit]", "buyer_limit: the feature is there already, from 17:38; take one of them out, or give its window a `name`"),
        ("entity: buyer, fields: [written_at]", "written_at: the name is taken: it says when values were written; name the field otherwise"),
        ("entity: buyer, fields: [limit], max_age: 3", "3: not a duration of the clock; write a duration such as 30d"),
        ("entity: buyer, fields: [limit], max_age: 0d", "0d: not a duration of the clock; write a duration such as 30d"),
        ("entity: buyer, fields: [limit], max_age: 3 events", "3 events: not a length of time; write a duration: a whole number and ms, s, m, h or d, such as 7d"),
        ("entity: buyer, fields: [limit], max_aeg: 3d", "max_aeg: no such key here; did you mean `max_age`?"),
        ("entity: buyer, fields: [limit], min_count: 3", "min_count: no text is looked up here; take it out, or say which field is a text: `fields: {segment: string}`"),
        ("entity: buyer, fields: {tier: string}, min_count: 0", "0: input should be greater than or equal to 1; mend the value"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_lookup_is_told_with_its_mend(body: str, expected: str) -> None:
    assert lookup(body) == [expected]


def test_a_lookup_may_not_take_the_name_of_a_window_a_field_or_a_score() -> None:
    window = "window: {entity: buyer, spans: [1d], aggregates: [count]}"
    (found,) = lookup("entity: buyer, fields: [count_1d]", window)
    assert found.startswith("buyer_count_1d: the feature is there already, from 17:38; ")
    event = SECTIONS["event"].replace("kind: string", "buyer_limit: float64")
    assert lookup("entity: buyer, fields: {limit: float64}", event=event) == [
        "buyer_limit: a field has this name; name the feature otherwise"
    ]
    assert lookup(
        "entity: probability, fields: [small]",
        entities="{buyer: buyer, probability: shop}",
        task="multiclass",
        label="{field: size, classes: [small, large]}",
        rules="[{otherwise: [0.4, 0.6]}]",
    ) == ["probability_small: the name is taken: a probability in decisions; name the feature otherwise"]


def test_a_name_that_a_broken_lookup_may_define_is_not_called_unknown() -> None:
    found = lookup(
        "entity: buyer, fields: [limit], max_age: soon",
        rules='[{when: "buyer_limit > 3", score: 1}, {when: "shop_limit > 3", score: 1}, {otherwise: 0}]',
    )
    assert [problem.split(":")[0] for problem in found] == ["soon", "shop_limit"]


def test_the_age_of_a_lookup_is_a_duration_of_the_clock_in_a_sequence_too() -> None:
    features = "[{lookup: {entity: plant, fields: [height], max_age: %s}}]"
    (found,) = read(**{**SEQUENCE, "features": features % "2d"}).lookups["plant"]
    assert found.max_age == 2 * DAY
    assert problems(**{**SEQUENCE, "features": features % "2"}) == [
        "2: not a duration of the clock; write a duration such as 30d"
    ]


def test_categories_are_string_fields_under_their_own_names() -> None:
    definition = read(features="[{fields: [price]}, {categories: [kind], min_count: 20}]")
    assert definition.features[1:] == (CategoryFeature("kind", 20),)
    assert read(features="[{categories: [kind]}]").features == (CategoryFeature("kind", 10),)


def test_the_name_of_a_category_is_its_text_in_expressions_rules_and_decisions() -> None:
    features = "[{categories: [kind]}, {name: sale, sql: \"kind = 'sale'\"}]"
    rules = "[{when: \"kind LIKE 's%'\", score: 1}, {otherwise: 0}]"
    decisions = "[{when: \"kind = 'sale'\", decision: refuse}, {otherwise: accept}]"
    assert problems(features=features, rules=rules, decisions=decisions) == []


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("categories: [knd]", "knd: no such field; did you mean `kind`?"),
        ("categories: [price]", "price: only a string can be a category, not float64; take it as it is with `fields`"),
        ("categories: [placed_at]", "placed_at: only a string can be a category, not timestamp; take a part of it: EXTRACT(hour FROM …)"),
        ("categories: [kind, kind]", "kind: the feature is there already, from 16:26; take one of them out, or give its window a `name`"),
        ("categories: []", "[]: is empty; write something here, or take the key out"),
        ("categories: kind", "kind: a text stands where a list is expected; write a list: [a, b]"),
        ("categories: [kind], min_count: 0", "0: input should be greater than or equal to 1; mend the value"),
        ("categories: [kind], min_cuont: 2", "min_cuont: no such key here; did you mean `min_count`?"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_categories_is_told_with_its_mend(item: str, expected: str) -> None:
    assert problems(features=f"[{{{item}}}]") == [expected]


def test_a_personal_field_cannot_be_a_category_as_bundles_travel() -> None:
    event = SECTIONS["event"].replace("kind: string", "kind: {type: string, personal: true}")
    assert problems(features="[{categories: [kind]}]", event=event) == [
        "kind: a personal field cannot be a category: its values would stand in every bundle; take it out, or take what is not personal about it with `sql`"
    ]
