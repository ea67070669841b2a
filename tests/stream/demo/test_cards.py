"""Simulated card transactions: seeded, and with the facts of the data they are modelled on."""

from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pytest

from stream.demo.cards import AMOUNT_OF_FRAUD, DAY_S, CardWorld, simulate_cards

SMALL = CardWorld(date(2025, 1, 1), days=20, customers=600, terminals=900, radius=10.0)


@pytest.fixture(scope="module")
def cards() -> pa.Table:
    return simulate_cards(SMALL)


def seconds(table: pa.Table) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return table["event_time"].cast(pa.int64()).to_numpy() // 1000


def test_equal_worlds_give_equal_transactions(cards: pa.Table) -> None:
    assert simulate_cards(SMALL).equals(cards)


def test_another_seed_gives_other_transactions(cards: pa.Table) -> None:
    other = simulate_cards(
        CardWorld(SMALL.first_day, SMALL.days, SMALL.customers, SMALL.terminals, 10.0, seed=1)
    )
    assert not other.equals(cards)


def test_they_have_the_fields_of_the_fraud_use_case_and_its_label(cards: pa.Table) -> None:
    names = ["transaction_id", "event_time", "customer_id", "terminal_id", "amount", "is_fraud"]
    assert cards.column_names == names
    assert all(cards[name].null_count == 0 for name in names)


def test_ids_count_from_zero_in_the_order_of_time(cards: pa.Table) -> None:
    assert cards["transaction_id"].to_pylist() == [str(i) for i in range(cards.num_rows)]
    assert (np.diff(seconds(cards)) >= 0).all()


def test_times_are_whole_seconds_within_the_days_asked_for(cards: pa.Table) -> None:
    first = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp())
    days = (seconds(cards) - first) // DAY_S
    assert (cards["event_time"].cast(pa.int64()).to_numpy() % 1000 == 0).all()
    assert set(days.tolist()) == set(range(SMALL.days))


def test_a_customer_makes_two_transactions_a_day_on_average(cards: pa.Table) -> None:
    assert cards.num_rows / SMALL.days / SMALL.customers == pytest.approx(2, rel=0.1)


def test_amounts_are_whole_cents_and_never_negative(cards: pa.Table) -> None:
    amounts = cards["amount"].to_numpy()
    assert (amounts >= 0).all()
    assert np.array_equal(np.round(amounts, 2), amounts)
    assert np.median(amounts) == pytest.approx(46, abs=10)


def test_every_amount_above_the_limit_is_fraud(cards: pa.Table) -> None:
    large = cards["amount"].to_numpy() > AMOUNT_OF_FRAUD
    assert large.any()
    assert (cards["is_fraud"].to_numpy()[large] == 1).all()


def test_transactions_are_made_where_the_customer_lives() -> None:
    near = simulate_cards(CardWorld(date(2025, 1, 1), 30, customers=200, terminals=400, radius=8.0))
    visits = near.group_by("customer_id").aggregate([("terminal_id", "count_distinct")])
    # About 400 × π 8² / 100² = 8 terminals are in reach, of 400.
    assert max(visits["terminal_id_count_distinct"].to_numpy()) < 25


def test_customers_without_a_terminal_in_reach_make_no_transactions() -> None:
    lonely = simulate_cards(CardWorld(date(2025, 1, 1), 5, customers=50, terminals=1, radius=1.0))
    assert len(set(lonely["customer_id"].to_pylist())) < 50


def test_some_terminals_are_in_wrong_hands_for_a_time_and_all_they_take_is_fraud(cards: pa.Table) -> None:
    fraud, terminals = cards["is_fraud"].to_numpy(), np.array(cards["terminal_id"].to_pylist())
    days = (seconds(cards) - seconds(cards)[0]) // DAY_S
    late = days >= SMALL.days - 3
    shares = [fraud[late & (terminals == t)].mean() for t in np.unique(terminals[late & (fraud == 1)])]
    assert sum(share == 1 for share in shares) > SMALL.days


def test_fraud_is_rare_but_grows_while_the_first_terminals_fall() -> None:
    whole = simulate_cards(CardWorld(date(2025, 1, 1), days=40))
    assert whole["is_fraud"].to_numpy().mean() == pytest.approx(0.0075, abs=0.003)
