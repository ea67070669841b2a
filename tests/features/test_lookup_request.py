"""Lookups of a batch of events: which keys are read, and what each event has of them."""

import numpy as np

from features.lookup.codec import encode_lookups
from features.lookup.request import LookedUp, assemble_lookups, request_lookups
from features.rows import index_keys
from tests.features.lookup_cases import CUSTOMER, DAY_MS, DEFINITION, NOW_MS, Purchase, batch


def packed(written_at: int, credit_limit: float = 50.0) -> bytes:
    return encode_lookups(CUSTOMER, np.array([written_at]), np.array([[credit_limit, 7.0, 1990.0]]))[0]


def looked_up(purchases: list[Purchase], stored: dict[str, bytes]) -> LookedUp:
    """stored: by what follows ``rr:cards:lookup:``."""
    events = batch(purchases)
    request = request_lookups(DEFINITION, events, {})
    answer = [stored.get(key.decode().removeprefix("rr:cards:lookup:")) for key in request.store_keys]
    return assemble_lookups(request, answer, events.times)


def test_each_distinct_key_of_the_batch_is_read_once() -> None:
    events = batch([(NOW_MS, "ann", 1), (NOW_MS, "bob", 2), (NOW_MS, "ann", 1), (NOW_MS, None, 1)])
    request = request_lookups(DEFINITION, events, {"customer": index_keys(events.keys["customer"])})
    assert request.store_keys == [
        b"rr:cards:lookup:customer:ann",
        b"rr:cards:lookup:customer:bob",
        b"rr:cards:lookup:pair:ann\x1f1",
        b"rr:cards:lookup:pair:bob\x1f2",
    ]


def test_every_event_has_the_values_of_its_own_keys() -> None:
    found = looked_up(
        [(NOW_MS, "bob", 1), (NOW_MS, "ann", 1), (NOW_MS, "bob", 2)],
        {
            "customer:ann": packed(NOW_MS, 10.0),
            "customer:bob": packed(NOW_MS, 20.0),
            "pair:bob\x1f1": b'{"visits": 1}',
            "pair:ann\x1f1": b'{"visits": 2}',
            "pair:bob\x1f2": b'{"visits": 3}',
        },
    )
    assert list(found.columns) == [
        "customer_credit_limit",
        "customer_segment",
        "customer_born",
        "pair_visits",
    ]
    assert found.columns["customer_credit_limit"].tolist() == [20.0, 10.0, 20.0]
    assert found.columns["pair_visits"].tolist() == [1.0, 2.0, 3.0]
    assert not (found.missing | found.unreadable | found.keyless).any()


def test_an_absent_value_is_missing_for_the_events_of_its_key_alone() -> None:
    found = looked_up([(NOW_MS, "ann", None), (NOW_MS, "bob", None)], {"customer:bob": packed(NOW_MS)})
    assert found.missing.tolist() == [True, False]
    np.testing.assert_array_equal(found.columns["customer_credit_limit"], [np.nan, 50.0])


def test_a_missing_key_is_told_apart_from_a_missing_value() -> None:
    found = looked_up([(NOW_MS, None, None), (NOW_MS, "ann", None)], {"customer:ann": packed(NOW_MS)})
    assert found.keyless.tolist() == [True, True]
    assert found.missing.tolist() == [False, False]
    np.testing.assert_array_equal(found.columns["customer_born"], [np.nan, 1990.0])


def test_an_unreadable_value_is_missing_too() -> None:
    found = looked_up(
        [(NOW_MS, "ann", 1), (NOW_MS, "bob", 1)],
        {
            "customer:ann": b"?",
            "pair:ann\x1f1": b'{"visits": 1}',
            "customer:bob": packed(NOW_MS),
            "pair:bob\x1f1": b'{"visits": 2}',
        },
    )
    assert found.missing.tolist() == [True, False]
    assert found.unreadable.tolist() == [True, False]
    assert found.columns["pair_visits"].tolist() == [1.0, 2.0]


def test_a_value_is_too_old_once_the_event_is_more_than_max_age_after_it() -> None:
    purchases: list[Purchase] = [(NOW_MS + 30 * DAY_MS, "ann", None), (NOW_MS + 30 * DAY_MS + 1, "ann", None)]
    found = looked_up(purchases, {"customer:ann": packed(NOW_MS)})
    np.testing.assert_array_equal(found.columns["customer_credit_limit"], [50.0, np.nan])
    assert found.columns["customer_born"].tolist() == [1990.0, 1990.0], "it has no max_age"
    assert found.missing.tolist() == [False, True]


def test_a_value_dated_after_the_event_has_no_age() -> None:
    found = looked_up([(NOW_MS, "ann", None)], {"customer:ann": packed(NOW_MS + 400 * DAY_MS)})
    assert found.columns["customer_credit_limit"].tolist() == [50.0]
    assert found.missing.tolist() == [False]


def test_a_value_that_does_not_say_when_it_was_written_is_too_old_where_age_matters() -> None:
    found = looked_up([(NOW_MS, "ann", None)], {"customer:ann": b'{"credit_limit": 50, "born": 1990}'})
    np.testing.assert_array_equal(found.columns["customer_credit_limit"], [np.nan])
    assert found.columns["customer_born"].tolist() == [1990.0]
    assert found.missing.tolist() == [True]


def test_a_null_in_a_value_that_is_there_is_stamped_with_nothing() -> None:
    found = looked_up([(NOW_MS, "ann", 1)], {"customer:ann": packed(NOW_MS, np.nan), "pair:ann\x1f1": b"{}"})
    np.testing.assert_array_equal(found.columns["customer_credit_limit"], [np.nan])
    assert found.missing.tolist() == [False]


def test_no_events_need_no_keys() -> None:
    found = looked_up([], {})
    assert [column.tolist() for column in found.columns.values()] == [[], [], [], []]
