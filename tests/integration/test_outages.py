"""A broker that is killed, restarted or frozen under running workers, and a stop while it is away."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stream.errors import ExitCode
from tests.integration.processes import Metrics, Worker, await_that, stop
from tests.integration.records import Sender
from tests.integration.stage import PARTITIONS, SESSION_MS, Stage, now_ms
from tests.integration.usecase import some_visits
from tools.kafka_server import KafkaServer
from tools.redis_server import RedisServer

STALL_S = 16
IMPATIENT = f"watchdog.stall_s={STALL_S}"
DRAIN_S = 4
SHORT = f"drain_s={DRAIN_S}"
LEAVE_S = 3
SLACK_S = 15.0
"""For a process to end on a busy machine."""
BACK_S = 90.0
EVERY = {str(partition) for partition in range(PARTITIONS)}


@pytest.fixture
def own_stage(
    own_kafka: KafkaServer, redis_url: str, fresh_name: Callable[[str], str], tmp_path: Path
) -> Iterator[Stage]:
    """On a broker of its own."""
    made = Stage(fresh_name("visits").replace("-", "_"), own_kafka.bootstrap, redis_url, tmp_path)
    yield made
    made.close()


@pytest.mark.slow
def test_a_broker_that_is_killed_and_comes_back_loses_nothing_and_no_worker_ends(
    own_stage: Stage, own_kafka: KafkaServer
) -> None:
    stage = own_stage
    workers = [stage.start("score", models=False), stage.start("materialize", models=False)]
    score, materialize = (worker.await_ready() for worker in workers)
    with stage.flow() as flow:
        stage.outputs.await_predictions(flow.await_more(200))
        own_kafka.kill()
        own_kafka.start()
        stage.outputs.await_predictions(flow.await_more(200), BACK_S)
    positions = flow.positions
    stage.outputs.await_predictions(positions, BACK_S)
    stage.await_materialized(materialize, "events", positions)
    assert all(worker.is_alive for worker in workers)
    assert [worker.terminate() for worker in (score, materialize)] == [ExitCode.OK, ExitCode.OK]


@pytest.mark.slow
def test_a_frozen_broker_is_waited_for_and_not_taken_for_a_stall_of_ours(
    own_stage: Stage, own_kafka: KafkaServer
) -> None:
    stage = own_stage
    workers = [stage.start(kind, IMPATIENT, models=False) for kind in ("score", "materialize")]
    for worker in workers:
        worker.await_ready()
    visits = some_visits(20_000, now_ms() - 60_000)
    stage.send(visits[:10_000])
    assert own_kafka.process is not None
    stop(own_kafka.process.pid)
    try:
        for worker in workers:
            await_that(lambda: bool(waits(worker)), f"{worker.name} says nothing")  # noqa: B023
        frozen_ms = now_ms()
        await_that(lambda: now_ms() - frozen_ms > 1000 * (STALL_S + 2), "time stands still")
        assert all(worker.is_alive for worker in workers)
    finally:
        os.kill(own_kafka.process.pid, signal.SIGCONT)
    # A broker that was away for so long may say that there are none; then its clients are lost, ours too.
    stage.sender.close()
    stage.sender = Sender(stage.kafka)
    for worker in workers:
        worker.start_again_on(ExitCode.FENCED)
    positions = stage.send(visits[10_000:])
    stage.outputs.await_predictions(positions, BACK_S)
    stage.await_materialized(workers[1], "events", positions)


@pytest.mark.slow
def test_a_store_that_hangs_is_waited_for_or_done_without_and_is_no_stall(
    kafka: str, own_redis: RedisServer, fresh_name: Callable[[str], str], tmp_path: Path
) -> None:
    stage = Stage(fresh_name("visits").replace("-", "_"), kafka, own_redis.url, tmp_path)
    try:
        workers = [stage.start(kind, IMPATIENT, models=False) for kind in ("score", "materialize")]
        for worker in workers:
            worker.await_ready()
        with stage.flow() as flow:
            stage.outputs.await_predictions(flow.await_more(100))
            assert own_redis.process is not None
            stop(own_redis.process.pid)
            frozen_ms = now_ms()
            await_that(lambda: now_ms() - frozen_ms > 1000 * (STALL_S + 2), "time stands still")
            stage.outputs.await_predictions(flow.await_more(100))
            assert all(worker.is_alive for worker in workers)
            os.kill(own_redis.process.pid, signal.SIGCONT)
        stage.await_materialized(workers[1], "events", flow.positions)
    finally:
        stage.close()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_workers_told_to_stop_while_the_cluster_is_away_end_in_time_and_say_so(
    own_stage: Stage, own_kafka: KafkaServer, how: signal.Signals
) -> None:
    stage = own_stage
    workers = [stage.start(kind, SHORT, models=False) for kind in ("score", "materialize")]
    for worker in workers:
        worker.await_ready()
    with stage.flow() as flow:
        stage.outputs.await_predictions(flow.await_more(100))
    assert own_kafka.process is not None
    process = own_kafka.process
    visits = some_visits(3_000, now_ms() - 60_000, name="backlog")
    stage.send(visits)
    if how is signal.SIGSTOP:
        stop(process.pid)
    else:
        own_kafka.kill()
    try:
        for worker in workers:
            worker.ask_to_end()
        codes = [worker.await_end(DRAIN_S + LEAVE_S + SLACK_S) for worker in workers]
    finally:
        if how is signal.SIGSTOP:
            os.kill(process.pid, signal.SIGCONT)
    assert set(codes) <= {ExitCode.OK, ExitCode.FATAL}
    for worker in workers:
        assert worker.says("stopped"), worker.name


@pytest.mark.slow
def test_lag_is_told_of_every_partition_and_grows_older_while_the_cluster_is_away(
    own_stage: Stage, own_kafka: KafkaServer
) -> None:
    """Whoever scales workers by lag must not take an outage for nothing to do."""
    stage = own_stage
    slow = ("batch.events_max=1", "batch.in_flight_max=1")
    workers = [stage.start("score", *slow, models=False), stage.start("materialize", models=False)]
    score, materialize = (worker.await_ready() for worker in workers)
    positions = stage.send(some_visits(1_000, now_ms() - 60_000))
    score.await_metric(lambda m: m.total("lag_records") > 300, "there is no lag")
    own_kafka.kill()
    before = score.metrics().total("lag_seconds")

    def is_older_than_any_session(metrics: Metrics) -> bool:
        assert told_of(metrics, "lag_records") == EVERY
        assert metrics.total("lag_records") > 0
        return metrics.total("lag_seconds") >= before + 2 * SESSION_MS / 1000

    score.await_metric(is_older_than_any_session, "lag does not grow older")
    assert told_of(materialize.metrics(), "materialize_backlog_records") == EVERY
    own_kafka.start()
    stage.outputs.await_predictions(positions, BACK_S)
    stage.await_lag_gone(score)


def told_of(metrics: Metrics, name: str) -> set[str]:
    """The partitions of which there is a series."""
    return {series["partition"] for series in metrics.labels(name)}


def waits(worker: Worker) -> list[str]:
    return [line for line in worker.log.read_text().splitlines() if "no broker tells" in line]
