"""The score worker's loop: every event answered, nothing committed too early, whatever the group does."""

from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path

import pytest

from features.definition import parse_definition
from models.bundle import Bundle
from models.deployment import Deployment, write_deployment
from stream.engine.batch import BatchPolicy
from stream.engine.deployments import read_and_load
from stream.engine.rejects import RejectLimit
from stream.engine.serving import Loaded
from stream.errors import Fatal
from tests.stream.engine.bench import EVENTS, OUTPUTS, START_MS, Bench, Materializing, Scoring, bench, lag
from tests.stream.engine.sinks import BrokenSink, LateSink
from tests.stream.visits import TEXT, trained

GROUP = "visits.score"
HEAVY_ONLY = parse_definition(
    TEXT.replace("  fields:\n", '  score_when: "weight > 2"\n  fields:\n', 1) + "output: {features: all}\n",
    "visits.yaml",
)


@pytest.fixture
def one() -> Iterator[Bench]:
    with bench() as made:
        yield made


@pytest.fixture
def four() -> Iterator[Bench]:
    """With four partitions."""
    with bench(partitions=4) as made:
        yield made


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Bundle, Bundle]:
    """A models directory with two versions."""
    models = tmp_path_factory.mktemp("models")
    return models, trained(models, 0), trained(models, 1)


def visit(bench_: Bench, count: int, partition: int = 0) -> None:
    for _ in range(count):
        n = bench_.log_end(partition)
        bench_.produce((START_MS + n, f"p{partition}-{n % 3}", "front", 1.0 + n % 3), partition=partition)


def everything(bench_: Bench) -> list[tuple[int, int]]:
    return [(p, offset) for p in range(bench_.partitions) for offset in range(bench_.log_end(p))]


def materialized(bench_: Bench) -> None:
    bench_.materializer(group="once").settle()


# ------------------------------------------------------------------------------------- exactly once


def test_every_valid_event_is_answered_once_and_every_other_is_a_dead_letter(four: Bench) -> None:
    for partition in range(4):
        visit(four, 9, partition)
        four.broker.append(EVENTS, b"k", b'{"visit": 7}', [("trace", b"1")], partition)
        visit(four, 3, partition)
    materialized(four)
    worker = four.scorer(batch=BatchPolicy(1, 7))
    worker.settle()
    assert four.predicted() == [place for place in everything(four) if place[1] != 9]
    letters = four.dead_letters()
    assert [letter.value for letter in letters] == [b'{"visit": 7}'] * 4
    assert all(("trace", b"1") in letter.headers for letter in letters)
    assert four.committed() == dict.fromkeys(range(4), 13)
    assert worker.value("riverrun_events_total") == 48
    assert worker.value("riverrun_dead_letters_total", reason="wrong_type") == 4


def test_a_prediction_carries_the_key_and_trace_of_its_record(one: Bench) -> None:
    one.broker.append(
        EVENTS,
        b"ann",
        b'{"visit": "v", "at": 999000, "person": "ann", "weight": 6.0}',
        [("traceparent", b"00-aa-bb-01"), ("other", b"x")],
        0,
    )
    materialized(one)
    one.scorer().settle()
    (record,) = one.broker.records(OUTPUTS.predictions, 0)
    assert record.key == b"ann"
    assert ("traceparent", b"00-aa-bb-01") in record.headers
    (prediction,) = one.predictions()
    assert prediction["event_id"] == "v"
    assert prediction["decision"] == "stop"
    assert prediction["source"] == "rules"
    assert prediction["degradations"] == ["no_model", "key_missing"]


def test_events_that_only_feed_the_state_are_seen_by_those_after_them() -> None:
    with bench(HEAVY_ONLY) as made:
        materialized(made)
        weights = [1.0, 3.0, 2.0, 1.5, 4.0]
        for n, weight in enumerate(weights):
            made.produce((START_MS + n, "ann", "front", weight))
        worker = made.scorer(batch=BatchPolicy(1, 1))
        worker.settle()
        counts = {p["origin"]["offset"]: p["features"]["person_count_1000ms"] for p in made.predictions()}
        assert counts == {1: 2.0, 4: 5.0}
        assert made.committed() == {0: 5}
        assert worker.value("riverrun_events_total") == 5


