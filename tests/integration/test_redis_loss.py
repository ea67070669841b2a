"""Redis dies, hangs, fills up and comes back: no event waits for it, and no prediction hides it."""

import shutil
import signal
from collections import Counter
from collections.abc import Iterator, Sequence

import pyarrow.parquet as pq
import pytest
import redis

from features.definition.model import RowKind
from features.keys import Namespace
from tests.integration.flow import Flow
from tests.integration.processes import Metrics, stop
from tests.integration.records import Prediction
from tests.integration.stage import PARTITIONS, Stage, now_ms
from tests.integration.usecase import Visit, some_visits, table_of
from tools.redis_server import RedisServer

STORE_CAUSES = {"store_down", "store_timeout"}
QUICK = ("redis.breaker.rest_ms=200", "redis.write_timeout_ms=500")


@pytest.fixture
def hanging_redis(durable_redis: RedisServer) -> Iterator[RedisServer]:
    yield durable_redis
    signal_redis(durable_redis, signal.SIGCONT)


def signal_redis(server: RedisServer, how: signal.Signals) -> None:
    assert server.process is not None
    server.process.send_signal(how)


def test_the_rules_answer_while_redis_is_dead_and_the_model_once_it_is_back(
    frail_stage: Stage, durable_redis: RedisServer
) -> None:
    stage = frail_stage
    stage.trained()
    score, materialize = stage.both(*QUICK)
    with stage.flow() as flow:
        stage.outputs.await_predictions(flow.await_more(200))
        durable_redis.kill()
        stage.outputs.await_one(lambda p: p.source == "rules", "the rules do not answer")
        during = stage.outputs.await_predictions(flow.await_more(200))
        score.await_metric(is_open, "the breaker does not open")
        durable_redis.restart()
        await_model(stage, flow)
        score.await_metric(
            lambda m: m.total("breaker_state", state="closed") == 1, "the breaker does not close"
        )
    predictions = stage.outputs.await_predictions(flow.positions)
    assert {prediction.source for prediction in during} == {"rules"}
    assert_told(predictions, "rebuilding")  # while what Redis may have lost is repeated
    assert_counted(score.metrics(), predictions)
    modelled = [p for p in predictions if p.source == "model"]
    stage.assert_exact(flow.visits, modelled, entity="person")

    stage.await_materialized(materialize, "events", flow.positions)
    after = some_visits(50, flow.visits[-1].at + 60_000, name="after")
    last = stage.outputs.await_predictions(stage.send(after))
    stage.assert_exact([*flow.visits, *after], last)
    assert {p.source for p in last} == {"model"}
    assert {cause for p in last for cause in p.degradations} <= {"key_missing"}


def test_a_redis_that_hangs_holds_nobody_up(frail_stage: Stage, hanging_redis: RedisServer) -> None:
    stage = frail_stage
    stage.trained()
    score, _ = stage.both(*QUICK)
    with stage.flow() as flow:
        stage.outputs.await_predictions(flow.await_more(100))
        assert hanging_redis.process is not None
        stop(hanging_redis.process.pid)
        stage.outputs.await_one(lambda p: "store_timeout" in p.degradations, "no read times out")
        stage.outputs.await_predictions(flow.await_more(200))
        score.await_metric(is_open, "the breaker does not open")
        signal_redis(hanging_redis, signal.SIGCONT)
        await_model(stage, flow)
    predictions = stage.outputs.await_predictions(flow.positions)
    assert_told(predictions)
    assert_counted(score.metrics(), predictions)
    stage.assert_exact(flow.visits, [p for p in predictions if p.source == "model"], entity="person")
    assert score.terminate() == 0


def test_workers_start_without_redis_and_take_it_when_it_comes(
    frail_stage: Stage, durable_redis: RedisServer
) -> None:
    stage = frail_stage
    durable_redis.stop()
    stage.trained()
    score, materialize = stage.start("score", *QUICK), stage.start("materialize", *QUICK)
    score.await_ready()
    early = some_visits(50, now_ms() - 50 * 60_000, name="early")
    predictions = stage.outputs.await_predictions(stage.send(early))
    assert {p.source for p in predictions} == {"rules"}
    assert_told(predictions)
    durable_redis.start()
    materialize.await_ready()
    with stage.flow() as flow:
        await_model(stage, flow)
    predictions = stage.outputs.await_predictions(flow.positions)
    assert_told(predictions, "rebuilding")
    modelled = [p for p in predictions if p.source == "model"]
    stage.assert_exact([*early, *flow.visits], modelled, entity="person")


