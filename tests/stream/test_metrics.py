"""Metrics: each is listed, none grows with the records, and batches count like single observations."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from features.progress import ALWAYS, NEVER
from stream.engine.completeness import NOTHING_YET
from stream.engine.rejects import RejectLimit
from stream.histogram import BatchedHistogram
from stream.metrics import Described, Materialized, MaterializeMetrics, ScoreMetrics
from stream.metrics_page import LABELS, page
from stream.pipeline.causes import Cause, Source
from tests.stream.engine.bench import bench
from tests.stream.engine.contents import EVENTS
from tests.stream.engine.workers import START_MS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def described() -> list[Described]:
    makers = (ScoreMetrics, MaterializeMetrics)
    return [one for make in makers for one in make(CollectorRegistry(), "visits").described]


def series(registry: CollectorRegistry, name: str) -> dict[tuple[str, ...], float]:
    """The value of each series of a metric, by its labels other than the use case."""
    return {
        tuple(value for label, value in sorted(sample.labels.items()) if label != "use_case"): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == name
    }


def test_the_published_page_is_the_one_the_metrics_make() -> None:
    assert PAGE.read_text("utf-8") == page(), "write it anew: python -m stream.metrics_page > docs/metrics.md"


@pytest.mark.parametrize("make", [ScoreMetrics, MaterializeMetrics])
def test_every_metric_that_is_exposed_is_listed_with_its_type(
    make: type[ScoreMetrics | MaterializeMetrics], registry: CollectorRegistry
) -> None:
    listed = make(registry, "visits").described
    exposed = {family.name: family.type for family in registry.collect()}
    assert {one.name.removesuffix("_total"): one.type for one in listed} == exposed


def test_every_label_is_on_the_list_of_bounded_ones() -> None:
    assert {label for one in described() for label in one.labels} == set(LABELS)


def test_every_metric_says_what_it_means() -> None:
    assert [one.name for one in described() if not one.meaning] == []


@pytest.mark.parametrize(
    ("what", "name", "labels"),
    [
        ("end-to-end latency", "riverrun_latency_seconds", ()),
        ("time per stage", "riverrun_stage_seconds", ("stage",)),
        ("events", "riverrun_events_total", ()),
        ("predictions", "riverrun_predictions_total", ("version", "source", "decision")),
        ("fallbacks by cause", "riverrun_fallbacks_total", ("source", "cause")),
        ("dead letters by reason", "riverrun_dead_letters_total", ("reason",)),
        ("freshness", "riverrun_freshness_seconds", ()),
        ("lag in records", "riverrun_lag_records", ("partition",)),
        ("lag in seconds", "riverrun_lag_seconds", ()),
        ("batch size", "riverrun_batch_size", ()),
        ("breaker state", "riverrun_breaker_state", ("state",)),
        ("build info", "riverrun_build_info", ("version", "python")),
        ("model info", "riverrun_model_info", ("version", "digest", "variant", "role")),
    ],
)
def test_a_score_worker_tells_what_an_operator_needs(
    what: str, name: str, labels: tuple[str, ...], registry: CollectorRegistry
) -> None:
    found = {one.name: one.labels for one in ScoreMetrics(registry, "visits").described}
    assert found[name] == labels, what


def test_no_label_takes_a_value_from_a_record() -> None:
    with bench(partitions=2) as made:
        for partition in (0, 1):
            for n in range(30):
                made.produce((START_MS + n, f"person-{n}", f"door-{n}", n / 3), partition=partition)
                made.broker.append(EVENTS, b"key-%d" % n, b'{"visit": "visit-%d"}' % n, [], partition)
        made.materializer().settle()
        worker = made.scorer(rejects=RejectLimit(1.0, 10_000))
        worker.settle()
        worker.metrics.lag({0: 1, 1: 2}, 0.0)
        worker.metrics.state(0, 0, "closed")
        samples = [sample for family in worker.registry.collect() for sample in family.samples]
        values = {value for sample in samples for name, value in sample.labels.items() if name != "le"}
        assert not [value for value in values if value.startswith(("person", "door", "visit-", "key"))]
        by_records = len(samples)
        for n in range(30, 60):
            made.produce((START_MS + n, f"person-{n}", f"door-{n}", n / 3))
        worker.settle()
        assert len([s for family in worker.registry.collect() for s in family.samples]) == by_records


# ------------------------------------------------------------------------------------- batched counting

bounds = st.lists(st.floats(0, 1e6), min_size=1, max_size=6, unique=True).map(sorted)
values = st.lists(st.floats(-1e7, 1e7), max_size=30)


@given(bounds=bounds, batches=st.lists(values, max_size=4), data=st.data())
def test_a_batch_counts_like_its_values_one_by_one(
    bounds: list[float], batches: list[list[float]], data: st.DataObject
) -> None:
    on_a_bound = data.draw(st.lists(st.sampled_from(bounds), max_size=5))
    batched = BatchedHistogram("waited", "How long.", "visits", bounds)
    registry, single = CollectorRegistry(), CollectorRegistry()
    registry.register(batched)
    histogram = Histogram("waited", "How long.", ["use_case"], buckets=bounds, registry=single)
    histogram.labels("visits")
    for batch in [*batches, on_a_bound]:
        batched.observe(np.array([*batch, np.nan]))
        for value in batch:
            histogram.labels("visits").observe(value)
    for name in ("waited_bucket", "waited_count"):
        assert series(registry, name) == series(single, name) != {}
    assert series(registry, "waited_sum") == pytest.approx(series(single, "waited_sum"))


# --------------------------------------------------------------------------------------- what is counted


def test_fallbacks_are_counted_by_who_answered_and_why(registry: CollectorRegistry) -> None:
    metrics = ScoreMetrics(registry, "visits")
    sources = np.array([Source.MODEL, Source.PREVIOUS, Source.RULES, Source.RULES], np.int64)
    masks = np.array(
        [
            Cause.COLD,
            Cause.MODEL_NAN,
            Cause.MODEL_NAN | Cause.PREVIOUS_FAILED | Cause.BEHIND,
            Cause.STORE_DOWN,
        ],
        np.int64,
    )
    metrics.scored(["v2", "v1", "rules"], ["stop", "go", "none"], sources, np.array([0, 1, 1, -1]), masks)
    assert series(registry, "riverrun_predictions_total") == {
        ("stop", "model", "v2"): 1,
        ("go", "previous", "v1"): 1,
        ("go", "rules", "rules"): 1,
        ("none", "rules", "rules"): 1,
    }
    assert series(registry, "riverrun_fallbacks_total") == {
        ("model_nan", "previous"): 1,
        ("model_nan", "rules"): 1,
        ("previous_failed", "rules"): 1,
        ("store_down", "rules"): 1,
    }
    assert series(registry, "riverrun_degradations_total") == {
        ("cold",): 1,
        ("model_nan",): 2,
        ("previous_failed",): 1,
        ("behind",): 1,
        ("store_down",): 1,
    }


def test_exactly_one_state_of_the_breaker_is_on(registry: CollectorRegistry) -> None:
    metrics = ScoreMetrics(registry, "visits")
    metrics.state(0, 0, "closed")
    metrics.state(0, 0, "open")
    assert series(registry, "riverrun_breaker_state") == {("closed",): 0, ("open",): 1, ("half_open",): 0}


def test_lag_of_a_partition_that_left_is_not_told_any_more(registry: CollectorRegistry) -> None:
    metrics = ScoreMetrics(registry, "visits")
    metrics.lag({0: 5, 1: 7}, 1.5)
    metrics.lag({1: 6}, 0.0)
    assert series(registry, "riverrun_lag_records") == {("1",): 6}
    metrics.lag({}, 0.0)
    assert series(registry, "riverrun_lag_records") == {}


def test_progress_is_told_by_topic_and_partition_while_they_are_in_hand(registry: CollectorRegistry) -> None:
    metrics = MaterializeMetrics(registry, "visits").of_state("s")

    def at(offset: int, event_time: int, arrived: int | None = None) -> Materialized:
        return Materialized(
            offset=offset, log_end=9, event_time=event_time, arrived=arrived, complete_since=ALWAYS
        )

    metrics.progress("events", {0: at(4, 100, 7_000), 1: at(9, NEVER, 3_000)}, 10_000)
    metrics.progress("labels", {0: at(1, NEVER)}, 10_000)
    assert series(registry, "riverrun_materialized_offset") == {
        ("0", "s", "events"): 4,
        ("1", "s", "events"): 9,
        ("0", "s", "labels"): 1,
    }
    assert series(registry, "riverrun_materialized_event_time") == {("0", "s", "events"): 100}
    assert series(registry, "riverrun_materialized_arrival_seconds") == {
        ("0", "s", "events"): 7,
        ("1", "s", "events"): 3,
    }
    assert series(registry, "riverrun_materialize_backlog_seconds") == {
        ("0", "s", "events"): 3,
        ("1", "s", "events"): 0,
    }
    metrics.progress("events", {1: at(9, 200)}, 10_000)
    assert series(registry, "riverrun_materialize_backlog_records") == {
        ("1", "s", "events"): 0,
        ("0", "s", "labels"): 8,
    }
    assert series(registry, "riverrun_materialized_event_time") == {("1", "s", "events"): 200}
    assert series(registry, "riverrun_materialize_backlog_seconds") == {}


def test_where_the_past_begins_is_told_only_where_it_does(registry: CollectorRegistry) -> None:
    metrics = MaterializeMetrics(registry, "visits").of_state("s")
    past = {0: ALWAYS, 1: 123, 2: NOTHING_YET}
    metrics.progress("events", {p: Materialized(0, 0, NEVER, None, since) for p, since in past.items()}, 0)
    assert series(registry, "riverrun_materialized_complete_since") == {("1", "s", "events"): 123}


def test_progress_is_told_of_each_state_until_it_is_dropped(registry: CollectorRegistry) -> None:
    metrics = MaterializeMetrics(registry, "visits")
    old, new = metrics.of_state("old"), metrics.of_state("new")
    old.progress("events", {0: Materialized(9, 9, 5, 0, 3)}, 0)
    new.progress("events", {0: Materialized(4, 9, 2, 0, 3)}, 0)
    assert series(registry, "riverrun_materialized_offset") == {
        ("0", "old", "events"): 9,
        ("0", "new", "events"): 4,
    }
    old.progress("events", {}, 0)
    assert series(registry, "riverrun_materialized_offset") == {("0", "new", "events"): 4}
    assert series(registry, "riverrun_materialize_backlog_records") == {("0", "new", "events"): 5}


def test_the_versions_that_wait_for_rows_are_told_while_they_do(registry: CollectorRegistry) -> None:
    metrics = ScoreMetrics(registry, "visits")
    metrics.waits({"v2": 17})
    assert series(registry, "riverrun_waiting_for_rows") == {("v2",): 1}
    assert series(registry, "riverrun_waiting_for_rows_records") == {("v2",): 17}
    metrics.waits({})
    assert series(registry, "riverrun_waiting_for_rows") == {}
    assert series(registry, "riverrun_waiting_for_rows_records") == {}


def test_counters_without_labels_stand_at_zero_from_the_start(registry: CollectorRegistry) -> None:
    ScoreMetrics(registry, "visits")
    assert series(registry, "riverrun_events_total") == {(): 0}
    assert series(registry, "riverrun_commit_failures_total") == {(): 0}
