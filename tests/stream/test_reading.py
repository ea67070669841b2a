"""Lag, in records and in time, past control records, open transactions, pauses and rewinds."""

from stream.transport.endpoints import PartitionLag
from stream.transport.kafka.reading import Reading

NOW_MS = 10_000_000


def begun(start: int = 0, end: int = 10) -> Reading:
    reading = Reading()
    reading.begin({0: start}, {0: end}, asked_ms=1, first={})
    return reading


def lag(reading: Reading, heard: int = -1, is_told: bool = False) -> PartitionLag:
    return reading.lag(lambda _: heard, is_told=is_told)[0]


def read(reading: Reading, offset: int, timestamp: int = 0) -> None:
    reading.returned([0], [offset], [timestamp], now_ms=NOW_MS)


def test_what_was_there_when_the_partition_came_is_lag_before_anything_is_heard() -> None:
    assert lag(begun()).records == 10


def test_control_records_at_the_end_are_no_lag_once_the_fetcher_passed_them() -> None:
    reading = begun()
    read(reading, 7)
    assert lag(reading).records == 2
    reading.ran_out(0, 10, now_ms=5)
    assert lag(reading) == PartitionLag(10, 10)


def test_an_open_transaction_is_no_lag_and_what_comes_after_it_ended_is() -> None:
    reading = begun(end=8)
    read(reading, 7)
    reading.ran_out(0, 8, now_ms=5)
    assert lag(reading, heard=20).records == 0
    reading.told({0: 20}, asked_ms=6)
    assert lag(reading, heard=20).records == 12


def test_what_comes_while_a_partition_is_paused_is_lag_though_nothing_is_fetched() -> None:
    reading = begun()
    read(reading, 9)
    reading.ran_out(0, 10, now_ms=5)
    reading.told({0: 15}, asked_ms=6)
    assert lag(reading).records == 5


def test_a_gap_that_compaction_left_at_the_end_is_no_lag() -> None:
    reading = begun(end=100)
    read(reading, 40)
    reading.ran_out(0, 100, now_ms=5)
    assert lag(reading).records == 0


def test_what_is_read_again_is_lag() -> None:
    reading = begun()
    read(reading, 9)
    reading.ran_out(0, 10, now_ms=5)
    reading.go_to({0: 4, 9: 1})
    assert lag(reading) == PartitionLag(4, 10), "of what is read again nothing is known"
    assert reading.seeking == {0: 4}


def test_an_end_that_went_back_is_believed() -> None:
    reading = begun(end=100)
    reading.told({0: 60, 5: 1}, asked_ms=5)
    assert lag(reading).end == 60


def test_a_record_that_comes_after_hours_of_nothing_is_not_hours_late() -> None:
    reading = begun()
    read(reading, 9, timestamp=1_000)
    assert lag(reading, is_told=True).unread_since_ms == -1
    reading.told({0: 11}, asked_ms=2_000)
    assert lag(reading, is_told=True).unread_since_ms == 1_000
    read(reading, 10, timestamp=1_900)
    reading.told({0: 11}, asked_ms=3_600_000)
    reading.told({0: 12}, asked_ms=3_602_000)
    assert lag(reading, is_told=True).unread_since_ms == 3_600_000


def test_what_a_fetcher_ran_out_of_before_the_process_was_stopped_says_nothing_of_now() -> None:
    reading = begun()
    read(reading, 9, timestamp=500)
    reading.told({0: 10}, asked_ms=1_000)
    reading.ran_out(0, 10, now_ms=60_000)
    reading.told({0: 900}, asked_ms=60_001)
    assert lag(reading, is_told=True).unread_since_ms == 1_000
    assert lag(reading, is_told=False).unread_since_ms == 60_000


