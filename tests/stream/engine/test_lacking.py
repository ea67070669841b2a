"""When rows are whole enough for a model to be served from them instead of from those in use."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import structs

from features.definition import parse_definition
from features.progress import ALWAYS, NEVER, Progress
from features.rows import request_rows
from stream.engine.completeness import NOTHING_YET
from stream.engine.lacking import Filled, Lacking, lacking
from stream.pipeline.causes import Cause
from stream.pipeline.enrich import Coverage, Enriched, FreshnessPolicy, enrich
from tests.stream.definitions import sequence
from tests.stream.engine.bench import LABELLED, VISITS
from tests.stream.visits import TEXT, batch, stored

NOW = 10_000_000
POLICY = FreshnessPolicy(limit=10_000, heartbeat_ms=15_000)
REACH = 1_500
"""Of the windows of `VISITS`: span and delay."""
SHORTER = REACH // 20
"""By so much a past may be shorter than that of the rows in use."""
BY_COUNT = parse_definition(
    TEXT.replace("spans: [1000ms], aggregates", "spans: [3 events], aggregates") + "idle: 2h\n", "v"
)
ROWLESS = parse_definition(
    "\n".join(line for line in TEXT.splitlines() if not line.startswith("  - window")), "v"
)


def at(**changes: Any) -> Progress:
    """A partition at its log's end, kept by a materializer that lives, with all of the past."""
    whole = Progress(
        epoch="e", offset=100, log_end=100, event_time=NOW, complete_since=ALWAYS, written_at=NOW
    )
    return structs.replace(whole, **changes)


def visits_lack(*partitions: Progress | None, instead_of: Sequence[Progress | None] | None = None) -> Lacking:
    replaced = None if instead_of is None else Filled(instead_of, ())
    return lacking(VISITS, Filled(partitions, ()), replaced, POLICY, NOW)


def test_rows_are_whole_when_every_partition_is_at_its_logs_end() -> None:
    assert visits_lack(at(), at()) == Lacking()


def test_a_partition_that_nobody_has_begun_with_is_lacking() -> None:
    assert visits_lack(at(), None) == Lacking(absent=1)
    assert visits_lack() == Lacking(absent=1), "nobody knows of any partition"
    assert lacking(LABELLED, Filled([at()], ()), None, POLICY, NOW) == Lacking(absent=1)


def test_rows_that_are_rebuilt_are_lacking() -> None:
    assert visits_lack(at(), at(rebuilding=True)) == Lacking(rebuilding=1)


@pytest.mark.parametrize(("behind", "whole"), [(POLICY.limit, True), (POLICY.limit + 1, False)])
def test_rows_may_lag_by_the_freshness_limit(behind: int, whole: bool) -> None:
    lacks = visits_lack(at(offset=40, event_time=NOW - behind))
    assert lacks.whole is whole
    assert lacks.records == 60


def test_how_far_rows_lag_is_told_by_those_in_use_while_they_are_kept() -> None:
    replayed = at(offset=40, event_time=5_000)
    assert visits_lack(replayed).behind == 1
    assert visits_lack(replayed, instead_of=[at(event_time=5_000 + POLICY.limit)]).whole
    assert visits_lack(replayed, instead_of=[at(event_time=5_001 + POLICY.limit)]).behind == 1
    silent = at(event_time=5_000, written_at=NOW - POLICY.heartbeat_ms - 1)
    assert visits_lack(replayed, instead_of=[silent]).behind == 1


def test_where_nobody_writes_any_more_the_logs_end_may_be_elsewhere() -> None:
    assert not visits_lack(at(written_at=NOW - POLICY.heartbeat_ms - 1, event_time=NOW - 20_000)).whole


@pytest.mark.parametrize(
    ("since", "in_use", "whole"),
    [
        (NOW - REACH, ALWAYS, True),  # as far as the windows reach
        (NOW - REACH + 1, ALWAYS, False),
        (NOW - 10, NOW - 10, True),  # short, and no shorter than those in use
        (NOW - 10, NOW - 10 - SHORTER, True),
        (NOW - 10, NOW - 10 - SHORTER - 1, False),
        (NOTHING_YET, NOW - 10, False),
    ],
)
def test_the_past_must_reach_as_far_as_the_windows_or_as_the_rows_in_use(
    since: int, in_use: int, whole: bool
) -> None:
    assert visits_lack(at(complete_since=since), instead_of=[at(complete_since=in_use)]).whole is whole


def test_windows_of_events_reach_as_far_back_as_rows_live() -> None:
    def lacks(since: int) -> Lacking:
        replaced = Filled([at()], ())
        return lacking(BY_COUNT, Filled([at(complete_since=since)], ()), replaced, POLICY, NOW)

    assert lacks(NOW - 7_200_000).whole
    assert lacks(NOW - 7_199_999) == Lacking(short=1)


