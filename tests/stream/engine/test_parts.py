"""A poll is cut into batches; what each may claim to have seen ends where it ends."""

import numpy as np

from stream.engine.parts import cut
from stream.records import RecordBatch
from stream.transport.endpoints import PartitionLag

NOW = 1_000


def records(*places: tuple[int, int, int]) -> RecordBatch:
    """Of (partition, offset, timestamp)."""
    partitions, offsets, timestamps = (np.array(column, np.int64) for column in zip(*places, strict=True))
    values = [b"%d-%d" % place[:2] for place in places]
    return RecordBatch("t", partitions, offsets, timestamps, values, values, lambda i: [("n", values[i])])


def test_what_fits_into_one_batch_stays_as_it_is() -> None:
    polled, lags = records((0, 5, 10), (0, 6, 11)), {0: PartitionLag(7, 9, 11)}
    (part,) = cut(polled, 2, lags, NOW)
    assert part.records is polled
    assert part.lags is lags


def test_parts_are_alike_in_size_and_hold_everything_in_order() -> None:
    polled = records(*((0, offset, 0) for offset in range(10)))
    parts = [part.records for part in cut(polled, 4, {0: PartitionLag(10, 10)}, NOW)]
    assert [len(part) for part in parts] == [3, 3, 4]
    for name in ("partitions", "offsets", "timestamps"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(joined, getattr(polled, name))
    assert [key for part in parts for key in part.keys] == polled.keys
    assert [value for part in parts for value in part.values] == polled.values
    named = [part.headers(i) for part in parts for i in range(len(part))]
    assert named == [polled.headers(i) for i in range(10)]


def test_a_part_has_not_seen_what_comes_after_it() -> None:
    polled = records((0, 5, 10), (0, 7, 20), (1, 0, 15), (1, 1, 30))
    lags = {0: PartitionLag(8, 20, 20), 1: PartitionLag(2, 2, -1, 900), 2: PartitionLag(4, 4)}
    first, second = cut(polled, 2, lags, NOW)
    assert first.lags == {0: lags[0], 1: PartitionLag(0, 2, 15, 900), 2: lags[2]}
    assert second.lags == lags
    first, *_ = cut(polled, 1, lags, NOW)
    assert first.lags[0] == PartitionLag(7, 20, 20)


def test_records_without_a_time_or_dated_ahead_tell_nothing_of_what_was_seen() -> None:
    for timestamp in (-1, NOW + 1):
        polled = records((0, 0, 10), (0, 1, 20), (0, 2, timestamp))
        first, *_ = cut(polled, 1, {0: PartitionLag(3, 3)}, NOW)
        assert first.lags[0].seen_until_ms(NOW) == -1


def test_a_partition_that_left_within_the_poll_is_passed_over() -> None:
    first, _ = cut(records((0, 0, 1), (3, 0, 1)), 1, {0: PartitionLag(1, 1)}, NOW)
    assert first.lags.keys() == {0}
