"""The credit: never more in a partition than it can hold for its readers, and never stuck for good."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.demo.credit import HELD_BYTES_MAX, HELD_RECORDS_MAX, Credit

SIZE = 1_000


def filled(records: int, *, answered: bool = False) -> Credit:
    credit = Credit([0], ["score", "materialize"])
    for offset in range(records):
        credit.sending(SIZE)
        credit.sent(0, offset, SIZE, answered=answered)
    return credit


def test_an_empty_topic_has_room_for_all_that_it_may_hold() -> None:
    assert Credit([0, 1], ["score"]).room(SIZE) == HELD_BYTES_MAX // SIZE


def test_what_was_sent_is_held_until_the_slowest_group_has_committed_it() -> None:
    credit = filled(500)
    credit.committed("score", 0, 500)
    assert credit.room(SIZE) == HELD_BYTES_MAX // SIZE - 500
    credit.committed("materialize", 0, 200)
    assert credit.room(SIZE) == HELD_BYTES_MAX // SIZE - 300


def test_what_is_on_its_way_counts_against_every_partition() -> None:
    credit = Credit([0, 1], ["score"])
    for _ in range(50):
        credit.sending(SIZE)
    assert credit.room(SIZE) == HELD_BYTES_MAX // SIZE - 50


def test_a_commit_that_goes_back_frees_nothing_and_takes_nothing() -> None:
    credit = filled(10)
    for group in ("score", "materialize"):
        credit.committed(group, 0, 8)
        credit.committed(group, 0, 3)
        credit.committed(group, 0, -1001)
    assert credit.room(SIZE) == HELD_BYTES_MAX // SIZE - 2


def test_answers_that_were_not_read_hold_the_feed_back_by_their_own_size() -> None:
    credit = filled(100, answered=True)
    for group in ("score", "materialize"):
        credit.committed(group, 0, 100)
    credit.answered(0, 10 * SIZE)
    assert credit.room(SIZE) == HELD_BYTES_MAX // (10 * SIZE) - 99


def test_many_small_records_are_bounded_by_their_number() -> None:
    assert Credit([0], ["score"]).room(1) == HELD_RECORDS_MAX


def test_a_gap_in_the_offsets_is_refused() -> None:
    with pytest.raises(ValueError, match="offset 1 after 0 records"):
        Credit([0], ["score"]).sent(0, 1, SIZE, answered=False)


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    """Sends of a size, commits and answers, in any order: (what, partition, number)."""
    whats = st.sampled_from(["send", "send", "send", "score", "materialize", "answer"])
    return draw(st.lists(st.tuples(whats, st.integers(0, 1), st.integers(1, 400_000)), max_size=60))


@given(steps())
def test_a_feed_that_keeps_to_it_never_overfills_a_partition(script: list[tuple[str, int, int]]) -> None:
    credit = Credit([0, 1], ["score", "materialize"])
    sizes: list[list[int]] = [[], []]
    committed = {"score": [0, 0], "materialize": [0, 0]}
    answered = [0, 0]
    for what, partition, number in script:
        if what == "send":
            if credit.room(number) > 0:
                credit.sending(number)
                credit.sent(partition, len(sizes[partition]), number, answered=True)
                sizes[partition].append(number)
        elif what == "answer":
            if answered[partition] < len(sizes[partition]):
                credit.answered(partition, 2_000)
                answered[partition] += 1
        else:
            offset = min(number % 64, len(sizes[partition]))
            committed[what][partition] = max(committed[what][partition], offset)
            credit.committed(what, partition, offset)
        for p in (0, 1):
            low = min(marks[p] for marks in committed.values())
            assert sum(sizes[p][low:]) <= HELD_BYTES_MAX
            assert (len(sizes[p]) - answered[p]) * 2_000 <= HELD_BYTES_MAX


@given(steps())
def test_there_is_room_again_once_everybody_has_read_everything(script: list[tuple[str, int, int]]) -> None:
    credit = Credit([0, 1], ["score", "materialize"])
    sent = [0, 0]
    for _, partition, number in script:
        credit.sending(number)
        credit.sent(partition, sent[partition], number, answered=True)
        credit.answered(partition, 2_000)
        sent[partition] += 1
    for group in ("score", "materialize"):
        for partition in (0, 1):
            credit.committed(group, partition, sent[partition])
    assert credit.room(2_000) == HELD_BYTES_MAX // 2_000