def test_a_partition_that_never_held_anything_has_no_past_to_lack() -> None:
    empty = at(offset=0, log_end=0, event_time=NEVER, complete_since=NOW)
    assert visits_lack(at(), empty).whole
    assert visits_lack(at(), empty, instead_of=[at(), structs.replace(empty, complete_since=5)]).whole


def test_labels_count_where_windows_read_them() -> None:
    def lacks(labels: Sequence[Progress | None]) -> Lacking:
        return lacking(LABELLED, Filled([at()], labels), None, POLICY, NOW)

    assert lacks([at(), at()]).whole
    assert lacks([at(), None]) == Lacking(absent=1)
    assert lacks([at(), at(rebuilding=True)]) == Lacking(rebuilding=1)
    assert lacks([at(complete_since=NOW - 10_500)]).whole
    assert lacks([at(complete_since=NOW - 10_499)]) == Lacking(short=1)


def test_without_windows_there_is_nothing_to_lack() -> None:
    assert lacking(ROWLESS, Filled((), ()), None, POLICY, NOW).whole


def test_under_sequence_time_the_limit_counts_records() -> None:
    def lacks(offset: int) -> Lacking:
        progress = at(offset=offset, log_end=20_000, event_time=50)
        return lacking(sequence(), Filled([progress], ()), None, POLICY, NOW)

    assert lacks(10_000).whole
    assert lacks(9_999) == Lacking(behind=1, records=10_001)


# ---------------------------------------------------------------------------------------- properties


def progress(silent: list[int], rebuilding: list[bool]) -> st.SearchStrategy[Progress]:
    """silent: since how long nobody wrote, in ms."""
    return st.builds(
        lambda offset, left, lag, since, silent, rebuilding: Progress(
            epoch="e",
            offset=offset,
            log_end=offset + left,
            event_time=NOW - lag,
            complete_since=since,
            written_at=NOW - silent,
            rebuilding=rebuilding,
        ),
        st.integers(0, 3),
        st.sampled_from([0, 0, 1, 7]),
        st.sampled_from([0, 500, 9_999, 10_001, 60_000]),
        st.sampled_from([ALWAYS, 0, NOW - 70_000, NOW - 5_000, NOW - 600, NOW, NOTHING_YET]),
        st.sampled_from(silent),
        st.sampled_from(rebuilding),
    )


kept = st.lists(progress([0, 14_000], [False]), min_size=1, max_size=3)
rows_of = st.lists(
    st.none() | progress([0, 14_000, 16_000], [False, False, False, True]), min_size=1, max_size=3
)


@given(in_use=kept)
def test_rows_that_are_in_use_and_kept_would_be_taken_again(in_use: list[Progress]) -> None:
    assert visits_lack(*in_use, instead_of=in_use).whole


@given(rows=kept | rows_of, in_use=rows_of)
def test_whole_rows_serve_a_model_with_nothing_stale_and_no_past_that_was_there_before(
    rows: Sequence[Progress | None], in_use: list[Progress | None]
) -> None:
    in_use = (in_use * 3)[: len(rows)]
    assume(visits_lack(*rows, instead_of=in_use).whole)
    reached = [
        one.event_time if one and NOW - one.written_at <= POLICY.heartbeat_ms else NOW for one in in_use
    ]
    time = min(reached)
    new, old = _enriched(rows, time), _enriched(in_use, time)
    assert new.usable.all()
    assert not _causes(new) & Cause.STALE
    if not _causes(old) & (Cause.REBUILDING | Cause.COLD):
        assert not _causes(_enriched(rows, max(reached) + SHORTER)) & Cause.COLD


@given(rows=rows_of, in_use=rows_of, data=st.data())
def test_rows_that_come_further_lack_no_more(
    rows: list[Progress | None], in_use: list[Progress | None], data: st.DataObject
) -> None:
    before = visits_lack(*rows, instead_of=in_use)
    place = data.draw(st.integers(0, len(rows) - 1))
    one = rows[place]
    if one is not None:
        one = structs.replace(one, offset=one.log_end, event_time=max(one.event_time, NOW), written_at=NOW)
    further = visits_lack(*rows[:place], one, *rows[place + 1 :], instead_of=in_use)
    for count in ("absent", "rebuilding", "behind", "short", "records"):
        assert getattr(further, count) <= getattr(before, count)
    assert further.records == sum(p.log_end - p.offset for p in [*rows[:place], one, *rows[place + 1 :]] if p)


def _causes(enriched: Enriched) -> int:
    return int(np.bitwise_or.reduce(enriched.causes))


def _enriched(rows: Sequence[Progress | None], time: int) -> Enriched:
    """An event of each partition at this time."""
    events = batch([(partition, 0, time, "ann", "front", 1.0) for partition in range(len(rows))])
    request = request_rows(VISITS, events)
    coverage = Coverage(rows, (), {}, frozenset(), NOW)
    return enrich(VISITS, events, request, stored(request, []), {}, coverage, POLICY)
