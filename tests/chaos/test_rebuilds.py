"""For how long `rebuilding` is a true stamp: until the store says that its rows are whole, and no longer."""

from collections.abc import Callable

import pytest
from redis import Redis

from features.keys import Namespace
from features.progress import ALWAYS, Progress, encode_progress
from stream.pipeline.causes import Cause
from tests.chaos.harness.rebuilds import Rebuilds, rebuilding
from tests.chaos.harness.stamps import FLOWING_AGAIN_MS, Span
from tests.chaos.harness.usecase import TEXT
from tests.integration.processes import await_that
from tests.integration.usecase import definition_named

EMPTIED = Span("redis emptied", 1_000, 2_000, Cause.REBUILDING | Cause.STORE_DOWN)


@pytest.mark.parametrize(
    ("not_whole", "until"),
    [
        ([(1_500, 90_000)], 90_000),
        ([(1_500, 9_000), (12_000, 50_000)], 50_000),
        ([(1_500, 1_900)], None),
        ([(2_000 + FLOWING_AGAIN_MS + 1, 90_000)], None),
        ([(100, 900)], None),
        ([], None),
    ],
)
def test_rows_may_be_filled_for_longer_than_predictions_take(
    not_whole: list[tuple[int, int]], until: int | None
) -> None:
    found = rebuilding([EMPTIED], not_whole)
    assert [(span.begin_ms, span.end_ms, span.may_cause) for span in found] == (
        [(1_000, until, Cause.REBUILDING)] if until else []
    )


def test_a_fault_that_leaves_rows_alone_explains_no_rebuilding() -> None:
    late = Span("link to redis late", 1_000, 2_000, Cause.STORE_TIMEOUT)
    assert rebuilding([late], [(1_500, 90_000)]) == []


def test_rows_are_whole_once_every_partition_says_so(
    redis_url: str, fresh_name: Callable[[str], str]
) -> None:
    name = fresh_name("visits").replace("-", "_")
    namespace = Namespace.of(definition_named(name, TEXT))
    partitions = [1]
    watch = Rebuilds(redis_url, namespace, "events", lambda: partitions[0])
    watch.start()
    await_that(lambda: len(watch.intervals) == 1, "an empty store is not whole")
    with Redis.from_url(redis_url) as client:

        def says(partition: int, *, is_rebuilding: bool) -> None:
            progress = Progress(
                epoch="e",
                offset=0,
                log_end=0,
                event_time=0,
                complete_since=ALWAYS,
                written_at=0,
                rebuilding=is_rebuilding,
            )
            client.set(namespace.progress("events", partition), encode_progress(progress))

        def stands_still() -> bool:
            before = list(watch.intervals)
            watch.await_look()
            return watch.intervals == before

        client.set(namespace.epoch(), "e")
        says(0, is_rebuilding=True)
        watch.await_look()
        assert len(watch.intervals) == 1
        says(0, is_rebuilding=False)
        await_that(stands_still, "a whole store is whole")
        partitions[0] = 2
        await_that(lambda: len(watch.intervals) == 2, "nothing is known of a partition that was added")
        says(1, is_rebuilding=False)
        await_that(stands_still, "a whole store is whole")
        client.set(namespace.epoch(), "another")
        await_that(lambda: len(watch.intervals) == 3, "another life of the store knows nothing")
    watch.stop()
    assert all(first <= last for first, last in watch.intervals)