def test_all_that_stood_in_the_log_was_seen_for_the_moment_a_broker_was_asked() -> None:
    reading = begun()
    assert lag(reading, is_told=True).seen_until_ms(9_999) == -1, "of a backlog nothing is known"
    read(reading, 9, timestamp=500)
    assert lag(reading, is_told=True).seen_until_ms(9_999) == 1
    reading.told({0: 12}, asked_ms=700)
    assert lag(reading, is_told=True).seen_until_ms(9_999) == 500
    read(reading, 11, timestamp=650)
    assert lag(reading, is_told=True).seen_until_ms(9_999) == 700
    assert lag(reading, is_told=False).seen_until_ms(9_999) == 9_999


def test_the_end_is_known_for_the_moment_a_broker_was_asked_and_not_for_that_of_reading_up_to_it() -> None:
    reading = begun()
    read(reading, 9)
    reading.ran_out(0, 10, now_ms=9_000)
    assert reading.lag(lambda _: 10)[0].end_at_ms == 1
    reading.told({0: 10}, asked_ms=9_500)
    assert reading.lag(lambda _: 10)[0].end_at_ms == 9_500
    assert lag(reading).end_at_ms is None, "of a source that is never told its own word is taken"


def test_a_seek_that_never_succeeds_is_silence() -> None:
    reading = two_lagging()
    reading.go_to({1: 5})
    assert [look(reading, at) for at in range(3)] == [{}, {1: 1}, {1: 2}]


def test_a_fetcher_that_passes_aborted_records_is_not_silent() -> None:
    reading = two_lagging()
    assert look(reading, 0) == {1: 1}
    reading.fetched_to({1: 5, 7: 1})
    assert look(reading, 1) == {1: 1}
    reading.fetched_to({1: 5})
    assert look(reading, 2) == {1: 2}


def test_a_record_dated_ahead_hides_no_backlog() -> None:
    reading = begun(end=1_000)
    read(reading, 0, timestamp=500)
    read(reading, 1, timestamp=NOW_MS + 1)
    assert lag(reading, is_told=True).seen_until_ms(NOW_MS) == 500


def two_lagging() -> Reading:
    reading = Reading()
    reading.begin({0: 0, 1: 0}, {0: 10, 1: 10}, asked_ms=1, first={})
    reading.told({0: 20, 1: 20}, asked_ms=2)
    return reading


def look(reading: Reading, at: int, is_dry: bool = True) -> dict[int, int]:
    """Partition 0 flows; ends are told."""
    read(reading, at)
    if is_dry:
        reading.ran_dry()
    reading.told({0: 20, 1: 20}, asked_ms=2 + at)
    return reading.silent


def test_a_partition_that_brings_nothing_while_others_flow_is_silent() -> None:
    reading = two_lagging()
    assert [look(reading, at) for at in range(3)] == [{1: 1}, {1: 2}, {1: 3}]
    reading.returned([1], [0], [0], now_ms=NOW_MS)
    assert look(reading, 4) == {}
    assert look(reading, 5) == {1: 1}


def test_what_waits_to_be_polled_makes_no_partition_silent() -> None:
    reading = two_lagging()
    assert look(reading, 0) == {1: 1}
    assert look(reading, 1, is_dry=False) == {}


def test_a_partition_at_its_end_or_one_that_is_not_to_flow_yet_is_not_silent() -> None:
    reading = two_lagging()
    reading.ran_out(1, 20, now_ms=3)
    assert [look(reading, at) for at in range(2)] == [{}, {}]
    reading = Reading()
    reading.begin({0: 0, 1: 0}, {0: 20, 1: 20}, asked_ms=1, first={1: 0})
    assert [look(reading, at) for at in range(3)] == [{}, {}, {}]


def test_a_partition_that_left_is_forgotten() -> None:
    reading = begun()
    reading.go_to({0: 3})
    reading.forget({0})
    assert (reading.positions, reading.seeking) == ({}, {})
    reading.told({0: 3}, asked_ms=1)
    assert reading.lag(lambda _: 3) == {}