# ------------------------------------------------------------------------------- acknowledgements


def test_nothing_is_committed_before_it_is_acknowledged(one: Bench) -> None:
    sink = LateSink(one.broker)
    worker = one.scorer(sink)
    visit(one, 3)
    sink.late_ms = inf
    worker.loop.step()
    assert one.predicted() != []
    assert one.committed() == {0: 0}
    sink.late_ms = 0
    worker.settle()
    assert one.committed() == {0: 3}


def test_dead_letters_too_are_acknowledged_before_their_offset_is_committed(one: Bench) -> None:
    sink = LateSink(one.broker)
    worker = one.scorer(sink)
    one.broker.append(EVENTS, b"k", b"?", [], 0)
    sink.late_ms = inf
    worker.loop.step()
    assert len(one.dead_letters()) == 1
    assert one.committed() == {0: 0}
    sink.late_ms = 0
    worker.settle()
    assert one.committed() == {0: 1}


def test_with_too_much_unacknowledged_the_worker_fetches_nothing_but_stays_in_its_group(
    four: Bench,
) -> None:
    sink = LateSink(four.broker)
    first = four.scorer(sink, in_flight_max=2, batch=BatchPolicy(1, 1))
    for partition in range(4):
        visit(four, 5, partition)
    sink.late_ms = inf
    for _ in range(10):
        first.loop.step()
    assert first.loop.in_flight == 2
    assert len(four.predicted()) == 2
    assert first.waited, "the wait must be visible"
    second = four.scorer()
    first.loop.step()
    assert first.source.lag().keys() == {0, 2}
    sink.late_ms = 0
    first.settle()
    second.settle()
    # What was taken away unacknowledged was answered again: nothing is lost.
    assert set(four.predicted()) == set(everything(four))


def test_a_worker_that_is_told_to_stop_gets_out_though_nothing_is_acknowledged(one: Bench) -> None:
    sink = LateSink(one.broker)
    worker = one.scorer(sink, in_flight_max=1)
    visit(one, 3)
    sink.late_ms = inf
    for _ in range(3):
        worker.loop.step()
    assert not worker.loop.drain(1_000)
    sink.flushes.clear()
    worker.source.close()
    assert sink.flushes == [], "draining waited already"
    assert one.committed() == {0: 0}


def test_a_drained_worker_has_committed_everything_it_took(one: Bench) -> None:
    sink = LateSink(one.broker)
    worker = one.scorer(sink)
    visit(one, 5)
    sink.late_ms = inf
    worker.loop.step()
    sink.late_ms = 0
    assert worker.loop.drain(1_000)
    taken = len(one.predicted())
    assert one.committed() == {0: taken}
    worker.source.close()
    one.scorer().settle()
    assert one.predicted() == everything(one)


@pytest.mark.parametrize(
    ("share", "act"),
    [
        pytest.param(False, lambda worker: worker.loop.step(), id="in a step"),
        pytest.param(True, lambda worker: worker.loop.step(), id="while partitions leave"),
        pytest.param(False, lambda worker: worker.loop.drain(1_000), id="while it drains"),
    ],
)
def test_a_sink_that_fails_for_good_ends_the_worker_and_hangs_it_nowhere(
    four: Bench, share: bool, act: Callable[[Scoring], object]
) -> None:
    sink = BrokenSink(four.broker)
    worker = four.scorer(sink, in_flight_max=1)
    visit(four, 2)
    visit(four, 2, 1)
    worker.loop.step()
    four.broker.down = True  # the batch in flight stays there
    worker.loop.step()
    four.broker.down = False
    sink.broken = True
    others = [four.scorer()] if share else []
    with pytest.raises(Fatal, match="the topic was deleted"):
        act(worker)
    with pytest.raises(Fatal, match="the topic was deleted"):
        worker.source.close()
    assert worker.ownership.owned == frozenset(), "what is given up is given up, whatever the sink says"
    for other in [*others, four.scorer()]:
        other.settle()
    assert set(four.predicted()) == set(everything(four))


# ------------------------------------------------------------------------------------- reading again


