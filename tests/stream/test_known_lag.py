"""The lag that a worker tells while it reads, while brokers are away, and until its group has settled."""

import pytest

from stream.engine.known_lag import SETTLE_MS, KnownLag, heard, lag_seconds
from stream.transport.endpoints import PartitionLag

LAGS = {0: PartitionLag(5, 9, 1_000, 4_000), 1: PartitionLag(7, 7, -1, 3_500)}
AT_END = {0: PartitionLag(9, 9, -1, 4_000), 1: PartitionLag(7, 7, -1, 3_500)}
READING = heard(KnownLag(), LAGS, adrift=False, reachable=True, now_ms=5_000)


def lost(known: KnownLag, reachable: bool, now_ms: int) -> KnownLag:
    return heard(known, {}, True, reachable, now_ms)


def test_what_is_read_is_told_as_it_is() -> None:
    assert READING.lags == LAGS
    assert lag_seconds(READING, 6_000) == 5.0
    assert lag_seconds(KnownLag(AT_END), 6_000) == 0.0


def test_partitions_lost_to_an_outage_are_told_as_last_known_and_their_lag_grows_older() -> None:
    known = READING
    for now_ms in (10_000, 20_000, 4_000_000):
        known = lost(known, reachable=False, now_ms=now_ms)
        assert known.lags == LAGS
        assert lag_seconds(known, now_ms) == (now_ms - 1_000) / 1_000


def test_without_brokers_nobody_knows_the_logs_end_and_the_age_of_the_last_word_counts() -> None:
    held = heard(KnownLag(), AT_END, adrift=False, reachable=False, now_ms=9_000)
    assert lag_seconds(held, 9_500) == 6.0
    assert lag_seconds(lost(held, reachable=False, now_ms=20_000), 20_000) == 16.5


def test_when_brokers_are_back_what_was_lost_is_told_until_the_group_has_settled() -> None:
    known = lost(READING, reachable=False, now_ms=50_000)
    known = lost(known, reachable=True, now_ms=50_000 + SETTLE_MS)
    assert known.lags == LAGS
    assert heard(known, AT_END, adrift=False, reachable=True, now_ms=60_000) == KnownLag(AT_END, True, 60_000)
    known = lost(known, reachable=True, now_ms=50_001 + SETTLE_MS)
    assert known.lags == {}
    assert lag_seconds(known, 10**9) == 0.0


@pytest.mark.parametrize("reachable", [True, False])
def test_what_another_member_took_over_in_good_order_is_not_told_any_more(reachable: bool) -> None:
    known = heard(READING, {}, adrift=False, reachable=reachable, now_ms=6_000)
    assert known.lags == {}
