"""The examples and the published grammar are what they say they are."""

import json
from pathlib import Path

import pytest

from features.definition import Definition, json_schema, load_definition
from features.definition.model import DerivedLabel, RowKind, RowSchema
from features.definition.training import OURS, PARAMETERS

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*/*.yaml"))
HOUR, DAY = 3_600_000, 86_400_000


def example(name: str) -> Definition:
    return load_definition(ROOT / "examples" / f"{name}.yaml")


def test_the_fraud_example_has_the_fifteen_published_features_in_their_order() -> None:
    assert example("fraud/usecase").feature_names == (
        "amount",
        "during_weekend",
        "during_night",
        "customer_count_1d",
        "customer_mean_amount_1d",
        "customer_count_7d",
        "customer_mean_amount_7d",
        "customer_count_30d",
        "customer_mean_amount_30d",
        "terminal_count_1d_delay_7d",
        "terminal_mean_label_1d_delay_7d",
        "terminal_count_7d_delay_7d",
        "terminal_mean_label_7d_delay_7d",
        "terminal_count_30d_delay_7d",
        "terminal_mean_label_30d_delay_7d",
    )


def test_the_fraud_example_keeps_the_least_that_these_features_need() -> None:
    definition = example("fraud/usecase")
    assert definition.rows == (
        RowSchema("customer", RowKind.EVENTS, ("amount",), resolution=HOUR, reach=30 * DAY),
        RowSchema("terminal", RowKind.EVENTS, (), resolution=HOUR, reach=37 * DAY),
        RowSchema("terminal", RowKind.LABELS, ("label",), resolution=HOUR, reach=37 * DAY, delay=7 * DAY),
    )
    assert definition.retention == 37 * DAY
    assert definition.field("customer_id").personal


def test_the_fraud_example_trains_with_the_parameters_found_for_it() -> None:
    training = example("fraud/usecase").training
    assert training.rounds == 200
    assert training.parameters == {
        "learning_rate": 0.05,
        "num_leaves": 12,
        "min_child_samples": 80,
        "colsample_bytree": 0.8,
        "subsample": 0.8,
        "subsample_freq": 1,
        "reg_lambda": 1,
        "min_split_gain": 0.1,
    }


def test_the_maintenance_examples_ask_two_questions_of_the_same_readings() -> None:
    soon, left = example("maintenance/usecase"), example("maintenance/remaining_life")
    assert soon.fields == left.fields
    assert soon.fingerprints.state == left.fingerprints.state
    assert soon.fingerprints.features == left.fingerprints.features
    assert (soon.task, left.task) == ("binary", "regression")
    assert isinstance(soon.label, DerivedLabel)
    assert isinstance(left.label, DerivedLabel)
    assert (soon.label.within, left.label.cap) == (30, 125.0)
    assert soon.time.is_sequence
    assert "failed" not in soon.feature_names


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_example_is_a_use_case_that_is_ready_for_evaluation(path: Path) -> None:
    definition = load_definition(path)
    assert definition.label is not None
    assert definition.evaluation.metrics


def test_the_published_schema_is_the_grammars() -> None:
    published = json.loads((ROOT / "docs" / "usecase.schema.json").read_text(encoding="utf-8"))
    assert published == json_schema(), "docs/usecase.schema.json is out of date: write json_schema() to it"


def test_the_schema_gives_editors_examples_as_values_and_no_machine_made_titles() -> None:
    schema = json_schema()
    window = schema["$defs"]["WindowSpec"]["properties"]
    assert window["spans"]["examples"] == [["1d", "7d"]]
    assert "title" not in window["spans"]
    assert schema["$defs"]["EventSpec"]["properties"]["timezone"]["default"] == "UTC"
    assert schema["additionalProperties"] is False


def test_the_reference_names_every_key_of_the_grammar() -> None:
    text = (ROOT / "docs" / "usecase.md").read_text(encoding="utf-8")
    schema = json_schema()
    keys = {key for part in (schema, *schema["$defs"].values()) for key in part.get("properties", {})}
    assert {"rounds", "time_to", "std_of_one", "idle"} < keys
    missing = {key for key in keys if f"`{key}`" not in text}
    assert not missing


def test_no_parameter_is_both_the_use_cases_and_ours() -> None:
    assert not PARAMETERS.keys() & OURS.keys()
