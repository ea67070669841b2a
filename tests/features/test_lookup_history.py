"""Lookups of the past: the value in force at an event's time, as it was served then."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.arrays import Floats
from features.golden import golden_inputs, golden_matrix
from features.lookup.codec import encode_lookups
from features.lookup.history import LookupHistory, LookupTable, over_time
from features.lookup.request import assemble_lookups, request_lookups
from features.lookup.table import (
    LookupTableError,
    lookup_columns,
    lookup_history,
    read_lookup_table,
)
from features.matrix import FeaturePlan
from features.past.history import History
from features.past.offline import build_training_set, point_in_time_matrix, training_categories
from tests.features.lookup_cases import CUSTOMER, DAY_MS, DEFINITION, NOW_MS, SEQUENCE, Purchase, batch

Version = tuple[str, int, float]
"""(customer, written_at, credit limit)"""

moments = st.integers(0, 12).map(lambda step: NOW_MS + step * 5 * DAY_MS)
customers = st.sampled_from(["ann", "bob", "eve"])


def history_of(versions: list[Version]) -> LookupHistory:
    limits = np.array([limit for *_, limit in versions], np.float64)
    values = np.stack([limits, np.full(len(limits), 7.0), np.full(len(limits), 1990.0)], axis=1)
    times = np.array([time for _, time, _ in versions], np.int64)
    return over_time(LookupTable(CUSTOMER, [customer for customer, *_ in versions], times, values, {}))


def past(purchases: list[Purchase], versions: list[Version]) -> History:
    events = batch(purchases)
    n = len(events)
    return History(events, np.zeros(n), events.times, lookups={"customer": history_of(versions)})


def served(purchase: Purchase, versions: list[Version]) -> Floats:
    """The features of an event that came at its own time, after every value that was written by then."""
    event = batch([purchase])
    store: dict[bytes, bytes] = {}
    for customer, time, limit in sorted(versions, key=lambda version: version[1]):
        if time <= purchase[0]:
            value = encode_lookups(CUSTOMER, np.array([time]), np.array([[limit, 7.0, 1990.0]]))[0]
            store[f"rr:cards:lookup:customer:{customer}".encode()] = value
    request = request_lookups(DEFINITION, event, {})
    found = assemble_lookups(request, [store.get(key) for key in request.store_keys], event.times)
    plan = FeaturePlan(DEFINITION, {"customer_segment": ("gold",)})
    features: Floats = plan.matrix(event, {}, None, found.columns)[0]
    return features


@given(
    st.lists(st.tuples(moments, customers, st.just(None)), min_size=1, max_size=6),
    st.lists(st.tuples(customers, moments, st.integers(1, 99).map(float)), max_size=8),
)
def test_training_sees_what_serving_saw(purchases: list[Purchase], versions: list[Version]) -> None:
    history = past(purchases, versions)
    plan = FeaturePlan(DEFINITION, {"customer_segment": ("gold",)})
    trained = plan.matrix(history.events, {}, None, history.lookup_columns())
    for at, purchase in enumerate(purchases):
        np.testing.assert_array_equal(trained[at], served(purchase, versions))


@given(
    st.lists(st.tuples(moments, customers, st.just(None)), min_size=1, max_size=6),
    st.lists(st.tuples(customers, moments, st.integers(1, 99).map(float)), max_size=8),
)
def test_the_newest_value_not_after_the_event_counts_and_none_beyond_max_age(
    purchases: list[Purchase], versions: list[Version]
) -> None:
    found = past(purchases, versions).lookup_columns()["customer_credit_limit"]
    for at, (time, customer, _) in enumerate(purchases):
        earlier = [
            (written, limit) for name, written, limit in versions if name == customer and written <= time
        ]
        # `max` keeps the first of equals, and of equally old rows the last counts.
        newest = max(reversed(earlier), key=lambda version: version[0], default=None)
        if newest is None or time - newest[0] > 30 * DAY_MS:
            assert np.isnan(found[at])
        else:
            assert found[at] == newest[1]


def test_training_sets_hold_the_lookups_of_their_events() -> None:
    purchases: list[Purchase] = [(NOW_MS, "ann", 1), (NOW_MS + 1, "bob", 1), (NOW_MS + 2, "ann", 1)]
    history = past(purchases, [("ann", NOW_MS, 50.0), ("ann", NOW_MS + 2, 25.0)])
    training = build_training_set(DEFINITION, history, NOW_MS + 1, NOW_MS + 3)
    names = DEFINITION.feature_names
    limits, shares = (training.matrix[:, names.index(name)] for name in ("customer_credit_limit", "share"))
    np.testing.assert_array_equal(limits, [np.nan, 25.0])
    np.testing.assert_array_equal(shares, [np.nan, 4.0])


def test_golden_cases_keep_the_lookups_that_their_events_had() -> None:
    history = past([(NOW_MS, "ann", 1), (NOW_MS + 1, "bob", 1)], [("ann", NOW_MS, 50.0)])
    index = np.array([1, 0])
    cases = golden_inputs(DEFINITION, history, index)
    _, again = golden_matrix(DEFINITION, cases)
    np.testing.assert_array_equal(again, point_in_time_matrix(DEFINITION, history, index))
    assert again[1, DEFINITION.feature_names.index("customer_credit_limit")] == 50.0


def test_the_texts_behind_the_numbers_become_the_categories() -> None:
    table = customers_table(segment=["gold", None, "silver"])
    history = replace(
        past([(NOW_MS + 3, "ann", None), (NOW_MS + 3, "bob", None), (NOW_MS + 3, "eve", None)], []),
        lookups={"customer": lookup_history(DEFINITION, "customer", table)},
    )
    found = training_categories(DEFINITION, history, NOW_MS, NOW_MS + 4)
    assert found == {"customer_segment": ("gold", "silver")}


# ----------------------------------------------------------------------------------------------- tables


def customers_table(**columns: Any) -> pa.Table:
    """Three rows; None leaves a column out."""
    all_columns: dict[str, Any] = {
        "customer": ["ann", "bob", "eve"],
        "credit_limit": [50.0, 25.0, None],
        "segment": ["gold", "silver", "gold"],
        "born": [1990, 1980, 1970],
        "written_at": [NOW_MS, NOW_MS + 1, NOW_MS + 2],
        "remarks": ["", "", ""],
    } | columns
    return pa.table({name: values for name, values in all_columns.items() if values is not None})


def read(table: pa.Table, first_row: int = 0) -> LookupTable:
    columns = lookup_columns(DEFINITION, "customer", table.column_names)
    return read_lookup_table(DEFINITION, columns, table, first_row)


@pytest.mark.parametrize(
    "written_at",
    [
        [NOW_MS, NOW_MS + 1, NOW_MS + 2],
        pa.array([NOW_MS, NOW_MS + 1, NOW_MS + 2], pa.timestamp("ms", "Europe/Paris")),
        pa.array([NOW_MS, NOW_MS + 1, NOW_MS + 2], pa.timestamp("ms")),
        ["2023-11-14T22:13:20Z", "2023-11-14T22:13:20.001", "2023-11-14 23:13:20.002+01:00"],
    ],
)
def test_times_are_ms_timestamps_or_iso_8601_whatever_the_unit_of_events(written_at: Any) -> None:
    times = read(customers_table(written_at=written_at)).written_at
    assert times is not None
    assert times.tolist() == [NOW_MS, NOW_MS + 1, NOW_MS + 2]


def test_updated_at_says_it_where_there_is_no_written_at() -> None:
    named = customers_table(written_at=None, updated_at=[1, 2, 3])
    assert lookup_columns(DEFINITION, "customer", named.column_names).time == "updated_at"
    both = customers_table(updated_at=[1, 2, 3])
    assert lookup_columns(DEFINITION, "customer", both.column_names).time == "written_at"


def test_keys_of_several_fields_are_those_of_events() -> None:
    table = pa.table({"shop": [1.0, 2.0], "customer": ["ann", "b\x1fb"], "visits": [True, None]})
    columns = lookup_columns(DEFINITION, "pair", table.column_names)
    found = read_lookup_table(DEFINITION, columns, table)
    assert found.keys == ["ann\x1f1", "b\\u001fb\x1f2"]
    np.testing.assert_array_equal(found.values, [[1.0], [np.nan]])
    assert found.written_at is None


@pytest.mark.parametrize(
    ("columns", "error"),
    [
        ({"customer": ["ann", None, "eve"]}, "column customer: row 11 (None) is missing, and customer is"),
        ({"customer": ["ann", "bob", "e" * 513]}, "makes a key of more than 512 bytes"),
        ({"credit_limit": ["50", "25", "many"]}, "column credit_limit: row 12 ('many') is no double"),
        ({"credit_limit": [1.0, np.inf, 2.0]}, "column credit_limit: row 11 (inf) is infinite (leave"),
        ({"segment": [[1], [2], [3]]}, "column segment is list"),
        ({"written_at": [NOW_MS, None, NOW_MS]}, "column written_at: row 11 (None) is missing"),
        ({"written_at": [NOW_MS, -1, NOW_MS]}, "column written_at: row 11 (-1) is no time from 1970 to 9999"),
        ({"written_at": ["today", "now", ""]}, "column written_at: row 10 ('today') is no time"),
    ],
)  # fmt: skip
def test_what_means_nothing_is_named_by_column_and_row_of_the_file(
    columns: dict[str, Any], error: str
) -> None:
    with pytest.raises(LookupTableError) as raised:
        read(customers_table(**columns), first_row=10)
    assert error in str(raised.value)


def test_every_missing_column_is_named() -> None:
    with pytest.raises(
        LookupTableError, match="lacks the columns credit_limit, born; it has customer, segment, "
    ):
        read(customers_table(credit_limit=None, born=None))


def test_an_entity_without_lookups_has_no_table() -> None:
    with pytest.raises(
        LookupTableError, match="nothing is looked up for shop; cards has lookups for customer, pair"
    ):
        lookup_columns(DEFINITION, "shop", [])


def test_the_past_needs_to_know_when_rows_were_written() -> None:
    with pytest.raises(LookupTableError, match="has no column written_at"):
        lookup_history(DEFINITION, "customer", customers_table(written_at=None))


def test_without_a_clock_a_key_has_one_value_for_all_time() -> None:
    table = pa.table({"pump": [3, 4], "built": [1999, 2005], "written_at": [5, 6]})
    columns = lookup_history(SEQUENCE, "pump", table).columns(["4", "3", "5", None], np.array([1, 99, 1, 1]))
    np.testing.assert_array_equal(columns["pump_built"], [2005, 1999, np.nan, np.nan])
    with pytest.raises(LookupTableError, match="keep one row for each pump"):
        lookup_history(SEQUENCE, "pump", pa.table({"pump": [3, 3], "built": [1999, 2005]}))
