"""Dead letters as people look at them."""

from dataclasses import replace
from io import StringIO

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from stream.pipeline.rejected import RejectReason
from stream.records import Headers
from stream.transport.deadletter import (
    ENVELOPE,
    PROVENANCE,
    Provenance,
    read_letter,
    replayed_headers,
)
from stream.transport.endpoints import record_bytes
from stream.workers.deadletters.listing import count_lines, list_letters, printable, table_of
from stream.workers.deadletters.showing import lines
from stream.workers.deadletters.standing import Standing, Wanted
from tests.stream.definitions import ORDER, clock
from tests.stream.letters import (
    CUT,
    FOREIGN,
    LETTERS,
    NOW,
    envelope_with,
    headers_of,
    rejected_record,
    replayed,
    standing,
)

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
    odd = replace(standing(0, 1), letter=read_letter(b"k", b"v", envelope_with(topic="[red]\x1b[2J")))
    console.print(
        table_of(list_letters([odd, CUT, FOREIGN, standing(0, 2, headers=replayed(1, 3, 1))], None))
    )
    text = console.export_text()
    assert "[red]\\x1b[2J 2:7" in text
    assert "\x1b" not in text
    assert "9,000 cut" in text
    assert "1×, last from 1:3" in text
    assert "0:99" in text


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
    letter = read_letter(b"k", b'{"shop": 7}', envelope_with(topic="t"))
    assert letter is not None
    one = replace(standing(0, 1), letter=replace(letter, use_case="others"))
    text = shown(one)
    assert "7" not in text.partition("value:")[2].partition("sha256")[0].replace("11 bytes", "")
    assert '"shop"' not in text
    assert "nothing says what in it is personal" in text
    assert "cannot be replayed" in shown(FOREIGN)
    assert "a cut record cannot be replayed" in shown(CUT)
