"""Dead letters as people look at them, and what goes back of them, and in which order."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from io import StringIO
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from stream.commands.deadletters import run_replay
from stream.errors import Fatal
from stream.pipeline.rejected import Rejected, RejectReason
from stream.records import Headers, RecordBatch
from stream.transport.deadletter import (
    ENVELOPE,
    PROVENANCE,
    Provenance,
    dead_letter,
    read_letter,
    replayed_headers,
)
from stream.transport.endpoints import record_bytes
from stream.workers.deadletters import replaying
from stream.workers.deadletters.listing import count_lines, list_letters, printable, table_of
from stream.workers.deadletters.replaying import (
    Plan,
    Replay,
    ReplayPolicy,
    account,
    plan_lines,
    plan_replay,
)
from stream.workers.deadletters.showing import lines
from stream.workers.deadletters.standing import Place, Standing, Wanted
from tests.stream.definitions import ORDER, clock, records

LETTERS = "orders.deadletters"
ANY = ReplayPolicy(to=None, count_max=3, after=None, limit=None)
PARTITIONS = {"orders.events": 3, "elsewhere": 1}
NOW = 1_714_557_600_000
headers_of = st.lists(
    st.tuples(
        st.sampled_from(["a", "riverrun.reason", "riverrun.cut", "traceparent"]), st.binary(max_size=9)
    ),
    max_size=4,
)


def rejected_record(
    key: bytes | None,
    value: bytes | None,
    headers: Headers,
    reason: RejectReason = RejectReason.WRONG_TYPE,
    field: str | None = "price",
    bytes_max: int = 1_000_000,
) -> tuple[bytes | None, bytes | None, Headers]:
    one = records([value], partition=2, start=7)
    batch = RecordBatch(
        one.topic, one.partitions, one.offsets, one.timestamps, [key], [value], lambda _: list(headers)
    )
    letter = dead_letter(batch, Rejected(0, reason, field, "Expected a number"), "orders", bytes_max)
    return letter.key, letter.value, letter.headers


def standing(
    partition: int,
    offset: int,
    *,
    value: bytes | None = b"{}",
    headers: Sequence[tuple[str, bytes | None]] = (),
    reason: RejectReason = RejectReason.WRONG_TYPE,
    field: str | None = "price",
    when: int = NOW,
    bytes_max: int = 1_000_000,
) -> Standing:
    key, value, every = rejected_record(b"Ada", value, list(headers), reason, field, bytes_max)
    return Standing(
        LETTERS, Place(partition, offset), when, key, value, every, read_letter(key, value, every)
    )


def replayed(partition: int, offset: int, count: int) -> Headers:
    return Provenance(LETTERS, partition, offset, count).headers()


FOREIGN = Standing(LETTERS, Place(0, 99), NOW, b"k", b"v", [("a", b"b")], None)
CUT = standing(0, 98, value=b"x" * 9_000, bytes_max=2_000)


# -------------------------------------------------------------------------------------------- envelope


@given(st.none() | st.binary(max_size=9), st.none() | st.binary(max_size=99), headers_of, st.integers(0, 3))
def test_key_value_and_own_headers_survive_any_number_of_failures(
    key: bytes | None, value: bytes | None, own: Headers, failures: int
) -> None:
    headers = own
    for count in range(failures):
        letter = read_letter(*rejected_record(key, value, headers))
        assert letter is not None
        assert letter.count == count
        headers = replayed_headers(letter, LETTERS, 1, count)
    letter = read_letter(*rejected_record(key, value, headers))
    assert letter is not None
    assert (letter.key, letter.value, letter.headers, letter.cut) == (key, value, own, None)
    assert (letter.topic, letter.partition, letter.offset) == ("orders.events", 2, 7)
    assert (letter.reason, letter.field, letter.use_case) == ("wrong_type", "price", "orders")
    whence = Provenance(LETTERS, 1, failures - 1, failures)
    assert letter.replayed == (whence if failures else None)


@pytest.mark.parametrize("bytes_max", [1_300, 2_000])
def test_a_second_failure_is_recognised_though_its_letter_was_cut(bytes_max: int) -> None:
    headers = [("own", b"h" * 2_000), *replayed(0, 4, 2)]
    key, value, every = rejected_record(b"k" * 3_000, b"v" * 9_000, headers, bytes_max=bytes_max)
    assert record_bytes(key, value, every) <= bytes_max
    letter = read_letter(key, value, every)
    assert letter is not None
    assert letter.cut is not None
    assert letter.value_bytes == 9_000
    assert letter.replayed == Provenance(LETTERS, 0, 4, 2)


@pytest.mark.parametrize(
    "name_and_text",
    [
        (PROVENANCE[3], b"often"),
        (PROVENANCE[3], b"9" * 40),
        (PROVENANCE[0], b""),
        (PROVENANCE[0], b"t" * 10_000),
        (PROVENANCE[1], None),
    ],
)
def test_provenance_that_somebody_made_up_counts_for_nothing(name_and_text: tuple[str, bytes | None]) -> None:
    letter = read_letter(*rejected_record(b"k", b"v", [*replayed(0, 1, 1), name_and_text]))
    assert letter is not None
    assert letter.replayed is None


def test_a_record_without_our_headers_is_no_dead_letter() -> None:
    key, value, headers = rejected_record(b"k", b"v", [])
    assert read_letter(key, value, headers) is not None
    scribbled: Headers = [(name, b"?") for name in ENVELOPE]
    for others in ([], headers[1:], [*headers, ("more", b"")], scribbled):
        assert read_letter(key, value, others) is None


# ------------------------------------------------------------------------------------------------ list


def test_filters_leave_out_what_is_not_meant() -> None:
    late = standing(0, 1, when=NOW + 5_000)
    early = standing(0, 0, reason=RejectReason.NOT_JSON, field=None)
    both = [early, late, FOREIGN]

    def meant(wanted: Wanted) -> list[int]:
        return [one.place.offset for one in both if wanted.meets(one)]

    assert meant(Wanted()) == [0, 1, 99]
    assert meant(Wanted(reasons=frozenset({"not_json"}))) == [0]
    assert meant(Wanted(fields=frozenset({"price"}))) == [1]
    assert meant(Wanted(since=NOW + 1)) == [1]
    assert meant(Wanted(until=NOW + 5_000)) == [0, 99]
    assert meant(Wanted(source=(None, 2))) == [0, 1]
    assert meant(Wanted(source=("orders.events", 2))) == [0, 1]
    assert meant(Wanted(source=("orders.events", 3))) == []
    assert meant(Wanted(source=("others", 2))) == []


def test_a_list_has_the_newest_in_the_order_of_time_and_counts_all() -> None:
    letters = [standing(n % 2, n, when=NOW - 1_000 * n) for n in range(5)]
    letters += [standing(0, 9, reason=RejectReason.NOT_JSON, field=None, headers=replayed(1, 1, 1)), FOREIGN]
    listing = list_letters(letters, 3)
    assert [(one["partition"], one["offset"]) for one in listing.lines] == [(0, 0), (0, 9), (0, 99)]
    assert listing.counts == {"wrong_type": 5, "not_json": 1, "unknown": 1}
    assert listing.again == 1
    assert len(list_letters(letters, None).lines) == 7
    assert count_lines(listing)[0] == "7 dead letters, the newest 3 above"


def test_a_line_says_where_a_record_came_from_and_that_it_failed_again() -> None:
    (one,) = list_letters([standing(3, 5, value=b"x" * 10, headers=replayed(0, 4, 2))], None).lines
    assert one == {
        "partition": 3,
        "offset": 5,
        "when": "2024-05-01T10:00:00Z",
        "reason": "wrong_type",
        "field": "price",
        "detail": "Expected a number",
        "use_case": "orders",
        "from": {"topic": "orders.events", "partition": 2, "offset": 7},
        "bytes": 10,
        "cut": False,
        "replayed": {"count": 2, "topic": LETTERS, "partition": 0, "offset": 4},
    }


def test_the_table_shows_every_line_and_takes_no_text_as_markup() -> None:
    console = Console(width=200, record=True, file=StringIO())
    odd = replace(standing(0, 1), letter=read_letter(b"k", b"v", _envelope_with(topic="[red]\x1b[2J")))
    console.print(
        table_of(list_letters([odd, CUT, FOREIGN, standing(0, 2, headers=replayed(1, 3, 1))], None))
    )
    text = console.export_text()
    assert "[red]\\x1b[2J 2:7" in text
    assert "\x1b" not in text
    assert "9,000 cut" in text
    assert "1×, last from 1:3" in text
    assert "0:99" in text


def _envelope_with(topic: str) -> Headers:
    _, _, headers = rejected_record(b"k", b"v", [])
    return [(name, topic.encode() if name == "riverrun.topic" else text) for name, text in headers]


@given(st.text())
def test_nothing_that_is_printed_moves_a_terminal(text: str) -> None:
    assert printable(text).isprintable()


# ------------------------------------------------------------------------------------------------ show


def shown(one: Standing, *, unmasked: bool = False) -> str:
    return "\n".join(lines(clock(), one, unmasked=unmasked))


def test_everything_of_a_letter_is_shown_but_what_is_personal() -> None:
    value = msgspec.json.encode(ORDER | {"email": "ada@example.org"})
    text = shown(standing(0, 1, value=value, headers=[("user", b"Ada"), ("traceparent", b"00-1")]))
    assert "Ada" not in text
    assert "example.org" not in text
    for part in (
        "dead letter 0:1 of orders.deadletters, since 2024-05-01T10:00:00Z",
        "reason:    wrong_type",
        "field:     price",
        "detail:    Expected a number",
        "record:    orders.events partition 2 offset 7",
        "key:       ***",
        "header:    user: ***",
        "header:    traceparent: 00-1",
        '  "buyer": "***",',
        '  "shop": 7,',
        '  "email": "***"',
    ):
        assert part in text.split("\n"), part


def test_of_a_value_that_cannot_be_parsed_only_the_shape_is_shown() -> None:
    text = shown(standing(0, 1, value=b'{"buyer": "Ada Lovelace", "pr'))
    assert '{"buyer": "aaa aaaaaaaa", "aa' in text.split("\n")
    binary = shown(standing(0, 1, value=b"\x00\x00\x00\x00\x07Ada"))
    assert "Ada" not in binary
    assert binary.split("\n")[-1].startswith("value:     <8 bytes, sha256 ")


def test_unmasked_shows_json_pretty_text_as_it_is_and_bytes_in_hexadecimal() -> None:
    assert '  "buyer": "Ada",' in shown(standing(0, 1, value=msgspec.json.encode(ORDER)), unmasked=True)
    text = shown(standing(0, 1, value=b"Ada \x1b[2J", headers=[("user", b"Ada")]), unmasked=True)
    assert "header:    user: Ada" in text
    assert "key:       Ada" in text
    assert "00000000  41 64 61 20 1b 5b 32 4a" in text
    assert "Ada .[2J" in text
    assert "\x1b" not in text
    assert "Ada;12" in shown(standing(0, 1, value=b"Ada;12"), unmasked=True)
    assert "… 4,464 more bytes" in shown(standing(0, 1, value=b"x" * 70_000), unmasked=True)


def test_a_letter_of_another_use_case_is_masked_whole() -> None:
    letter = read_letter(b"k", b'{"shop": 7}', _envelope_with(topic="t"))
    assert letter is not None
    one = replace(standing(0, 1), letter=replace(letter, use_case="others"))
    text = shown(one)
    assert "7" not in text.partition("value:")[2].partition("sha256")[0].replace("11 bytes", "")
    assert '"shop"' not in text
    assert "nothing says what in it is personal" in text
    assert "cannot be replayed" in shown(FOREIGN)
    assert "a cut record cannot be replayed" in shown(CUT)


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
        standing(0, 3), letter=read_letter(b"k", b"v", _envelope_with(topic="nobody-made-this"))
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
