"""What belongs to which fingerprint."""

# ruff: noqa: E501  one change a line

import pytest

from features.definition.fingerprint import fingerprints
from features.definition.model import Fingerprints
from tests.features.definition_texts import SECTIONS, read

FEATURES = """
  - fields: [price]
  - window: {entity: buyer, spans: [7d], aggregates: [count, mean(price)]}
  - window: {entity: shop, spans: [7d], aggregates: [count], where: gift, name: gifts}"""
EVENT = SECTIONS["event"]


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"name": "other"}, ""),
        ({"training": "{rounds: 9}"}, ""),
        ({"evaluation": "{gap: 9d}"}, ""),
        ({"output": "{include: [price]}"}, ""),
        ({"label": "{field: returned, delay: 9d}"}, ""),
        ({"event": EVENT.replace("kind: string", "kind: int64")}, ""),
        ({"event": EVENT.replace("buyer: string", "buyer: {type: string, personal: true}")}, ""),
        ({"entities": "{buyer: buyer, shop: shop, kind: kind}"}, ""),
        ({"decisions": "[{otherwise: refuse}]"}, "policy"),
        ({"rules": "[{otherwise: 0.4}]"}, "policy"),
        ({"rules": "[{otherwise: 0.5, reason: none}]"}, "policy"),
        ({"control": "1%"}, "policy"),
        ({"event": EVENT.replace("  id:", "  score_when: gift\n  id:")}, "policy"),
        ({"grace": "2h"}, "state"),
        ({"event": EVENT.replace("id: order_id", "id: [order_id, kind]")}, "state"),
        ({"features": FEATURES.replace("[count, mean(price)]", "[mean(price), count]")}, "features"),
        ({"features": FEATURES.replace("mean(price)", "sum(price)")}, "features"),
        ({"features": FEATURES + "\n  - fields: [shop]"}, "features"),
        ({"features": FEATURES.replace("spans: [7d], aggregates: [count, mean", "spans: [8d], aggregates: [count, mean")}, "features state"),
        ({"features": FEATURES.replace("mean(price)", "mean(gift)")}, "features state"),
        ({"features": FEATURES.replace("where: gift", "where: NOT gift")}, "features state"),
        ({"event": EVENT.replace("price: float64", "price: {type: float64, max: 9, out_of_range: clip}")}, "features state"),
        ({"event": EVENT.replace("unit: ms", "unit: s")}, "features state"),
        ({"event": EVENT.replace("  id:", "  timezone: Europe/Paris\n  id:")}, "features state"),
        ({"event": EVENT.replace("shop: int64", "shop: string")}, "features state"),
        ({"rows": "{exact: 256, resolution: 10m}"}, ""),
        ({"rows": "{exact: 300}"}, "features state"),
        ({"rows": "{resolution: 15m}"}, "features state"),
        ({"features": FEATURES + "\n  - categories: [kind]"}, "features"),
        ({"features": FEATURES + "\n  - lookup: {entity: buyer, fields: [limit]}"}, "features"),
        ({"event": EVENT.replace("price: float64", "price: {type: float64, missing: {default: 0}}")}, "features state"),
    ],
)  # fmt: skip
def test_a_change_touches_the_fingerprints_it_belongs_to(sections: dict[str, str], expected: str) -> None:
    before = read(features=FEATURES).fingerprints
    after = read(**{"features": FEATURES, **sections}).fingerprints
    changed = [
        name for name in ("features", "policy", "state") if getattr(before, name) != getattr(after, name)
    ]
    assert " ".join(changed) == expected


def test_every_parameter_of_categories_and_lookups_is_the_features() -> None:
    items = [
        "categories: [kind]",
        "categories: [kind], min_count: 9",
        "lookup: {entity: buyer, fields: [kind]}",
        "lookup: {entity: buyer, fields: [limit]}",
        "lookup: {entity: buyer, fields: [kind], max_age: 9d}",
        "lookup: {entity: buyer, fields: [kind], max_age: 8d}",
        "lookup: {entity: shop, fields: [kind]}",
        "lookup: {entity: buyer, fields: {kind: string}}",
        "lookup: {entity: buyer, fields: {kind: string}, min_count: 9}",
    ]
    prints = [read(features=f"[{{fields: [price]}}, {{{item}}}]").fingerprints for item in items]
    assert len({one.features for one in prints}) == len(items)
    assert len({(one.state, one.policy) for one in prints}) == 1


def test_how_late_labels_are_changes_nothing_of_what_rows_mean() -> None:
    window = "[{window: {entity: buyer, spans: [7d], aggregates: [count(label)]}}]"
    late = read(features=window, label="{field: returned, delay: 9d}")
    assert late.fingerprints == read(features=window).fingerprints
    assert late.rows != read(features=window).rows


def test_what_was_made_by_the_first_format_is_still_known() -> None:
    assert fingerprints(read(features=FEATURES), 1) == Fingerprints(
        state="0f2b490fdf1e2e260edad97740a879a37a366e1cbb52cd4013413b4cf7ff1d5b",
        features="f0a5bd56be11fc93bebbb32e81208635ecb76fd28742bb3c2e7b415fe402cf60",
        policy="e50081049510770bb3c165e09d0bd91ee04518103a61b29063b70c7fc1cfc0df",
    )
    with pytest.raises(ValueError, match="format 3"):
        fingerprints(read(features=FEATURES), 3)


def test_defaults_written_out_and_other_spellings_of_a_value_change_nothing() -> None:
    before = read(features=FEATURES).fingerprints
    spelt = FEATURES.replace("where: gift", "where: ( gift )").replace("[7d]", '["7d"]')
    event = EVENT.replace("price: float64", "price: {type: float64, personal: false, missing: stamp}")
    after = read(
        features=spelt, event=event, grace="60m", control="0%", rules="[{otherwise: 5e-1}]"
    ).fingerprints
    assert after == before


def test_fingerprints_are_sha_256_in_hexadecimal_and_differ_from_each_other() -> None:
    prints = read(features=FEATURES).fingerprints
    values = (prints.state, prints.features, prints.policy)
    assert len(set(values)) == 3
    assert all(len(value) == 64 and int(value, 16) >= 0 for value in values)
