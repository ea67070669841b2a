"""What every online store does, whatever is behind it."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.progress import ALWAYS, Progress, encode_progress
from features.store import OnlineStore
from tests.contract.conftest import DAY_MS, EVERY_BYTE, Subject, at_once, fresh_key, lives_for


def progress(offset: int, epoch: str = "epoch-a") -> bytes:
    return encode_progress(
        Progress(
            epoch=epoch, offset=offset, log_end=offset, event_time=7, complete_since=ALWAYS, written_at=0
        )
    )


def test_a_key_that_is_not_there_reads_as_none(subject: Subject) -> None:
    assert subject.store.read([fresh_key(), fresh_key()]) == [None, None]


def test_reading_nothing_gives_nothing(subject: Subject) -> None:
    assert subject.store.read([]) == []


def test_values_come_in_the_order_of_the_keys_asked_for(subject: Subject) -> None:
    a, b = fresh_key("a"), fresh_key("b")
    subject.store.append([(a, b"1"), (b, b"2")], DAY_MS)
    assert subject.store.read([b, fresh_key(), a, b]) == [b"2", None, b"1", b"2"]


def test_chunks_of_a_key_stand_in_the_order_they_were_given(subject: Subject) -> None:
    a, b = fresh_key("a"), fresh_key("b")
    subject.store.append([(a, b"1"), (b, b"2"), (a, b"3"), (a, b"4")], DAY_MS)
    subject.store.append([(a, b"5"), (b, b"6")], DAY_MS)
    assert subject.store.read([a, b]) == [b"1345", b"26"]


def test_appending_nothing_changes_nothing(subject: Subject) -> None:
    subject.store.append([], DAY_MS)


def test_keys_and_values_may_hold_any_byte(subject: Subject) -> None:
    key = fresh_key() + EVERY_BYTE
    subject.store.append([(key, EVERY_BYTE), (key, b"\r\n$5\r\n")], DAY_MS)
    assert subject.store.read([key]) == [EVERY_BYTE + b"\r\n$5\r\n"]
    assert subject.store.put_if_absent(key + b"\r\n", EVERY_BYTE) == EVERY_BYTE


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=40)), max_size=12), max_size=4))
def test_a_row_is_its_chunks_joined(subject: Subject, calls: list[list[tuple[int, bytes]]]) -> None:
    keys = [fresh_key(str(number)) for number in range(4)]
    expected: dict[bytes, bytes] = {}
    for call in calls:
        chunks = [(keys[number], chunk) for number, chunk in call]
        subject.store.append(chunks, DAY_MS)
        for key, chunk in chunks:
            expected[key] = expected.get(key, b"") + chunk
    assert subject.store.read(keys) == [expected.get(key) for key in keys]


def test_a_large_batch_arrives_whole(subject: Subject) -> None:
    stem = fresh_key()
    chunks = [(b"%b:%d" % (stem, number % 7_000), b"%06d." % number) for number in range(20_000)]
    subject.store.append(chunks, DAY_MS)
    keys = [b"%b:%d" % (stem, number) for number in range(7_001)]
    expected = [b"".join(b"%06d." % n for n in range(k, 20_000, 7_000)) or None for k in range(7_000)]
    assert subject.store.read(keys) == [*expected, None]


def test_a_chunk_may_be_larger_than_any_buffer(subject: Subject) -> None:
    small, large = fresh_key("small"), fresh_key("large")
    megabytes = EVERY_BYTE * 12_000
    subject.store.append([(small, b"1"), (large, megabytes), (small, b"2")], DAY_MS)
    assert subject.store.read([small, large]) == [b"12", megabytes]


def test_a_row_is_gone_after_its_time_to_live(subject: Subject) -> None:
    key = fresh_key()
    subject.store.append([(key, b"1")], 20)
    while subject.store.read([key]) != [None]:
        subject.tick()
    subject.store.append([(key, b"2")], DAY_MS)
    assert subject.store.read([key]) == [b"2"]


def test_appending_renews_the_time_to_live(subject: Subject) -> None:
    key = fresh_key()
    subject.store.append([(key, b"1")], DAY_MS)
    assert lives_for(subject, key, DAY_MS)
    subject.store.append([(key, b"2")], 2 * DAY_MS)
    assert lives_for(subject, key, 2 * DAY_MS)


def test_appending_without_a_time_to_live_leaves_the_one_there_is(subject: Subject) -> None:
    mortal, lasting = fresh_key("mortal"), fresh_key("lasting")
    subject.store.append([(mortal, b"1")], DAY_MS)
    subject.store.append([(mortal, b"2"), (lasting, b"1")], None)
    assert lives_for(subject, mortal, DAY_MS)
    assert subject.ttl_ms(lasting) is None


@pytest.mark.parametrize("ttl_ms", [0, -1])
def test_a_time_to_live_that_would_delete_is_refused(subject: Subject, ttl_ms: int) -> None:
    key = fresh_key()
    with pytest.raises(ValueError, match="ttl_ms"):
        subject.store.append([(key, b"1")], ttl_ms)
    assert subject.store.read([key]) == [None]


def test_an_append_tells_how_long_each_value_has_become(subject: Subject) -> None:
    a, b = fresh_key("a"), fresh_key("b")
    assert subject.store.begin_append([(a, b"12"), (b, b"3")], DAY_MS).lengths() == {a: 2, b: 1}
    again = subject.store.begin_append([(a, b"45"), (b, b""), (a, b"6")], None)
    assert again.lengths() == {a: 5, b: 1}
    assert subject.store.read([a, b]) == [b"12456", b"3"]
    assert subject.store.begin_append([], DAY_MS).lengths() == {}


def test_appends_that_were_begun_stand_in_their_order(subject: Subject) -> None:
    keys = [fresh_key(str(number)) for number in range(100)]
    for round_ in range(5):
        begun = subject.store.begin_append([(key, b"%d" % round_) for key in keys], DAY_MS)
        assert begun.lengths() == dict.fromkeys(keys, round_ + 1)
    assert subject.store.read(keys) == [b"01234"] * 100


def test_the_first_value_put_stays_in_force(subject: Subject) -> None:
    key = fresh_key()
    assert subject.store.put_if_absent(key, b"first") == b"first"
    assert subject.store.put_if_absent(key, b"second") == b"first"
    assert subject.store.read([key]) == [b"first"]
    assert subject.ttl_ms(key) is None


def test_of_values_put_at_once_all_callers_get_the_same_one(subject: Subject) -> None:
    key = fresh_key()
    values = [b"%d" % number for number in range(6)]

    def put(value: bytes) -> Callable[[OnlineStore], bytes]:
        return lambda store: store.put_if_absent(key, value)

    in_force = at_once(subject, [put(value) for value in values])
    assert len(set(in_force)) == 1
    assert subject.store.read([key]) == [in_force[0]]
    assert in_force[0] in values


def test_progress_is_written_forwards_only(subject: Subject) -> None:
    key = fresh_key()
    assert subject.store.advance(key, progress(5))
    assert not subject.store.advance(key, progress(4))
    assert subject.store.read([key]) == [progress(5)]
    assert subject.store.advance(key, progress(9))
    assert subject.store.read([key]) == [progress(9)]


def test_progress_at_the_same_offset_is_written_again(subject: Subject) -> None:
    key = fresh_key()
    renewed = progress(5).replace(b'"event_time":7', b'"event_time":8')
    assert subject.store.advance(key, progress(5))
    assert subject.store.advance(key, renewed)
    assert subject.store.read([key]) == [renewed]


def test_progress_of_another_epoch_is_replaced_whatever_its_offset(subject: Subject) -> None:
    key = fresh_key()
    assert subject.store.advance(key, progress(900, "epoch-a"))
    assert subject.store.advance(key, progress(1, "epoch-b"))
    assert subject.store.read([key]) == [progress(1, "epoch-b")]


@pytest.mark.parametrize(
    "stored", [b"", b"{", b"7", b"null", b"[]", b'{"epoch":"epoch-a"}', b'{"offset":9}', b"\xff\x00"]
)
def test_what_is_no_progress_is_replaced(subject: Subject, stored: bytes) -> None:
    key = fresh_key()
    subject.store.put_if_absent(key, stored)
    assert subject.store.advance(key, progress(1))
    assert subject.store.read([key]) == [progress(1)]


def test_offsets_are_compared_exactly_however_large(subject: Subject) -> None:
    key = fresh_key()
    assert subject.store.advance(key, progress(2**47 + 1))
    assert not subject.store.advance(key, progress(2**47))
    assert subject.store.read([key]) == [progress(2**47 + 1)]


def test_progress_advanced_at_once_ends_at_the_furthest(subject: Subject) -> None:
    key = fresh_key()

    def walk(start: int) -> Callable[[OnlineStore], list[bool]]:
        return lambda store: [store.advance(key, progress(offset)) for offset in range(start, 120, 4)]

    at_once(subject, [walk(start) for start in range(4)])
    assert subject.store.read([key]) == [progress(119)]


def test_closing_twice_is_harmless(subject: Subject) -> None:
    store = subject.another()
    store.close()
    store.close()