def scored_before(bench_: Bench, events: int, materialized: int) -> Materializing:
    """A worker scored so many events and left; the materializer got only so far."""
    visit(bench_, events)
    materializer = bench_.materializer()
    materializer.worker.step(materialized, 0)
    worker = bench_.scorer()
    worker.settle()
    worker.source.close()
    assert bench_.committed() == {0: bench_.log_end()}
    return materializer


def test_what_is_not_materialized_is_read_again_without_being_answered_again(one: Bench) -> None:
    scored_before(one, 12, materialized=3)
    worker = one.scorer(batch=BatchPolicy(1, 1))
    assert worker.source.lag() == {}
    worker.loop.step()
    assert worker.source.lag()[0].position == 4
    assert not worker.ownership.caught_up(worker.source.lag())
    while not worker.ownership.caught_up(worker.source.lag()):
        worker.loop.step()
        assert one.committed() == {0: 12}, "a commit must not move the group back"
    assert worker.source.lag()[0].position == 12
    assert one.predicted() == everything(one)
    one.produce((START_MS + 20, "p0-0", "front", 1.0))
    worker.settle()
    assert one.predicted() == everything(one)
    latest = one.predictions()[-1]
    assert latest["features"]["person_count_1000ms"] == 5.0
    assert latest["degradations"] == ["no_model"]


def test_a_rejected_record_that_is_read_again_stays_one_dead_letter(one: Bench) -> None:
    one.broker.append(EVENTS, b"k", b"?", [], 0)
    scored_before(one, 3, materialized=0)
    assert len(one.dead_letters()) == 1
    worker = one.scorer()
    worker.settle()
    assert len(one.dead_letters()) == 1
    assert worker.value("riverrun_events_total") == 0


def test_a_worker_that_cannot_learn_what_is_materialized_says_what_it_may_lack(one: Bench) -> None:
    materializer = scored_before(one, 6, materialized=3)
    one.store.refusals = 1
    worker = one.scorer()
    worker.settle()
    assert worker.value("riverrun_store_errors_total", cause="store_down") == 1
    one.produce((START_MS + 20, "p0-0", "front", 1.0))
    worker.settle()
    assert "overlay_truncated" in one.predictions()[-1]["degradations"]
    materializer.settle()
    one.produce((START_MS + 21, "p0-0", "front", 1.0))
    worker.settle()
    latest = one.predictions()[-1]
    assert "overlay_truncated" not in latest["degradations"]
    assert latest["features"]["person_count_1000ms"] == 4.0


# ----------------------------------------------------------------------------------------- the store


def test_while_the_store_is_away_the_rules_answer_and_afterwards_nothing_is_missing(one: Bench) -> None:
    materialized(one)
    worker = one.scorer(batch=BatchPolicy(1, 1))
    visit(one, 3)
    worker.settle()
    one.store.refusals = 3
    visit(one, 5)
    worker.settle()
    visit(one, 1)
    one.clock.ms += 1_000
    worker.settle()
    causes = [p["degradations"] for p in one.predictions()]
    assert causes == [["no_model"]] * 3 + [["store_down"]] * 5 + [["no_model"]]
    assert worker.value("riverrun_store_errors_total", cause="store_down") == 3, "then it is left alone"
    assert worker.value("riverrun_fallbacks_total", source="rules", cause="store_down") == 5
    assert one.predictions()[-1]["features"]["person_count_1000ms"] == 3.0


def test_a_store_that_comes_back_older_than_it_was_seen_is_not_taken_for_whole(one: Bench) -> None:
    visit(one, 9)
    materializer = one.materializer()
    materializer.worker.step(4, 0)
    saved = one.store.writes
    materializer.settle()
    worker = one.scorer()
    worker.settle()
    assert worker.overlay.size_bytes > 0
    visit(one, 1)
    worker.settle()  # it has read that 9 are materialized, and forgot them
    one.store.restart(saved)
    visit(one, 2)
    for _ in range(2):
        worker.loop.step()
    one.produce((START_MS + 20, "p0-0", "front", 1.0))
    worker.settle()
    lacking = one.predictions()[-1]
    assert "overlay_truncated" in lacking["degradations"]
    assert lacking["freshness_ms"] > 0
    materializer.settle()
    one.produce((START_MS + 21, "p0-0", "front", 1.0))
    worker.settle()
    latest = one.predictions()[-1]
    assert latest["degradations"] == ["no_model"]
    assert latest["features"]["person_count_1000ms"] == 6.0


