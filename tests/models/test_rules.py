import numpy as np

from features.arrays import Column
from features.definition import parse_definition
from models.rules import RuleModel
from tests.models.usecases import ORDERS, SIZES


def order_columns(amounts: list[float], risks: list[float]) -> dict[str, Column]:
    n = len(amounts)
    columns: dict[str, Column] = dict.fromkeys(
        parse_definition(ORDERS, "orders").feature_names, np.full(n, np.nan)
    )
    return columns | {
        "amount": np.array(amounts),
        "shop_mean_label_7d_delay_1d": np.array(risks),
        "ordered_at": np.zeros(n),
        **{name: np.array(["x"] * n, dtype=object) for name in ("order_id", "buyer", "shop")},
    }


def test_the_first_rule_that_matches_wins() -> None:
    said = RuleModel(parse_definition(ORDERS, "orders")).predict(
        order_columns([95, 10, 10], [0.9, 0.9, 0.1]), 3
    )
    assert said.scores.tolist() == [0.9, 0.7, 0.1]
    assert said.reasons == ["dear", "bad_shop", None]
    assert said.rule.tolist() == [0, 1, 2]


def test_a_missing_value_matches_no_condition() -> None:
    said = RuleModel(parse_definition(ORDERS, "orders")).predict(order_columns([np.nan], [np.nan]), 1)
    assert said.scores.tolist() == [0.1]
    assert said.reasons == [None]


def test_multiclass_rules_give_a_probability_per_class() -> None:
    columns: dict[str, Column] = {"amount": np.array([80.0, 5.0]), "buyer_mean_amount_3_events": np.zeros(2)}
    said = RuleModel(parse_definition(SIZES, "sizes")).predict(columns, 2)
    assert said.scores.tolist() == [[0.1, 0.2, 0.7], [0.5, 0.3, 0.2]]
    assert said.reasons == ["dear", None]


def test_no_events_are_no_scores() -> None:
    said = RuleModel(parse_definition(SIZES, "sizes")).predict({"amount": np.empty(0)}, 0)
    assert said.scores.shape == (0, 3)
    assert said.reasons == []
