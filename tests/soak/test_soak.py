"""What a soak run watches, in short: nothing is left behind by rebalances, swaps and reconnects."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer

from tests.integration.conftest import pytest_runtest_makereport
from tests.integration.processes import Metrics, Worker, await_that
from tests.integration.stage import PARTITIONS, Stage, now_ms
from tests.integration.usecase import some_visits, train
from tests.soak.watch import Taken, taken
from tools.redis_server import RedisServer

__all__ = ["pytest_runtest_makereport"]

WARM_UP, ROUNDS = 2, 6
EVENTS = 200


@pytest.fixture
def stage(
    kafka: str, own_redis: RedisServer, fresh_name: Callable[[str], str], tmp_path: Path
) -> Iterator[Stage]:
    """On the shared Kafka and a Redis whose connections may be cut."""
    made = Stage(fresh_name("soak").replace("-", "_"), kafka, own_redis.url, tmp_path)
    yield made
    made.close()


def test_descriptors_and_threads_come_back_after_rebalances_swaps_and_reconnects(stage: Stage) -> None:
    stage.trained("v1")
    train(stage.definition, stage.models, "v2", seed=1)
    score, materialize = stage.both()
    found: list[dict[str, Taken]] = []
    for turn in range(WARM_UP + ROUNDS):
        champion, previous = ("v2", "v1") if turn % 2 == 0 else ("v1", "v2")
        stage.deploy(champion, previous=previous)
        assert stage.store.client_kill_filter(_type="normal", skipme=True) > 0
        another_member_comes_and_goes(stage, score)
        score.await_metric(in_force(champion), f"{champion} does not take over")
        visits = some_visits(EVENTS, now_ms() - 60_000, name=f"turn-{turn}", seed=turn)
        positions = stage.send(visits)
        stage.outputs.await_predictions(positions)
        stage.await_materialized(materialize, "events", positions)
        found.append({worker.name: taken(worker.pid) for worker in (score, materialize)})
    for name in (score.name, materialize.name):
        some = [one[name] for one in found[WARM_UP:]]
        half = ROUNDS // 2
        for counts in ([one.fds for one in some], [one.threads for one in some]):
            assert min(counts[half:]) <= max(counts[:half]), (name, some)


def in_force(champion: str) -> Callable[[Metrics], bool]:
    return lambda metrics: metrics.total("model_info", version=champion, role="champion") == 1


def another_member_comes_and_goes(stage: Stage, score: Worker) -> None:
    """Some partitions go to it, and come back."""
    groups = {"bootstrap.servers": stage.kafka, "group.id": f"{stage.name}.score"}
    strategy = {"partition.assignment.strategy": "cooperative-sticky", "enable.auto.commit": False}
    consumer = Consumer(groups | strategy)
    assigned: list[int] = []
    consumer.subscribe(
        [stage.topics["events"]], on_assign=lambda _, places: assigned.extend(p.partition for p in places)
    )

    def has_some() -> bool:
        consumer.consume(1, 0.05)
        return bool(assigned)

    await_that(has_some, "the other member was not assigned anything")
    consumer.close()
    await_that(
        lambda: len(score.metrics().labels("lag_records")) == PARTITIONS, "its partitions do not come back"
    )
