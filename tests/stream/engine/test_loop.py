"""The score worker's loop: every event answered, nothing committed too early, whatever the group does."""

from collections.abc import Callable
from math import inf

import pytest

from features.definition import parse_definition
from stream.engine.batch import BatchPolicy
from stream.engine.known_lag import KnownLag, lag_seconds
from stream.errors import Fatal
from tests.stream.engine.bench import OUTPUTS, Bench, bench
from tests.stream.engine.contents import EVENTS
from tests.stream.engine.sinks import BrokenSink, LateSink
from tests.stream.engine.workers import START_MS, Scoring, lag
from tests.stream.visits import TEXT

GROUP = "visits.score"
HEAVY_ONLY = parse_definition(
    TEXT.replace("  fields:\n", '  score_when: "weight > 2"\n  fields:\n', 1) + "output: {features: all}\n",
    "visits.yaml",
)


def materialized(bench_: Bench) -> None:
    bench_.materializer(group="once").settle()


# ------------------------------------------------------------------------------------- exactly once


def test_every_valid_event_is_answered_once_and_every_other_is_a_dead_letter(four: Bench) -> None:
    for partition in range(4):
        four.produce_some(9, partition)
        four.broker.append(EVENTS, b"k", b'{"visit": 7}', [("trace", b"1")], partition)
        four.produce_some(3, partition)
    materialized(four)
    worker = four.scorer(batch=BatchPolicy(1, 7))
    worker.settle()
    assert four.predicted() == [place for place in four.events() if place[1] != 9]
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
    one.produce_some(3)
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
        four.produce_some(5, partition)
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
    assert set(four.predicted()) == set(four.events())


def test_a_worker_that_is_told_to_stop_gets_out_though_nothing_is_acknowledged(one: Bench) -> None:
    sink = LateSink(one.broker)
    worker = one.scorer(sink, in_flight_max=1)
    one.produce_some(3)
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
    one.produce_some(5)
    sink.late_ms = inf
    worker.loop.step()
    sink.late_ms = 0
    assert worker.loop.drain(1_000)
    taken = len(one.predicted())
    assert one.committed() == {0: taken}
    worker.source.close()
    one.scorer().settle()
    assert one.predicted() == one.events()


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
    four.produce_some(2)
    four.produce_some(2, 1)
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
    assert set(four.predicted()) == set(four.events())


# ---------------------------------------------------------------------------------------- what is told


def test_lag_is_the_age_of_the_last_record_while_more_wait_and_nothing_at_the_logs_end(one: Bench) -> None:
    materialized(one)
    worker = one.scorer(batch=BatchPolicy(2, 2))
    one.produce_some(3)
    one.clock.ms += 7_000
    worker.loop.step()
    assert lag(worker.source) == 1
    assert lag_seconds(KnownLag(worker.source.lag()), one.clock.ms) == 7.0
    worker.settle()
    assert lag_seconds(KnownLag(worker.source.lag()), one.clock.ms) == 0.0
    assert worker.value("riverrun_latency_seconds_sum") == 21.0
    assert worker.value("riverrun_batch_size_count") == 2
    for stage in ("decode", "read", "enrich", "score", "decide", "encode", "publish"):
        assert worker.value("riverrun_stage_seconds_count", stage=stage) == 2
