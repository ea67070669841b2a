"""Workers that stop, die, hang and share: nothing is lost, and nothing doubled where the end was orderly."""

from collections import defaultdict

import pytest

from tests.integration.processes import Worker, await_that
from tests.integration.records import Position
from tests.integration.stage import PARTITIONS, SESSION_MS, Stage, now_ms
from tests.integration.usecase import COUNT, Visit, some_visits

DRAIN_S = 25.0
TAKEN_OVER_S = 10 * SESSION_MS / 1000
STATIC = "kafka.properties.group.instance.id=the-one"
"""A static member that comes back takes its partitions at once, however it went."""
PATIENT = "freshness.heartbeat_ms=60000"
"""A materializer that is silent for longer than three of these counts as stopped."""


def test_a_worker_told_to_stop_finishes_and_the_next_goes_on_exactly_there(stage: Stage) -> None:
    stage.trained()
    score, _ = stage.both()
    backlog = some_visits(3_000, now_ms() - 50 * 60_000, people="pqrst", name="backlog")
    with stage.flow() as flow:
        stage.outputs.await_predictions(flow.await_more(200))
        places = stage.send(backlog)
        score.ask_to_end()
        assert score.await_end(DRAIN_S) == 0
        assert [line["drained"] for line in score.says("stopped")] == [True]
        stage.score()
        stage.outputs.await_predictions(flow.await_more(200))
    predictions = stage.outputs.await_predictions([*flow.positions, *places])
    stage.outputs.read_to_end()
    assert not stage.outputs.doubled
    stage.assert_exact([*flow.visits, *backlog], predictions, entity="person")
    assert {prediction.source for prediction in predictions} == {"model"}


def test_a_worker_told_to_stop_reads_no_further_and_answers_what_it_has_read(stage: Stage) -> None:
    score = stage.score("batch.events_max=1", "batch.in_flight_max=1", models=False)
    positions = stage.send(some_visits(3_000, now_ms() - 60_000))
    score.await_metric(lambda m: m.total("predictions_total") > 0, "nothing is answered")
    assert score.terminate() == 0
    stage.outputs.read_to_end()
    assert 0 < len(stage.outputs.predictions) < len(positions)
    stage.score(models=False)
    stage.outputs.await_predictions(positions)
    assert not stage.outputs.doubled


@pytest.mark.parametrize("kind", ["score", "materialize"])
def test_a_worker_told_to_stop_while_it_joins_its_group_ends_soon(stage: Stage, kind: str) -> None:
    worker = stage.start(kind)
    await_that(lambda: bool(worker.says("listening")), f"{kind} does not start")
    worker.ask_to_end()
    assert worker.await_end(DRAIN_S) == 0


def test_a_killed_worker_loses_nothing(stage: Stage) -> None:
    stage.trained()
    score, _ = stage.both(STATIC)
    backlog = some_visits(3_000, now_ms() - 50 * 60_000, people="pqrst", name="backlog")
    with stage.flow() as flow:
        stage.outputs.await_predictions(flow.await_more(200))
        places = stage.send(backlog)
        score.kill()
        stage.score(STATIC)
        stage.outputs.await_predictions(flow.await_more(200))
    visits, positions = [*flow.visits, *backlog], [*flow.positions, *places]
    predictions = stage.outputs.await_predictions(positions)
    stage.assert_exact(visits, predictions, entity="person")
    assert {prediction.source for prediction in predictions} == {"model"}
    assert_in_order(stage, visits, positions)


def test_what_is_materialized_twice_counts_once_and_a_killed_materializer_misses_nothing(
    stage: Stage,
) -> None:
    stage.trained()
    _, materialize = stage.both(STATIC)
    with stage.flow() as flow:
        stage.outputs.await_predictions(flow.await_more(200))
        materialize.kill()
        stage.outputs.await_predictions(flow.await_more(100))
        again = [
            stage.start("materialize", STATIC),
            stage.start("materialize", "kafka.materialize_group=other"),
        ]
        for worker in again:
            worker.await_ready()
        stage.outputs.await_predictions(flow.await_more(100))
    for worker in again:
        stage.await_materialized(worker, "events", flow.positions)
    last = some_visits(20, flow.visits[-1].at + 1, name="last")
    predictions = stage.outputs.await_predictions([*flow.positions, *stage.send(last)])
    stage.assert_exact([*flow.visits, *last], predictions, entity="person")
    assert {prediction.source for prediction in predictions} == {"model"}


@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
def test_partitions_move_to_a_second_worker_and_back(stage: Stage, strategy: str) -> None:
    shared = f"kafka.properties.partition.assignment.strategy={strategy}"
    stage.trained()
    first, _ = stage.both(shared)
    with stage.flow() as flow:
        stage.outputs.await_predictions(flow.await_more(200))
        second = stage.score(shared)
        await_shared(first, second)
        stage.outputs.await_predictions(flow.await_more(400))
        assert second.terminate() == 0
        stage.outputs.await_predictions(flow.await_more(200))
    predictions = stage.outputs.await_predictions(flow.positions)
    stage.outputs.read_to_end()
    assert not stage.outputs.doubled
    stage.assert_exact(flow.visits, predictions, entity="person")
    assert_in_order(stage, flow.visits, flow.positions)


