import math
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.arrays import Floats, Ints
from features.definition import parse_definition
from features.definition.model import Definition, TopK
from features.event import EventBatch
from features.past.history import History, history_from_table
from models.training.evaluate import (
    Scored,
    evaluate_predictions,
    evaluation_mask,
    midnights,
    period_numbers,
    top_k,
)
from tests.models.usecases import DAY, ORDERS, PUMPS

ORDERS_DEFINITION = parse_definition(ORDERS, "orders")
TOP = TopK(name="top", k=2, per=DAY, by="buyer", drop_caught=True)


def history_of(buyers: list[str | None], times: list[int], labels: list[float]) -> History:
    """None is a key that is missing, which an entity other than the topic's may lack; times ascend."""
    n = len(buyers)
    table = pa.table({
        "order_id": [str(i) for i in range(n)],
        "ordered_at": pa.array(times, pa.timestamp("ms")),
        "buyer": [buyer or "?" for buyer in buyers],
        "shop": ["s"] * n,
        "amount": [1.0] * n,
        "returned": labels,
    })  # fmt: skip
    history = history_from_table(ORDERS_DEFINITION, table)
    events = replace(history.events, keys={**history.events.keys, "buyer": buyers})
    return replace(history, events=events)


def scored_of(buyers: list[str | None], labels: list[float], scores: list[float]) -> Scored:
    history = history_of(buyers, [0] * len(buyers), labels)
    return Scored(history.events, history.labels, np.array(scores))


def test_an_entity_counts_once_with_its_highest_score() -> None:
    scored = scored_of(["a", "a", "b", "c"], [1, 0, 0, 1], [0.1, 0.9, 0.8, 0.5])
    assert top_k(TOP, np.zeros(4, np.int64), scored) == 0.5  # a and b; c is third


def test_an_entity_caught_before_is_left_out_and_makes_room() -> None:
    scored = scored_of(["a", "b", "a", "b", "c"], [1, 0, 1, 0, 1], [0.9, 0.8, 0.9, 0.8, 0.7])
    periods = np.array([0, 0, 1, 1, 1])
    assert top_k(TOP, periods, scored) == np.mean([0.5, 0.5])  # then b and c
    one = replace(TOP, k=1)
    assert top_k(one, periods, scored) == np.mean([1.0, 0.0])  # a, then b
    assert top_k(replace(one, drop_caught=False), periods, scored) == 1.0  # a both times


def test_a_positive_entity_below_the_top_k_was_not_caught() -> None:
    scored = scored_of(["a", "b", "b"], [0, 1, 1], [0.9, 0.8, 0.7])
    assert top_k(replace(TOP, k=1), np.array([0, 0, 1]), scored) == np.mean([0.0, 1.0])


def test_of_equal_scores_the_key_that_comes_first_in_text_order_wins() -> None:
    scored = scored_of(["b", "a"], [1, 0], [0.5, 0.5])
    assert top_k(replace(TOP, k=1), np.zeros(2, np.int64), scored) == 0.0


@given(st.permutations(range(6)))
def test_top_k_does_not_depend_on_the_order_of_events(order: list[int]) -> None:
    scored = scored_of(list("aabbcc"), [1, 0, 0, 0, 0, 1], [0.5, 0.5, 0.5, 0.1, 0.5, 0.5])
    periods = np.array([0, 1, 0, 1, 0, 1])
    index = np.array(order)
    assert top_k(TOP, periods[index], scored.take(index)) == top_k(TOP, periods, scored)


def test_events_without_a_key_and_periods_without_events_count_nowhere() -> None:
    assert top_k(TOP, np.zeros(2, np.int64), scored_of([None, "a"], [1, 1], [0.9, 0.1])) == 1.0
    assert math.isnan(top_k(TOP, np.zeros(1, np.int64), scored_of([None], [1], [0.9])))


def in_zone(zone: str) -> Definition:
    return replace(ORDERS_DEFINITION, timezone=zone)


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def test_days_are_local_days_also_when_the_clock_changes() -> None:
    berlin = in_zone("Europe/Berlin")
    times = np.array(
        [ms("2018-10-27T23:59:00+02:00"), ms("2018-10-28T00:30:00+02:00"), ms("2018-10-28T23:30:00+01:00")]
    )
    numbers = period_numbers(berlin, times, DAY)
    assert (numbers - numbers[0]).tolist() == [0, 1, 1]
    starts = [
        ms("2018-10-27T00:00:00+02:00"),
        ms("2018-10-28T00:00:00+02:00"),
        ms("2018-10-28T00:00:00+02:00"),
    ]
    assert midnights(berlin, times).tolist() == starts


def test_under_sequence_time_periods_are_steps() -> None:
    pumps = parse_definition(PUMPS, "pumps")
    assert period_numbers(pumps, np.array([0, 9, 10]), 10).tolist() == [0, 0, 1]
    assert midnights(pumps, np.array([7])).tolist() == [7]


def mask_of(history: History, train_start: int, first: int) -> list[bool]:
    index: Ints = np.arange(first, len(history))
    events: EventBatch = history.events.take(index)
    mask = evaluation_mask(ORDERS_DEFINITION, events, history=history, train_start=train_start)
    return [bool(left_in) for left_in in mask]


def test_an_entity_is_known_from_the_midnight_after_its_label_was_visible() -> None:
    """Labels are visible a day after: a positive of day 1 at noon at noon of day 2, so from day 3 on."""
    noon = DAY // 2
    times = [DAY + noon, 2 * DAY + noon, 3 * DAY - 1, 3 * DAY, 9 * DAY]
    assert mask_of(history_of(["a"] * 5, times, [1, 0, 0, 0, 0]), 0, 1) == [True, True, False, False]


