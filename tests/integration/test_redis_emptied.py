"""Redis loses everything in mid-run: predictions say so until the rows are whole again, by themselves."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from tests.integration.records import Prediction
from tests.integration.stage import Stage, now_ms
from tests.integration.test_redis_loss import QUICK, STORE_CAUSES, assert_told, await_model
from tests.integration.usecase import labelled, some_visits
from tools.redis_server import RedisServer

KNOWN = 3_000
LABELS_KNOWN_MS = 2_000
NOTICED_SOON = "freshness.heartbeat_ms=500"
TOLD = STORE_CAUSES | {"rebuilding"}


@pytest.fixture
def forgetful_stage(
    kafka: str, own_redis: RedisServer, fresh_name: Callable[[str], str], tmp_path: Path
) -> Iterator[Stage]:
    """On a Redis of its own that keeps nothing over a restart."""
    made = Stage(fresh_name("visits").replace("-", "_"), kafka, own_redis.url, tmp_path)
    yield made
    made.close()


def flushed(server: RedisServer) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.flushall()


def started_anew(server: RedisServer) -> None:
    server.kill()
    server.start()


@pytest.mark.parametrize("lose", [flushed, started_anew])
def test_predictions_say_that_rows_are_lost_until_they_are_exact_again(
    forgetful_stage: Stage, own_redis: RedisServer, lose: Callable[[RedisServer], None]
) -> None:
    stage, sets = forgetful_stage, (*QUICK, NOTICED_SOON)
    stage.trained()
    score, first = stage.both(*sets)
    workers = [score, first, stage.materialize(*sets)]
    known = labelled(some_visits(KNOWN, now_ms() - 50 * 60_000, name="known"), spread_ms=LABELS_KNOWN_MS)
    positions = stage.send(known)
    stage.send_labels(known)
    stage.outputs.await_predictions(positions)
    with stage.flow() as flow:
        before = stage.outputs.await_predictions(flow.await_more(200))
        lose(own_redis)
        lost_at = len(flow.positions)
        flow.await_more(200)
        await_model(stage, flow)
    visits = [*known, *flow.visits]
    after = stage.outputs.await_predictions(flow.positions[lost_at:])
    assert_told(after, "rebuilding")
    stage.assert_exact(visits, [p for p in (*before, *after) if not is_told(p)], entity="person")
    assert is_told(after[0])
    assert not is_told(after[-1])

    last = some_visits(100, flow.visits[-1].at + 60_000, name="last")
    predictions = stage.outputs.await_predictions(stage.send(last))
    assert {p.source for p in predictions} == {"model"}
    stage.assert_exact([*visits, *last], predictions)
    assert [worker.terminate() for worker in workers] == [0, 0, 0]


def is_told(prediction: Prediction) -> bool:
    return not TOLD.isdisjoint(prediction.degradations)
