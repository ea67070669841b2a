"""Rows united, and their completeness judged."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from features.definition import parse_definition
from features.matrix import FeaturePlan
from features.progress import ALWAYS, NEVER, Progress
from features.rows import request_rows
from stream.engine.overlay import Overlay
from stream.pipeline.causes import Cause
from stream.pipeline.enrich import Coverage, Enriched, FreshnessPolicy, enrich, without_store
from tests.stream.visits import DEFINITION, TEXT, Visit, batch, entries, stored

NOW = 1_000_000
WHOLE = Progress(
    epoch="e",
    offset=100,
    log_end=100,
    event_time=NOW,
    complete_since=ALWAYS,
    written_at=NOW,
    rebuilding=False,
)
ONE_OWNED = Coverage([WHOLE], [], {0: NOW}, frozenset(), NOW)
TWO_HALF_OWNED = Coverage([WHOLE, WHOLE], [], {0: NOW}, frozenset(), NOW)
POLICY = FreshnessPolicy(limit=10_000, heartbeat_ms=5_000)
VISIT: Visit = (0, 10, NOW, "ann", "front", 1.0)


def enriched(
    visits: Sequence[Visit],
    materialized: Sequence[Visit] = (),
    coverage: Coverage = ONE_OWNED,
    **changes: Any,
) -> Enriched:
    events = batch(visits)
    definition = changes.get("definition", DEFINITION)
    request = request_rows(definition, events)
    answer = changes.get("answer", stored(request, materialized))
    return enrich(definition, events, request, answer, changes.get("overlay", {}), coverage, POLICY)


def features(visits: Sequence[Visit], found: Enriched) -> list[list[float]]:
    rows: list[list[float]] = FeaturePlan(DEFINITION).matrix(batch(visits), found.rows).tolist()
    return rows


def other_partition(**changes: Any) -> Coverage:
    return replace(TWO_HALF_OWNED, progress=[WHOLE, structs.replace(WHOLE, **changes)])


def test_complete_rows_are_stamped_with_nothing_and_are_fresh() -> None:
    found = enriched([VISIT])
    assert found.causes.tolist() == [0]
    assert found.usable.tolist() == [True]
    assert found.freshness.tolist() == [0.0]


def test_store_overlay_and_batch_are_united_and_counted_once() -> None:
    earlier: list[Visit] = [(0, n, NOW - 100 + n, "ann", "front", float(n)) for n in range(6)]
    overlay = Overlay(DEFINITION, 10_000)
    overlay.add(batch(earlier[2:5]))
    visits: list[Visit] = [earlier[5], VISIT]
    request = request_rows(DEFINITION, batch(visits))
    found = enriched(visits, earlier[:3], overlay=overlay.entries(request))
    assert features(visits, found)[1][:3] == [1.0, 7.0, (0 + 1 + 2 + 3 + 4 + 5 + 1.0) / 7]


def test_a_corrupt_row_makes_its_features_missing_and_says_so() -> None:
    request = request_rows(DEFINITION, batch([VISIT]))
    found = enriched([VISIT], answer=[b"x" for _ in request.store_keys])
    assert found.causes.tolist() == [Cause.ROW_CORRUPT]
    assert found.usable.tolist() == [True]
    assert np.isnan(features([VISIT], found)[0][1:]).all()


def test_a_missing_key_makes_only_that_entitys_features_missing() -> None:
    found = enriched([(0, 10, NOW, "ann", None, 1.0)])
    assert found.causes.tolist() == [Cause.KEY_MISSING]
    row = features([(0, 10, NOW, "ann", None, 1.0)], found)[0]
    assert row[:3] == [1.0, 1.0, 1.0]
    assert np.isnan(row[3])


@pytest.mark.parametrize("lost", [None, structs.replace(WHOLE, rebuilding=True)])
def test_rows_without_known_progress_leave_the_answer_to_the_rules(lost: Progress | None) -> None:
    found = enriched([VISIT], coverage=replace(ONE_OWNED, progress=[lost]))
    assert found.causes.tolist() == [Cause.REBUILDING]
    assert found.usable.tolist() == [False]


def test_an_owned_partition_is_fresh_however_far_the_materializer_is_behind() -> None:
    behind = structs.replace(WHOLE, offset=1, event_time=NEVER)
    found = enriched([VISIT], coverage=replace(ONE_OWNED, progress=[behind]))
    assert found.causes.tolist() == [0]
    assert found.freshness.tolist() == [0.0]


def test_of_owned_partitions_a_worker_that_is_behind_saw_too_little_for_the_keys_of_others() -> None:
    behind = structs.replace(WHOLE, offset=1, event_time=NOW - 800)
    coverage = replace(TWO_HALF_OWNED, progress=[behind, behind])
    barely = {0: NOW - POLICY.heartbeat_ms, 1: NOW - POLICY.heartbeat_ms}
    assert enriched([VISIT], coverage=replace(coverage, owned=barely)).causes.tolist() == [0]
    late = {0: NOW, 1: NOW - POLICY.heartbeat_ms - 1}
    found = enriched([VISIT], coverage=replace(coverage, owned=late))
    assert found.causes.tolist() == [Cause.BEHIND]
    assert found.freshness.tolist() == [800.0]
    ahead = structs.replace(behind, event_time=NOW)
    found = enriched([VISIT], coverage=replace(coverage, owned=late, progress=[behind, ahead]))
    assert found.causes.tolist() == [0], "where the store has it, it does not matter what the worker saw"


def test_the_own_keys_rows_are_whole_however_far_the_worker_is_behind() -> None:
    keyed_by_one = (0, 10, NOW, "ann", None, 1.0)
    behind = structs.replace(WHOLE, offset=1, event_time=NEVER)
    found = enriched([keyed_by_one], coverage=replace(ONE_OWNED, progress=[behind], owned={0: -1}))
    assert found.causes[0] & ~Cause.KEY_MISSING == Cause.STALE
    assert features([keyed_by_one], found)[0][:3] == [1.0, 1.0, 1.0]


def test_another_workers_partition_that_lags_is_stamped_beyond_the_windows_delay() -> None:
    within_delay = enriched([VISIT], coverage=other_partition(offset=50, event_time=NOW - 500))
    assert within_delay.causes.tolist() == [0]
    assert within_delay.freshness.tolist() == [500.0]
    beyond_delay = enriched([VISIT], coverage=other_partition(offset=50, event_time=NOW - 501))
    assert beyond_delay.causes.tolist() == [Cause.BEHIND]
    assert beyond_delay.freshness.tolist() == [501.0]


def test_beyond_the_limit_the_lagging_entitys_features_are_missing() -> None:
    found = enriched([VISIT], coverage=other_partition(offset=50, event_time=NOW - POLICY.limit - 1))
    assert found.causes.tolist() == [Cause.STALE]
    assert found.usable.tolist() == [True]
    row = features([VISIT], found)[0]
    assert row[:3] == [1.0, 1.0, 1.0]
    assert np.isnan(row[3])


def test_a_materializer_at_the_logs_end_is_fresh_only_while_it_lives() -> None:
    idle = {"event_time": NOW - 5_000}
    alive = enriched([VISIT], coverage=other_partition(**idle, written_at=NOW - POLICY.heartbeat_ms))
    assert alive.freshness.tolist() == [0.0]
    dead = enriched([VISIT], coverage=other_partition(**idle, written_at=NOW - POLICY.heartbeat_ms - 1))
    assert dead.freshness.tolist() == [POLICY.heartbeat_ms + 1.0]
    assert dead.causes.tolist() == [Cause.BEHIND]


def test_a_history_shorter_than_the_longest_window_is_cold() -> None:
    reach = 1000 + 500
    since = structs.replace(WHOLE, complete_since=NOW - reach)
    assert enriched([VISIT], coverage=replace(ONE_OWNED, progress=[since])).causes.tolist() == [0]
    shorter = structs.replace(WHOLE, complete_since=NOW - reach + 1)
    assert enriched([VISIT], coverage=replace(ONE_OWNED, progress=[shorter])).causes.tolist() == [Cause.COLD]


def test_an_event_dated_ahead_does_not_make_the_others_stale() -> None:
    ahead: Visit = (0, 11, NOW + 3_000_000, "bob", "back", 1.0)
    lagging = other_partition(offset=50, event_time=NOW - 100)
    found = enriched([VISIT, ahead], coverage=lagging)
    assert found.causes.tolist() == [0, 0]
    assert found.freshness.tolist() == [100.0, 100.0]


def test_a_dead_materializer_is_late_by_its_silence_whatever_it_last_saw() -> None:
    silent_ms = 3_000_000
    dead = other_partition(event_time=NOW + 3_600_000, written_at=NOW - silent_ms, log_end=1_000_000)
    found = enriched([VISIT], coverage=dead)
    assert found.freshness.tolist() == [silent_ms]
    assert found.causes.tolist() == [Cause.STALE]


def test_an_overlay_that_dropped_entries_is_stamped() -> None:
    found = enriched([VISIT], coverage=replace(ONE_OWNED, truncated=frozenset({0})))
    assert found.causes[0] & Cause.OVERLAY_TRUNCATED


def test_without_an_answer_of_the_store_no_model_may_answer() -> None:
    found = without_store(batch([VISIT]), Cause.STORE_TIMEOUT)
    assert found.causes.tolist() == [Cause.STORE_TIMEOUT]
    assert found.usable.tolist() == [False]
    assert np.isnan(found.freshness).all()
    row = features([VISIT], found)[0]
    assert row[0] == 1.0
    assert np.isnan(row[1:]).all()


LABELLED = parse_definition(
    TEXT.replace(
        "rules:", "  - window: {entity: door, spans: [1000ms], aggregates: [mean(label)], empty: 0}\nrules:"
    ),
    "visits.yaml",
)


@pytest.mark.parametrize(
    ("labels", "causes", "usable"),
    [
        ([WHOLE, WHOLE], 0, True),
        ([], Cause.REBUILDING, False),
        ([WHOLE, None], Cause.REBUILDING, False),
        ([WHOLE, structs.replace(WHOLE, rebuilding=True)], Cause.REBUILDING, False),
        ([WHOLE, structs.replace(WHOLE, offset=9, event_time=NOW - 9)], Cause.BEHIND, True),
        ([WHOLE, structs.replace(WHOLE, written_at=NOW - 3_000_000)], Cause.STALE, True),
    ],
)
def test_rows_of_labels_are_judged_by_the_progress_of_the_labels_topic(
    labels: list[Progress | None], causes: int, usable: bool
) -> None:
    events = batch([VISIT])
    request = request_rows(LABELLED, events)
    nothing: list[bytes | None] = [None for _ in request.store_keys]
    found = enrich(LABELLED, events, request, nothing, {}, replace(ONE_OWNED, labels=labels), POLICY)
    assert (found.causes.tolist(), found.usable.tolist()) == ([causes], [usable])
    mean = FeaturePlan(LABELLED).matrix(events, found.rows)[0, -1]
    assert np.isnan(mean) if causes == Cause.STALE else mean == 0.0


def test_a_window_in_event_counts_is_filled_by_distinct_events_only() -> None:
    counting = parse_definition(
        TEXT.replace(
            "spans: [1000ms], aggregates: [count, mean(weight)]",
            "spans: [3 events], aggregates: [mean(weight)]",
        ),
        "visits.yaml",
    )
    earlier: Visit = (0, 9, NOW - 5, "ann", "front", 1.0)
    events = batch([VISIT])
    request = request_rows(counting, events)
    since = structs.replace(WHOLE, complete_since=0)

    def causes_of(materialized: list[Visit]) -> int:
        row = entries(materialized, 1)
        answer = [row if b":person:" in key else None for key in request.store_keys]
        found = enrich(counting, events, request, answer, {}, replace(ONE_OWNED, progress=[since]), POLICY)
        return int(found.causes[0])

    assert causes_of([earlier, earlier, earlier]) == Cause.COLD
    assert causes_of([earlier, (0, 8, NOW - 6, "ann", "front", 1.0)]) == 0