def test_a_partition_of_another_worker_that_was_never_materialized_leaves_freshness_unknown(
    four: Bench,
) -> None:
    visit(four, 2)
    visit(four, 2, 1)
    materializer = four.materializer()
    materializer.worker.step(0, 0)
    first, second = four.scorer(), four.scorer()
    first.loop.step()
    second.loop.step()
    first.settle()
    assert first.ownership.owned == {0, 2}
    assert four.predictions() != []
    assert all("freshness_ms" not in p or p["freshness_ms"] is None for p in four.predictions())


# ---------------------------------------------------------------------------------------- what serves


def test_a_new_deployment_takes_over_between_two_batches(
    one: Bench, bundles: tuple[Path, Bundle, Bundle]
) -> None:
    models, old, new = bundles
    materialized(one)
    visit(one, 9)
    worker = one.scorer(batch=BatchPolicy(3, 3), serving=one.serving(Loaded(old, None, ())))
    worker.loop.step()
    write_deployment(models, Deployment(new.version, old.version))
    change = read_and_load(models)
    assert change.problems == ()
    assert change.loaded is not None
    worker.loop.serve(one.serving(change.loaded))
    worker.loop.step()
    worker.loop.serve(one.serving(Loaded(old, None, ())))
    worker.loop.serve(one.serving(Loaded(new, None, ())))  # the latest counts
    worker.settle()
    versions = [p["model"]["version"] for p in one.predictions()]
    assert versions == [old.version] * 3 + [new.version] * 6
    assert {p["source"] for p in one.predictions()} == {"model"}


def test_series_of_versions_that_are_no_longer_in_force_are_removed(
    one: Bench, bundles: tuple[Path, Bundle, Bundle]
) -> None:
    _, old, new = bundles
    materialized(one)
    worker = one.scorer(serving=one.serving(Loaded(old, None, ())))
    visit(one, 3)
    worker.settle()
    worker.loop.serve(one.serving(Loaded(new, old, ())))
    visit(one, 3)
    worker.settle()

    def versions(name: str) -> set[str]:
        found = [metric for metric in worker.registry.collect() if metric.name == name]
        return {sample.labels["version"] for metric in found for sample in metric.samples}

    assert versions("riverrun_predictions") == {old.version, new.version}, "as previous it is in force"
    worker.loop.serve(one.serving(Loaded(new, None, ())))
    visit(one, 1)
    worker.settle()
    assert versions("riverrun_predictions") == {new.version}
    assert versions("riverrun_model_info") == {new.version}


def test_a_topic_full_of_garbage_stops_the_worker_before_it_drains_into_the_dead_letters(one: Bench) -> None:
    worker = one.scorer(batch=BatchPolicy(1_000, 1_000), rejects=RejectLimit(0.1, 10_000))
    for n in range(1_000):
        one.broker.append(EVENTS, b"k", b"garbage" if n % 5 else b'{"visit": "v"}', [], 0)
    with pytest.raises(Fatal, match=r"100% of the last records of visits\.events were rejected.*offset 999"):
        worker.loop.step()
    assert one.dead_letters() == []
    assert one.committed() == {0: 0}


# ---------------------------------------------------------------------------------------- what is told


def test_lag_is_the_age_of_the_last_record_while_more_wait_and_nothing_at_the_logs_end(one: Bench) -> None:
    materialized(one)
    worker = one.scorer(batch=BatchPolicy(2, 2))
    visit(one, 3)
    one.clock.ms += 7_000
    worker.loop.step()
    assert lag(worker.source) == 1
    assert worker.loop.lag_seconds() == 7.0
    worker.settle()
    assert worker.loop.lag_seconds() == 0.0
    assert worker.value("riverrun_latency_seconds_sum") == 21.0
    assert worker.value("riverrun_batch_size_count") == 2
    for stage in ("decode", "read", "enrich", "score", "decide", "encode", "publish"):
        assert worker.value("riverrun_stage_seconds_count", stage=stage) == 2