def test_a_redis_that_came_back_with_an_older_state_is_noticed_and_filled_again(
    frail_stage: Stage, durable_redis: RedisServer
) -> None:
    stage, start = frail_stage, now_ms() - 50 * 60_000
    older = durable_redis.directory.parent / "older"
    seldom = "freshness.heartbeat_ms=60000"  # so that no heartbeat happens to notice
    stage.trained()
    _, materialize = stage.both(seldom)
    visits = some_visits(50, start, name="kept")
    stage.await_materialized(materialize, "events", stage.send(visits))
    shutil.copytree(durable_redis.directory, older)
    gone = some_visits(50, start + 10_000, name="gone")
    positions = stage.send(gone)
    stage.outputs.await_predictions(positions)
    stage.await_materialized(materialize, "events", positions)
    visits += gone
    # With the next batch the scorer forgets what the store has.
    stage.outputs.await_predictions(stage.send([Visit("trims", start + 15_000, "t", "x", 1.0)]))

    materialize.pause()  # or it would see the connection break
    durable_redis.kill()
    shutil.rmtree(durable_redis.directory)
    shutil.move(older, durable_redis.directory)
    durable_redis.start()
    visits += (meanwhile := some_visits(50, start + 20_000, name="meanwhile"))
    predictions = stage.outputs.await_predictions(stage.send(meanwhile))
    wrong = stage.inexact(visits, predictions, entity="person")
    assert wrong, "nothing was missing"
    assert all(set(p.degradations) - {"key_missing"} for p in wrong), "what is missing is said"

    visits += (waiting := some_visits(50, start + 30_000, name="waiting"))
    positions = stage.send(waiting)
    materialize.resume()
    stage.await_materialized(materialize, "events", positions)
    with stage.flow() as flow:
        await_model(stage, flow)
    visits += flow.visits
    assert_clean_is_exact(stage, visits, stage.outputs.await_predictions(flow.positions))

    stage.workers[0].terminate()
    stage.score(seldom)  # one that remembers nothing: it reads what the store holds
    visits += (last := some_visits(50, flow.visits[-1].at + 10, name="last"))
    predictions = stage.outputs.await_predictions(stage.send(last))
    assert_clean_is_exact(stage, visits, predictions)
    assert any(p.degradations == [] for p in predictions)


def test_an_empty_redis_is_filled_again_from_the_topic(
    frail_stage: Stage, durable_redis: RedisServer
) -> None:
    stage, start = frail_stage, now_ms() - 50 * 60_000
    stage.trained()
    _, materialize = stage.both(*QUICK)
    visits = some_visits(100, start)
    stage.await_materialized(materialize, "events", stage.send(visits))
    durable_redis.kill()
    shutil.rmtree(durable_redis.directory)
    durable_redis.start()
    visits += (meanwhile := some_visits(50, start + 20_000, name="meanwhile"))
    predictions = stage.outputs.await_predictions(stage.send(meanwhile))
    assert_told(predictions, "rebuilding")
    assert predictions[0].source == "rules"
    with stage.flow() as flow:
        await_model(stage, flow)
    visits += flow.visits
    assert_clean_is_exact(stage, visits, stage.outputs.await_predictions(flow.positions))
    assert {line["topic"] for line in materialize.says("rebuilding")} == {stage.topics["events"]}
    lost = materialize.metrics().by("rebuilds_total", "cause")["lost"]
    assert lost == PARTITIONS


