import numpy as np

from features.definition import parse_definition
from models.decision import decide, predicted_class, score_columns
from tests.models.usecases import ORDERS, PUMPS, SIZES


def test_binary_decisions_read_the_score_and_fields() -> None:
    definition = parse_definition(ORDERS, "orders")
    places = decide(definition, {"amount": np.array([60.0, 60.0, 40.0])}, np.array([0.9, 0.1, 0.9]))
    assert [definition.decisions[at].decision for at in places.tolist()] == ["call", "ship", "ship"]


def test_a_score_that_is_missing_falls_through_to_the_last_case() -> None:
    definition = parse_definition(ORDERS, "orders")
    assert decide(definition, {"amount": np.array([60.0])}, np.array([np.nan])).tolist() == [1]


def test_regression_decisions_read_the_value_which_is_also_the_score() -> None:
    definition = parse_definition(PUMPS, "pumps")
    assert decide(definition, {}, np.array([3.0, 20.0])).tolist() == [0, 1]
    columns = score_columns(definition, np.array([3.0]))
    assert columns["value"].tolist() == columns["score"].tolist() == [3.0]


def test_multiclass_decisions_read_the_class_and_its_probabilities() -> None:
    definition = parse_definition(SIZES, "sizes")
    scores = np.array([[0.1, 0.2, 0.7], [0.9, 0.05, 0.05], [0.2, 0.5, 0.3]])
    places = decide(definition, {}, scores)
    assert [definition.decisions[at].decision for at in places.tolist()] == ["truck", "letter", "parcel"]


def test_the_first_of_equally_probable_classes_is_predicted_and_none_of_missing_ones() -> None:
    scores = np.array([[0.4, 0.4, 0.2], [np.nan, 0.5, 0.5]])
    assert predicted_class(scores).tolist() == [0, -1]
    columns = score_columns(parse_definition(SIZES, "sizes"), scores)
    assert columns["predicted_class"].tolist() == ["small", None]
