"""The policies of fields, a column at a time."""

from typing import Any, Literal

import numpy as np
import pytest

from features.definition.model import Field
from stream.pipeline.causes import Cause
from stream.pipeline.rejected import RejectReason
from stream.pipeline.validate import Verdicts, check_field, required_fields
from tests.stream.definitions import clock, sequence

NAN = float("nan")
AMOUNTS = np.array([-1.0, 0.0, 5.0, 10.0, 10.5, NAN])


def _amount(**policies: Any) -> Field:
    return Field("amount", "float64", minimum=0, maximum=10, **policies)


def test_a_value_out_of_range_is_stamped_and_stays_as_it_is() -> None:
    verdicts = Verdicts(range(6))
    column = check_field(verdicts, _amount(missing="allow"), AMOUNTS)
    assert column is AMOUNTS
    assert verdicts.causes.tolist() == [Cause.OUT_OF_RANGE, 0, 0, 0, Cause.OUT_OF_RANGE, 0]
    assert verdicts.rejected == []


def test_clipping_moves_a_value_to_the_limit_and_stamps_it() -> None:
    verdicts = Verdicts(range(6))
    column = check_field(verdicts, _amount(missing="allow", out_of_range="clip"), AMOUNTS)
    assert np.array_equal(column, [0, 0, 5, 10, 10, NAN], equal_nan=True)
    assert verdicts.causes.tolist() == [Cause.OUT_OF_RANGE, 0, 0, 0, Cause.OUT_OF_RANGE, 0]


def test_rejecting_out_of_range_names_the_limit_that_was_passed() -> None:
    verdicts = Verdicts([10, 11, 12, 13, 14, 15])
    check_field(verdicts, _amount(missing="allow", out_of_range="reject"), AMOUNTS)
    assert [(r.index, r.reason, r.field, r.detail) for r in verdicts.rejected] == [
        (10, RejectReason.OUT_OF_RANGE, "amount", "below the minimum of 0"),
        (14, RejectReason.OUT_OF_RANGE, "amount", "above the maximum of 10"),
    ]
    assert verdicts.standing.tolist() == [False, True, True, True, False, True]


@pytest.mark.parametrize("column", [np.array([1.0, NAN]), np.array(["a", None], object)])
@pytest.mark.parametrize("policy", ["reject", "stamp", "allow"])
def test_missing_values_are_rejected_stamped_or_let_pass(
    column: np.ndarray[Any, Any], policy: Literal["reject", "stamp", "allow"]
) -> None:
    verdicts = Verdicts(range(2))
    check_field(verdicts, Field("amount", "float64", missing=policy), column)
    assert verdicts.standing.tolist() == [True, policy != "reject"]
    assert verdicts.causes.tolist() == [0, Cause.FIELD_MISSING if policy == "stamp" else 0]


@pytest.mark.parametrize(
    ("column", "default", "expected"),
    [
        (np.array([1.0, NAN]), 3.0, [1.0, 3.0]),
        (np.array(["a", None], object), "b", ["a", "b"]),
        (np.array(["a", None], object), "", ["a", ""]),
    ],
)
def test_a_default_stands_in_for_a_missing_value_and_is_stamped(
    column: np.ndarray[Any, Any], default: float | str, expected: list[object]
) -> None:
    verdicts = Verdicts(range(2))
    found = check_field(verdicts, Field("amount", "float64", missing="default", default=default), column)
    assert found.tolist() == expected
    assert found.dtype == column.dtype
    assert verdicts.causes.tolist() == [0, Cause.FIELD_MISSING]
    assert verdicts.standing.all()


def test_a_limit_on_one_side_leaves_the_other_open() -> None:
    verdicts = Verdicts(range(3))
    field = Field("amount", "float64", minimum=0, missing="allow")
    check_field(verdicts, field, np.array([-1.0, 1e300, 5.0]))
    assert verdicts.causes.tolist() == [Cause.OUT_OF_RANGE, 0, 0]


def test_an_event_is_rejected_once_by_the_first_check_it_fails() -> None:
    verdicts = Verdicts(range(2))
    verdicts.reject(np.array([True, False]), RejectReason.BAD_ID, "id", "first")
    verdicts.reject(np.array([True, True]), RejectReason.BAD_KEY, "key", "second")
    assert [(r.index, r.detail) for r in verdicts.rejected] == [(0, "first"), (1, "second")]


def test_id_time_topic_key_and_what_says_so_are_required() -> None:
    assert required_fields(clock()) == {"order_id", "placed_at", "buyer", "price"}
    assert required_fields(sequence()) == {"pump", "cycle"}
