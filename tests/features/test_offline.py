"""Training sets: derived labels, what matures, and point-in-time features of a tiny history."""

import math

import numpy as np
import pyarrow as pa
import pytest

from features.definition import parse_definition
from features.definition.model import Definition
from features.golden import golden_inputs, golden_matrix
from features.past.history import HistoryError, history_from_table
from features.past.offline import build_training_set, event_labels, point_in_time_matrix


def machines(label: str, task: str) -> Definition:
    return parse_definition(
        f"""
name: machines
task: {task}
event:
  id: [unit, cycle]
  time: {{sequence: cycle, per: unit}}
  fields: {{unit: string, cycle: int64, heat: float64, failed: bool}}
entities: {{machine: unit}}
label: {label}
history: none
features:
  - window: {{entity: machine, spans: [2 events, 3], aggregates: [count, mean(heat)]}}
rules: [{{otherwise: 0.5}}]
decisions: [{{otherwise: run}}]
""",
        "machines.yaml",
    )


def readings(rows: list[tuple[str, int, float, bool]]) -> pa.Table:
    return pa.table(
        {
            "unit": [r[0] for r in rows],
            "cycle": [r[1] for r in rows],
            "heat": [r[2] for r in rows],
            "failed": [r[3] for r in rows],
        }
    )


FIVE = [("a", cycle, float(cycle), cycle == 5) for cycle in range(1, 6)]
ALIVE = [("b", cycle, float(cycle), False) for cycle in range(1, 6)]


def labels_of(
    definition: Definition, rows: list[tuple[str, int, float, bool]]
) -> dict[tuple[str, int], float]:
    history = history_from_table(definition, readings(rows))
    keys = zip(history.events.keys["machine"], history.events.times.tolist(), strict=True)
    return dict(zip(((str(k), t) for k, t in keys), event_labels(definition, history).tolist(), strict=True))


def test_within_is_positive_up_to_that_many_events_before_the_end() -> None:
    definition = machines('{time_to: "failed", unit: events, within: 2 events}', "binary")
    got = labels_of(definition, FIVE)
    assert [got["a", cycle] for cycle in range(1, 6)] == [0.0, 0.0, 1.0, 1.0, 1.0]


def test_what_has_not_matured_is_left_open_not_negative() -> None:
    definition = machines('{time_to: "failed", unit: events, within: 2 events}', "binary")
    got = labels_of(definition, ALIVE)
    # Cycles 1 to 3 have two later readings without a failure, so it is further away than two.
    assert [got["b", cycle] for cycle in (1, 2, 3)] == [0.0, 0.0, 0.0]
    assert all(math.isnan(got["b", cycle]) for cycle in (4, 5))


def test_remaining_life_counts_down_and_is_cut_at_the_cap() -> None:
    definition = machines('{time_to: "failed", unit: events, cap: 3}', "regression")
    got = labels_of(definition, FIVE + ALIVE)
    assert [got["a", cycle] for cycle in range(1, 6)] == [3.0, 3.0, 2.0, 1.0, 0.0]
    assert [got["b", cycle] for cycle in (1, 2)] == [3.0, 3.0]
    assert all(math.isnan(got["b", cycle]) for cycle in (3 + 1, 5))


def test_the_end_of_an_entity_is_its_last_event() -> None:
    definition = machines("{time_to: end_of_entity, unit: events, cap: 125}", "regression")
    got = labels_of(definition, ALIVE)
    assert [got["b", cycle] for cycle in range(1, 6)] == [4.0, 3.0, 2.0, 1.0, 0.0]


def test_a_training_set_holds_the_range_asked_for_with_features_from_before_it() -> None:
    definition = machines('{time_to: "failed", unit: events, within: 2 events}', "binary")
    history = history_from_table(definition, readings(ALIVE + FIVE))
    built = build_training_set(definition, history, 3, 5)
    assert sorted(built.events.ids) == ["a\x1f3", "a\x1f4", "b\x1f3", "b\x1f4"]
    row = built.matrix[list(built.events.ids).index("a\x1f4")]
    assert row.tolist() == [2.0, 3.5, 3.0, 3.0]


