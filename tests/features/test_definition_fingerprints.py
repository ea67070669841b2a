"""What belongs to which fingerprint."""

# ruff: noqa: E501  one change a line

import pytest

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
    ],
)  # fmt: skip
def test_a_change_touches_the_fingerprints_it_belongs_to(sections: dict[str, str], expected: str) -> None:
    before = read(features=FEATURES).fingerprints
    after = read(**{"features": FEATURES, **sections}).fingerprints
    changed = [
        name for name in ("features", "policy", "state") if getattr(before, name) != getattr(after, name)
    ]
    assert " ".join(changed) == expected


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
