"""Definitions that follow one another in a deployment, and bundles that carry them."""

from dataclasses import replace
from pathlib import Path

from features.definition import parse_definition
from features.definition.model import Definition
from features.matrix import FeaturePlan
from models.bundle import Bundle
from tests.stream.visits import TEXT


def changed(old: str, new: str, name: str = "visits") -> Definition:
    assert old in TEXT
    return parse_definition(TEXT.replace(old, new).replace("name: visits", f"name: {name}"), "visits.yaml")


def of(bundle: Bundle, definition: Definition) -> Bundle:
    return replace(bundle, definition=definition, plan=FeaturePlan(definition))


def break_bundle(path: Path) -> None:
    model = path / "model.txt"
    data = model.read_bytes()
    model.unlink()  # not the bytes that other directories link to
    model.write_bytes(data + b"\n")


LONGER = changed("spans: [1000ms], aggregates", "spans: [2000ms], aggregates")
ANOTHER_FIELD = changed("    weight: float64\n", "    weight: float64\n    height: float64\n")
LONGER_WITH_FIELD = parse_definition(
    TEXT.replace("spans: [1000ms], aggregates", "spans: [2000ms], aggregates").replace(
        "    weight: float64\n", "    weight: float64\n    height: float64\n"
    ),
    "visits.yaml",
)
ANOTHER_ID = changed("id: visit", "id: [visit, person]")
ANOTHER_TYPE = changed("weight: float64", "weight: int64")
ANOTHER_FEATURE = changed(
    "  - fields: [weight]\n", '  - fields: [weight]\n  - {name: twice, sql: "weight * 2"}\n'
)
ANOTHER_ZONE = changed("  fields:\n    visit", "  timezone: Europe/Berlin\n  fields:\n    visit")
ANOTHER_RULE = changed("weight > 5", "weight > 6")
REGRESSION = changed("task: binary", "task: regression")
ANOTHER_LABEL = changed("delay: 1d}", "delay: 2d}")
ANOTHER_USE_CASE = changed("weight > 5", "weight > 5", name="calls")