def test_an_empty_redis_is_filled_from_history_and_from_the_topic_that_begins_within_it(
    frail_stage: Stage, durable_redis: RedisServer
) -> None:
    stage, start = frail_stage, now_ms() - 50 * 60_000
    past = some_visits(300, start, name="past")
    pq.write_table(table_of(past), stage.directory / "past.parquet", row_group_size=50)
    loads = (f"materialize.history={stage.directory / 'past.parquet'}", "materialize.rewind_s=2")
    stage.trained()
    _, materialize = stage.both(*QUICK, *loads)
    materialize.await_metric(lambda m: m.total("history_claims_total") == 1, "history is not loaded")
    visits = past[200:] + some_visits(50, start + 10_000, name="live")
    stage.await_materialized(materialize, "events", stage.send(visits))
    durable_redis.kill()
    shutil.rmtree(durable_redis.directory)
    durable_redis.start()
    materialize.await_metric(lambda m: m.total("history_claims_total") == 2, "history is not loaded again")
    with stage.flow() as flow:
        await_model(stage, flow)
    everything = past[:200] + visits + flow.visits
    assert_clean_is_exact(stage, everything, stage.outputs.await_predictions(flow.positions))
    assert not materialize.says("history_gap")


def test_a_full_redis_and_a_corrupt_row_cost_no_prediction(
    frail_stage: Stage, durable_redis: RedisServer
) -> None:
    stage, start = frail_stage, now_ms() - 50 * 60_000
    stage.trained()
    _, materialize = stage.both(*QUICK)
    visits = some_visits(50, start)
    stage.await_materialized(materialize, "events", stage.send(visits))
    with redis.Redis.from_url(durable_redis.url) as client:
        client.config_set("maxmemory", "1mb")
        visits += (full := some_visits(100, start + 10_000, name="full"))
        predictions = stage.outputs.await_predictions(positions := stage.send(full))
        stage.assert_exact(visits, predictions, entity="person")
        assert {p.source for p in predictions} == {"model"}
        materialize.await_metric(lambda m: m.total("store_errors_total") > 0, "nobody says that it is full")
        client.config_set("maxmemory", "0")
        stage.await_materialized(materialize, "events", positions)

        client.append(Namespace.of(stage.definition).row("person", RowKind.EVENTS, "a"), b"?")
        corrupt = [Visit(f"corrupt-{p}", start + 30_000, p, "x", 1.0) for p in "ab"]
        one, other = stage.outputs.await_predictions(stage.send(corrupt))
    assert (one.source, one.degradations) == ("model", ["row_corrupt"])
    assert one.features["person_count_1h"] is None
    assert other.degradations == []


def is_open(metrics: Metrics) -> bool:
    return metrics.total("breaker_state", state="open") == 1


def await_model(stage: Stage, flow: Flow) -> None:
    """Until the model answers what is sent now, and nothing is missing."""
    while True:
        recent = stage.outputs.await_predictions(flow.await_more(20))
        if all(p.source == "model" and set(p.degradations) <= {"key_missing"} for p in recent):
            return
        assert len(flow.visits) < 15_000, "the model does not answer again"


def assert_told(predictions: Sequence[Prediction], *also: str) -> None:
    """Rules answer only where the store failed, and say so."""
    for prediction in predictions:
        causes = set(prediction.degradations) & (STORE_CAUSES | set(also))
        assert bool(causes) == (prediction.source == "rules"), prediction.data
        if prediction.source == "rules":
            assert prediction.version == "rules"
            assert prediction.data["freshness_ms"] is None
            heavy = prediction.data["fields"]["weight"] > 5
            assert prediction.data["score"] == (0.9 if heavy else 0.1)
            assert prediction.data["reasons"] == ([{"code": "heavy"}] if heavy else [])


def assert_counted(metrics: Metrics, predictions: Sequence[Prediction]) -> None:
    """What /metrics says is what the topic holds."""
    causes = Counter(cause for p in predictions for cause in p.degradations)
    assert metrics.by("degradations_total", "cause") == dict(causes)
    told = {cause: count for cause, count in causes.items() if cause in STORE_CAUSES | {"rebuilding"}}
    assert metrics.by("fallbacks_total", "cause") == told
    assert metrics.by("predictions_total", "source") == dict(Counter(p.source for p in predictions))
    assert metrics.total("store_errors_total") > 0


def assert_clean_is_exact(stage: Stage, visits: Sequence[Visit], predictions: Sequence[Prediction]) -> None:
    """A prediction that names no cause has the features that training would have."""
    clean = [p for p in predictions if set(p.degradations) <= {"key_missing"}]
    assert clean
    stage.assert_exact(visits, clean, entity="person")
