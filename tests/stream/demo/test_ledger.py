"""The books: what was sent, against what came back, by source position."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.demo.ledger import DeadLetter, Ledger, Poison, Position, percentiles

POISON = Poison("not json", b"key", b"{", (("demo-poison", b"not json"),))


def letter(position: Position, letter_of: Poison = POISON) -> DeadLetter:
    headers = (*letter_of.headers, ("riverrun.reason", b"not_json"))
    return DeadLetter(position, letter_of.key, letter_of.value, headers)


def ledger_of(events: int) -> Ledger:
    ledger = Ledger([f"e{row}" for row in range(events)])
    for row in range(events):
        ledger.sent((row % 4, row // 4), row)
    return ledger


def test_one_prediction_for_each_event_is_clean() -> None:
    ledger = ledger_of(10)
    for row in range(10):
        assert ledger.predicted((row % 4, row // 4), f"e{row}")
    account = ledger.close()
    assert account.clean
    assert (account.events, account.predictions, account.lost, account.duplicates) == (10, 10, 0, 0)


def test_an_event_without_a_prediction_is_lost() -> None:
    ledger = ledger_of(3)
    ledger.predicted((0, 0), "e0")
    account = ledger.close()
    assert account.lost == 2
    assert not account.clean


def test_a_position_predicted_more_than_once_counts_once_as_doubled() -> None:
    ledger = ledger_of(2)
    assert [ledger.predicted((0, 0), "e0") for _ in range(3)] == [True, False, False]
    ledger.predicted((1, 0), "e1")
    account = ledger.close()
    assert (account.duplicates, account.predictions, account.lost) == (1, 4, 0)


def test_a_prediction_may_be_read_before_the_delivery_of_its_event_is_reported() -> None:
    ledger = Ledger(["e0"])
    ledger.predicted((2, 7), "e0")
    ledger.sent((2, 7), 0)
    assert ledger.close().clean


def test_a_prediction_under_another_events_id_is_a_stranger() -> None:
    ledger = ledger_of(2)
    ledger.predicted((0, 0), "e1")
    ledger.predicted((1, 0), "e1")
    assert ledger.close().strangers == 1


def test_a_prediction_for_a_position_that_was_never_sent_is_a_stranger() -> None:
    ledger = ledger_of(1)
    ledger.predicted((0, 0), "e0")
    ledger.predicted((3, 99), "e0")
    assert ledger.close().strangers == 1


def test_poison_that_comes_back_as_it_was_is_clean_and_no_event() -> None:
    ledger = Ledger([])
    ledger.sent_poison((0, 0), POISON)
    assert ledger.waiting == 1
    assert ledger.dead_letter(letter((0, 0)))
    account = ledger.close()
    assert account.clean
    assert (account.events, account.poison, account.dead_letters, ledger.waiting) == (0, 1, 1, 0)


@pytest.mark.parametrize(
    "changed",
    [
        replace(POISON, key=None),
        replace(POISON, value=b"{ "),
        replace(POISON, value=None),
        replace(POISON, headers=()),
    ],
    ids=["key", "value", "no value", "headers"],
)
def test_poison_that_comes_back_changed_is_noticed(changed: Poison) -> None:
    ledger = Ledger([])
    ledger.sent_poison((0, 0), POISON)
    ledger.dead_letter(letter((0, 0), changed))
    assert ledger.close().poison_changed == 1


def test_poison_without_a_dead_letter_is_missing() -> None:
    ledger = Ledger([])
    ledger.sent_poison((0, 0), POISON)
    assert ledger.close().poison_missing == 1


def test_a_dead_letter_of_a_valid_event_is_a_stranger_and_the_event_lost() -> None:
    ledger = ledger_of(1)
    ledger.dead_letter(letter((0, 0)))
    account = ledger.close()
    assert (account.strangers, account.lost) == (1, 1)


@given(st.lists(st.integers(0, 7), max_size=30))
def test_lost_and_predicted_positions_always_make_up_the_events(predicted: list[int]) -> None:
    ledger = ledger_of(8)
    for row in predicted:
        ledger.predicted((row % 4, row // 4), f"e{row}")
    account = ledger.close()
    assert account.lost + len(set(predicted)) == account.events == 8
    assert account.predictions == len(predicted)
    assert account.duplicates == len({row for row in predicted if predicted.count(row) > 1})


def test_percentiles_of_nothing_are_not_numbers() -> None:
    assert all(value != value for value in percentiles([], (50, 99)))
    assert percentiles([1.0, 2.0, 3.0], (50,)) == [2.0]