def test_the_order_of_the_file_does_not_matter() -> None:
    definition = machines('{time_to: "failed", unit: events, within: 2 events}', "binary")
    straight = history_from_table(definition, readings(FIVE))
    mixed = history_from_table(definition, readings([FIVE[i] for i in (3, 0, 4, 2, 1)]))
    everything = np.arange(5)
    np.testing.assert_array_equal(
        point_in_time_matrix(definition, straight, everything),
        point_in_time_matrix(definition, mixed, everything),
    )


def test_golden_inputs_carry_all_that_a_feature_needs() -> None:
    definition = machines('{time_to: "failed", unit: events, within: 2 events}', "binary")
    history = history_from_table(definition, readings(FIVE + ALIVE))
    index = np.array([0, 3, 7, 9])
    events, matrix = golden_matrix(definition, golden_inputs(definition, history, index))
    assert events.ids == [history.events.ids[i] for i in index]
    np.testing.assert_array_equal(matrix, point_in_time_matrix(definition, history, index))


def test_a_table_without_the_fields_names_all_that_are_missing() -> None:
    definition = machines("{time_to: end_of_entity, unit: events, cap: 125}", "regression")
    with pytest.raises(HistoryError, match="lacks the columns heat, failed"):
        history_from_table(definition, pa.table({"unit": ["a"], "cycle": [1]}))


def payments(policy: str) -> Definition:
    return parse_definition(
        f"""
name: payments
task: binary
event:
  id: id
  time: {{field: at, unit: iso8601}}
  timezone: Europe/Brussels
  fields: {{id: string, at: timestamp, who: string, amount: {{type: float64, min: 0, max: 10, {policy}}}}}
entities: {{who: who}}
label: {{field: bad, delay: 1d}}
features: [{{fields: [amount]}}]
rules: [{{otherwise: 0.5}}]
decisions: [{{otherwise: go}}]
""",
        "payments.yaml",
    )


AMOUNTS = pa.table(
    {
        "id": ["1", "2", "3"],
        "at": ["2024-01-01T12:00:00", "2024-07-01T12:00:00", "2024-07-01T12:00:00Z"],
        "who": ["a", "a", "a"],
        "amount": [5.0, 50.0, None],
        "bad": [0, 1, 0],
    }
)


def test_history_is_clipped_and_rejected_as_live_events_are() -> None:
    clipped = history_from_table(payments("out_of_range: clip"), AMOUNTS)
    np.testing.assert_array_equal(clipped.events.columns["amount"], [5.0, 10.0, np.nan])
    rejecting = history_from_table(payments("out_of_range: reject, missing: reject"), AMOUNTS)
    assert rejecting.events.ids == ["1"]
    assert rejecting.rejected == 2


def test_times_of_history_are_local_to_the_use_case_as_live_ones_are() -> None:
    times = history_from_table(payments("missing: allow"), AMOUNTS).events.times
    assert np.array(times, "datetime64[ms]").astype(str).tolist() == [
        "2024-01-01T11:00:00.000",
        "2024-07-01T10:00:00.000",
        "2024-07-01T12:00:00.000",
    ]


def test_a_value_that_is_no_time_is_named_with_its_row() -> None:
    broken = AMOUNTS.set_column(1, "at", pa.array(["2024-01-01T12:00:00", "yesterday", "soon"]))
    with pytest.raises(HistoryError, match=r"column at: row 1 .*yesterday.* is no time, and 1 more"):
        history_from_table(payments("missing: allow"), broken)


def test_golden_inputs_leave_out_keys_and_personal_fields_that_nothing_reads() -> None:
    definition = parse_definition(
        """
name: payments
task: binary
event:
  id: id
  time: {field: at, unit: ms}
  fields:
    id: string
    at: timestamp
    who: {type: string, personal: true}
    note: {type: string, personal: true, missing: allow}
    amount: float64
entities: {who: who}
label: {field: bad, delay: 1d}
features: [{fields: [amount]}, {window: {entity: who, spans: [1d], aggregates: [count]}}]
rules: [{otherwise: 0.5}]
decisions: [{otherwise: go}]
""",
        "payments.yaml",
    )
    table = pa.table(
        {"id": ["1"], "at": [5], "who": ["Ann Smith"], "note": ["hello"], "amount": [1.0], "bad": [0]}
    )
    case = golden_inputs(definition, history_from_table(definition, table), np.array([0]))[0]
    assert "Ann" not in str(case)
    assert "hello" not in str(case)
    assert case["fields"]["amount"] == 1.0
