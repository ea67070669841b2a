"""What goes back of the dead letters, in which order, and what is said of it."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.commands.deadletters import run_replay
from stream.errors import Fatal
from stream.pipeline.rejected import RejectReason
from stream.records import Headers
from stream.transport.deadletter import (
    Provenance,
    read_letter,
    replayed_headers,
)
from stream.workers.deadletters import replaying
from stream.workers.deadletters.replaying import (
    Plan,
    Replay,
    ReplayPolicy,
    account,
    plan_lines,
    plan_replay,
)
from stream.workers.deadletters.standing import Place, Standing, Wanted
from tests.stream.letters import (
    ANY,
    CUT,
    FOREIGN,
    LETTERS,
    NOW,
    PARTITIONS,
    envelope_with,
    replayed,
    standing,
)

# ---------------------------------------------------------------------------------------------- replay


def planned(letters: Iterable[Standing], wanted: Wanted = Wanted(), policy: ReplayPolicy = ANY) -> Plan:  # noqa: B008  frozen
    return plan_replay(letters, wanted, policy, lambda topic: PARTITIONS.get(topic, 0))


def places(plan: Plan) -> list[str]:
    return [str(sent.place) for sent in plan.going]


def test_letters_go_partition_by_partition_in_the_order_of_their_offsets() -> None:
    mixed = [standing(1, 4), standing(0, 9), standing(1, 2), standing(0, 10)]
    plan = planned(mixed)
    assert places(plan) == ["0:9", "0:10", "1:2", "1:4"]
    assert {(sent.topic, sent.partition) for sent in plan.going} == {("orders.events", 2)}
    assert places(planned(mixed, policy=replace(ANY, after=Place(0, 10)))) == ["1:2", "1:4"]
    assert places(planned(mixed, policy=replace(ANY, limit=3))) == ["0:9", "0:10", "1:2"]


def test_what_cannot_go_stays_and_is_named_with_the_cause() -> None:
    elsewhere = replace(
        standing(0, 3), letter=read_letter(b"k", b"v", envelope_with(topic="nobody-made-this"))
    )
    plan = planned([CUT, FOREIGN, elsewhere, standing(1, 0)])
    assert places(plan) == ["1:0"]
    said = plan_lines(plan)
    assert said[0] == "1:0 -> orders.events partition 2"
    assert "0:3 stays: its topic nobody-made-this is not there; create it, or give --to TOPIC" in said
    assert any(text.startswith("0:98 stays: it was cut to fit the topic") for text in said)
    assert any(text.startswith("0:99 stays: somebody else wrote it") for text in said)


def test_a_partition_that_is_not_there_any_more_leaves_the_choice_to_the_key() -> None:
    plan = planned([standing(0, 1)], policy=replace(ANY, to="elsewhere"))
    assert [(sent.topic, sent.partition) for sent in plan.going] == [("elsewhere", None)]
    assert plan_lines(plan) == ["0:1 -> elsewhere by its key"]
    assert plan.destinations() == {"elsewhere": 1}


def test_of_a_record_that_failed_again_only_the_last_letter_goes() -> None:
    letters = [
        standing(0, 1),
        standing(1, 1, headers=replayed(0, 1, 1), reason=RejectReason.NOT_JSON),
        standing(2, 1, headers=replayed(1, 1, 2)),
        standing(0, 7, headers=[*Provenance("others.deadletters", 2, 1, 1).headers()]),
    ]
    assert places(planned(letters)) == ["0:7", "2:1"]
    assert planned(letters).staying[0].stays == "it was replayed before, and failed again as 1:1"
    only_first = Wanted(fields=frozenset({"price"}), until=NOW + 1)
    assert places(planned(letters, only_first)) == ["0:7", "2:1"], "a filter hides no successor"


def test_a_record_that_fails_each_time_is_not_replayed_for_ever() -> None:
    """As a timetable would: everything is replayed again and again, and nothing was mended."""
    log = [standing(0, 0)]
    for _ in range(10):
        for sent in planned(log).going:
            letter = log[sent.place.offset].letter
            assert letter is not None
            headers = replayed_headers(letter, LETTERS, 0, sent.place.offset)
            log.append(standing(0, len(log), headers=headers))
    assert len(log) == 4
    stays = planned(log).staying[-1].stays
    assert stays == "it was replayed 3 times, and failed each time; --count-max allows more"
    assert places(planned(log, policy=replace(ANY, count_max=4))) == ["0:3"]


class Topic:
    """Takes records of less than fifty bytes, and answers when it is told to."""

    def __init__(self, breaks_at: int | None = None, error: BaseException | None = None) -> None:
        self.taken: list[tuple[str, int | None, bytes | None, bytes | None, Headers]] = []
        self.unheard: list[Callable[[bool], None]] = []
        self.deaf = False
        self._breaks_at, self._error = breaks_at, error

    def produce(
        self,
        topic: str,
        partition: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        answered: Callable[[bool], None],
    ) -> None:
        if self._error is not None and len(self.taken) == self._breaks_at:
            raise self._error
        self.taken.append((topic, partition, key, value, headers))
        self.unheard.append(answered if len(value or b"") < 50 else lambda _: answered(False))

    def wait(self, wait_ms: int) -> None:
        self.flush(wait_ms)

    def flush(self, wait_ms: int) -> int:
        if not self.deaf:
            while self.unheard:
                self.unheard.pop()(True)  # the last first: partitions answer in any order
        return len(self.unheard)


def replay_all(topic: Topic, letters: list[Standing], replay: Replay | None = None) -> Replay:
    replay = replay or Replay(topic)
    replay.send(letters, {sent.place: sent for sent in planned(letters).going})
    return replay


def test_the_original_record_goes_back_and_says_whence_it_comes() -> None:
    topic = Topic()
    own: Headers = [("traceparent", b"00-1"), ("twice", b"1"), ("twice", None)]
    letters = [standing(1, 5, value=b"as it came", headers=[*own, *replayed(0, 2, 1)]), CUT, standing(1, 6)]
    replay = replay_all(topic, letters)
    assert topic.taken[0] == ("orders.events", 2, b"Ada", b"as it came", [*own, *replayed(1, 5, 2)])
    assert topic.taken[1][4] == replayed(1, 6, 1)
    assert (replay.acknowledged, replay.unacknowledged, replay.reached) == (2, 0, Place(1, 6))


def test_no_more_than_a_bound_is_sent_before_it_is_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "IN_FLIGHT_MAX", 4)
    topic = Topic()
    most = 0

    class Counting(Topic):
        def wait(self, wait_ms: int) -> None:
            nonlocal most
            most = max(most, len(self.unheard))
            super().wait(wait_ms)

    topic = Counting()
    replay = replay_all(topic, [standing(0, n) for n in range(11)])
    assert most == 4
    assert replay.acknowledged == 11


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Fatal("the topic was deleted")])
def test_a_replay_that_is_broken_off_says_how_far_it_came_and_goes_on_from_there(
    error: BaseException,
) -> None:
    letters = [standing(p, n) for p in range(2) for n in range(5)]
    topic = Topic(7, error)
    replay = Replay(topic)
    with pytest.raises(type(error)):
        replay_all(topic, letters, replay)
    assert replay.reached == Place(1, 1)
    said = account(replay, planned(letters))
    assert said[0] == "7 of 10 dead letters were replayed and acknowledged"
    assert said[-1] == "go on with the same flags and --after 1:1"
    rest = planned(letters, policy=replace(ANY, after=replay.reached))
    assert places(rest) == ["1:2", "1:3", "1:4"]


def test_what_was_not_acknowledged_is_said_and_comes_again() -> None:
    letters = [standing(0, n) for n in range(5)]
    topic = Topic(3, KeyboardInterrupt())
    topic.deaf = True
    replay = Replay(topic)
    with pytest.raises(KeyboardInterrupt):
        replay_all(topic, letters, replay)
    assert (replay.acknowledged, replay.reached) == (0, None)
    said = "\n".join(account(replay, planned(letters)))
    assert "4 more were sent and not acknowledged" in said, "the last one may have been"
    assert said.endswith("go on with the same flags")


def test_what_its_topic_does_not_take_is_named_and_ends_nothing() -> None:
    letters = [standing(0, 0), standing(0, 1, value=b"x" * 60), standing(0, 2)]
    replay = replay_all(Topic(), letters)
    assert (replay.acknowledged, replay.too_large, replay.reached) == (2, [Place(0, 1)], Place(0, 2))
    said = account(replay, planned(letters))
    assert said[0] == "2 of 3 dead letters were replayed and acknowledged"
    assert said[1].startswith("0:1 stays: with the headers that a replay adds it is larger")
    assert len(said) == 2


@given(st.permutations(list(range(6))), st.integers(0, 6))
def test_the_place_reached_never_passes_a_letter_that_is_not_acknowledged(
    order: list[int], heard: int
) -> None:
    topic = Topic()
    topic.deaf = True
    replay = Replay(topic)
    letters = [standing(0, n) for n in range(6)]
    where = {sent.place: sent for sent in planned(letters).going}
    for one in letters:
        assert one.letter is not None
        replay._send(one, one.letter, where[one.place])
    for at in order[:heard]:
        topic.unheard[at](True)
    missing = sorted(set(order[heard:]))
    expected = (missing[0] if missing else 6) - 1
    assert replay.reached == (Place(0, expected) if expected >= 0 else None)
    assert (replay.acknowledged, replay.unacknowledged) == (heard, 6 - heard)


class Broken:
    """Replays two letters of five, and ends."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def replay(self, plan: Plan, started: Callable[[Replay], None]) -> None:
        replay = Replay(Topic(2, self._error))
        started(replay)
        replay.send([standing(0, n) for n in range(5)], {sent.place: sent for sent in plan.going})


def test_ctrl_c_leaves_an_account_and_the_code_that_shells_know(capsys: pytest.CaptureFixture[str]) -> None:
    letters: Any = Broken(KeyboardInterrupt())
    assert run_replay(letters, planned([standing(0, n) for n in range(5)])) == 130
    assert "2 of 5 dead letters were replayed" in capsys.readouterr().err


def test_a_failure_leaves_an_account_and_says_what_failed(capsys: pytest.CaptureFixture[str]) -> None:
    letters: Any = Broken(Fatal("the topic was deleted"))
    with pytest.raises(Fatal, match="the topic was deleted"):
        run_replay(letters, planned([standing(0, n) for n in range(5)]))
    assert "go on with the same flags and --after 0:1" in capsys.readouterr().err