def test_a_positive_at_midnight_becomes_known_a_day_later_than_one_just_before() -> None:
    just_before = history_of(["a", "a"], [2 * DAY - 1, 3 * DAY], [1, 0])
    at_midnight = history_of(["a", "a"], [2 * DAY, 3 * DAY], [1, 0])
    assert (mask_of(just_before, 0, 1), mask_of(at_midnight, 0, 1)) == ([False], [True])


def test_a_positive_before_the_training_start_and_those_of_others_are_not_known() -> None:
    history = history_of(["a", "b", "a", "c"], [0, DAY, 9 * DAY, 9 * DAY], [1, 1, 0, 0])
    assert mask_of(history, train_start=DAY, first=2) == [True, True]
    assert mask_of(history, train_start=0, first=2) == [False, True]


def test_an_event_without_a_key_is_no_known_entity() -> None:
    assert mask_of(history_of([None, None], [0, 9 * DAY], [1, 0]), train_start=0, first=1) == [True]


def test_the_first_positive_decides_whatever_the_order_of_the_history() -> None:
    history = history_of(["a", "a", "a"], [DAY, 7 * DAY, 8 * DAY], [1, 1, 0])
    backwards = history.take(np.array([2, 1, 0]))
    for given_history in (history, backwards):
        events = history.events.take(np.array([2]))
        mask = evaluation_mask(ORDERS_DEFINITION, events, history=given_history, train_start=0)
        assert mask.tolist() == [False]


def test_events_without_a_label_are_in_no_figure() -> None:
    history = history_of(["a", "b", "c"], [0, 0, 0], [0, 1, np.nan])
    scores = np.array([0.1, 0.9, 0.95])
    figures = evaluate_predictions(
        ORDERS_DEFINITION, Scored(history.events, history.labels, scores), history=history, train_start=0
    )
    assert figures["roc_auc"] == 1.0
    assert figures["precision_at_3"] == 0.5
    assert set(figures) == {
        "roc_auc", "average_precision", "precision_at_3",
        "roc_auc_protocol", "average_precision_protocol", "precision_at_3_protocol",
    }  # fmt: skip


def test_figures_of_nothing_are_not_a_number() -> None:
    history = history_of(["a"], [0], [np.nan])
    figures = evaluate_predictions(
        ORDERS_DEFINITION, Scored(history.events, history.labels, np.zeros(1)), history=history, train_start=0
    )
    assert all(math.isnan(value) for value in figures.values())


def test_only_the_last_event_of_an_entity_counts_where_the_definition_says_so() -> None:
    evaluation = replace(
        ORDERS_DEFINITION.evaluation,
        rows="last_per_entity",
        exclude_known=None,
        top_k=None,
        metrics=("accuracy",),
    )
    definition = replace(ORDERS_DEFINITION, evaluation=evaluation)
    history = history_of(["a", "b", "a", None], [5, 6, 7, 8], [1, 1, 0, 1])
    mask = evaluation_mask(definition, history.events, history=history, train_start=0)
    assert mask.tolist() == [False, True, True, False]
    scored = Scored(history.events, history.labels, np.zeros(4))
    figures = evaluate_predictions(definition, scored, history=history, train_start=0)
    assert figures == {"accuracy": 0.25, "accuracy_protocol": 0.5}


PUBLISHED = """
name: published
task: binary
event:
  id: TRANSACTION_ID
  time: {field: TX_DATETIME, unit: iso8601}
  fields: {TRANSACTION_ID: string, TX_DATETIME: timestamp, CUSTOMER_ID: string, TX_AMOUNT: float64}
entities: {customer: CUSTOMER_ID}
label: {field: TX_FRAUD, delay: 7d}
features: [{fields: [TX_AMOUNT]}]
rules: [{otherwise: 0.0}]
decisions: [{otherwise: approve}]
evaluation:
  gap: 7d
  metrics: [roc_auc]
  top_k: {name: card_precision_at_100, k: 100, per: 1d, by: customer, drop_caught: true}
  exclude_known: {entity: customer, after: 7d}
"""


@pytest.mark.data
def test_the_published_protocol_leaves_in_exactly_the_published_events(data: Path) -> None:
    definition = parse_definition(PUBLISHED, "published")
    table = pq.read_table(data / "transactions_2018-06-18_2018-08-14.parquet")
    history = history_from_table(definition, table)
    first = ms("2018-08-08T00:00:00+00:00")
    index = np.flatnonzero(history.events.times >= first)
    events, labels = history.events.take(index), history.labels[index]
    train_start = ms("2018-07-25T00:00:00+00:00")

    left_in = evaluation_mask(definition, events, history=history, train_start=train_start)

    days = (events.times - first) // DAY
    assert np.bincount(days[left_in]).tolist() == [8739, 8628, 8335, 8210, 8293, 8105, 7954]
    assert np.bincount(days[left_in], labels[left_in]).tolist() == [55, 60, 56, 56, 59, 58, 41]
    published = pq.read_table(
        data / "handbook_features_test_week.parquet", columns=["TRANSACTION_ID", "IN_TEST_SET"]
    )
    in_test_set = dict(
        zip(published["TRANSACTION_ID"].to_pylist(), published["IN_TEST_SET"].to_pylist(), strict=True)
    )
    assert [in_test_set[int(i)] == 1 for i in events.ids] == left_in.tolist()
    perfect: Floats = labels
    figures = evaluate_predictions(
        definition, Scored(events, labels, perfect), history=history, train_start=train_start
    )
    assert figures["card_precision_at_100_protocol"] == pytest.approx(0.397, abs=5e-4)