def test_others_take_over_from_a_worker_that_hangs_and_from_one_that_is_killed(stage: Stage) -> None:
    stage.trained()
    first, _ = stage.both()
    second = stage.score()
    with stage.flow() as flow:
        await_shared(first, second)
        stage.outputs.await_predictions(flow.await_more(200))
        first.pause()
        await_that(lambda: len(partitions_of(second)) == PARTITIONS, "nobody takes over", TAKEN_OVER_S)
        stage.outputs.await_predictions(flow.await_more(100))
        first.resume()  # it does not know yet that its partitions are gone
        await_shared(first, second)
        stage.outputs.await_predictions(flow.await_more(100))
        second.kill()
        stage.outputs.await_predictions(flow.await_more(100), TAKEN_OVER_S)
    predictions = stage.outputs.await_predictions(flow.positions)
    assert first.terminate() == 0
    stage.assert_exact(flow.visits, predictions, entity="person")
    assert {prediction.source for prediction in predictions} == {"model"}


def test_a_burst_is_counted_exactly_while_nothing_is_materialized(stage: Stage) -> None:
    stage.trained()
    score, materialize = stage.both(STATIC, PATIENT)
    start = now_ms()
    stage.await_materialized(materialize, "events", stage.send([Visit("before", start - 10, "x", None, 1.0)]))
    materialize.pause()
    assert counts(stage, stage.send(burst("first", start))) == list(range(1, 21))

    score.kill()
    score = stage.score(STATIC, PATIENT)
    assert counts(stage, stage.send(burst("second", start + 60))) == list(range(21, 41))
    stage.await_lag_gone(score)
    stage.outputs.read_to_end()
    doubled = set(stage.outputs.doubled)  # by the kill
    assert score.terminate() == 0
    score = stage.score(STATIC, PATIENT)
    assert counts(stage, stage.send(burst("third", start + 120))) == list(range(41, 61))
    stage.await_lag_gone(score)
    stage.outputs.read_to_end()
    assert set(stage.outputs.doubled) == doubled, "what is only read again is not answered again"

    materialize.resume()
    last = stage.send([Visit("last", start + 180, "hasty", "x", 1.0)])
    stage.await_materialized(materialize, "events", last)
    assert counts(stage, last) == [61]
    assert counts(stage, stage.send([Visit("end", start + 190, "hasty", "x", 1.0)])) == [62]


def test_what_the_overlay_cannot_hold_is_said(stage: Stage) -> None:
    little = "overlay.bytes_max=4000"
    stage.trained()
    score, materialize = stage.both(little, PATIENT)
    start = now_ms() - 60_000
    stage.await_materialized(materialize, "events", stage.send([Visit("before", start - 10, "x", None, 1.0)]))
    materialize.pause()
    visits = some_visits(300, start)
    predictions = stage.outputs.await_predictions(stage.send(visits[:150]))
    assert score.terminate() == 0
    score = stage.score(little, PATIENT)
    predictions += stage.outputs.await_predictions(positions := stage.send(visits[150:]))
    wrong = stage.inexact(visits, predictions, entity="person")
    assert wrong
    assert all("overlay_truncated" in prediction.degradations for prediction in wrong)
    assert score.metrics().total("overlay_bytes") <= 4_000

    materialize.resume()
    stage.await_materialized(materialize, "events", positions)
    last = some_visits(50, start + 30_000, name="last")
    predictions = stage.outputs.await_predictions(stage.send(last))
    stage.assert_exact([*visits, *last], predictions, entity="person")
    assert {cause for p in predictions for cause in p.degradations} <= {"key_missing"}


def burst(name: str, start_ms: int) -> list[Visit]:
    """Twenty events of one person within 50 ms."""
    return [Visit(f"{name}-{at}", start_ms + at * 50 // 20, "hasty", "x", 1.0) for at in range(20)]


def counts(stage: Stage, positions: list[Position]) -> list[float | None]:
    """Of the person's visits, as served with these events by an undisturbed model."""
    predictions = stage.outputs.await_predictions(positions)
    assert {(p.source, *p.degradations) for p in predictions} == {("model",)}
    return [prediction.features[COUNT] for prediction in predictions]


def partitions_of(worker: Worker) -> set[str]:
    return {labels["partition"] for labels in worker.metrics().labels("lag_records")}


def await_shared(first: Worker, second: Worker) -> None:
    """Until each has some partitions and together they have all, once."""

    def shared() -> bool:
        held = [partitions_of(first), partitions_of(second)]
        return all(held) and sum(map(len, held)) == len(held[0] | held[1]) == PARTITIONS

    await_that(shared, "partitions are not shared")


def assert_in_order(stage: Stage, visits: list[Visit], positions: list[Position]) -> None:
    """A reader that keeps the first prediction of each event sees every person's events in their order."""
    person_of = dict(zip(positions, (visit.person for visit in visits), strict=True))
    seen: dict[str, list[Position]] = defaultdict(list)
    for position in stage.outputs.first:
        seen[person_of[position]].append(position)
    for person, order in seen.items():
        assert order == sorted(order), person
