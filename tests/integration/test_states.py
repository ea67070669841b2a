"""A champion that needs other rows: they are filled beside those in use, and nobody notices the switch."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.integration.flow import Flow
from tests.integration.processes import Worker, await_that
from tests.integration.records import Position, Prediction
from tests.integration.stage import HOUR_MS, Stage, now_ms
from tests.integration.usecase import TEXT, definition_named, labelled, some_visits, train

ROWS = TEXT + "rows: {exact: 65536}\n"
"""However many events flow: every window is exact."""
OTHER_ROWS = ROWS.replace(
    "spans: [1h], aggregates: [count, mean(weight), max(weight)]",
    "spans: [30m], aggregates: [count, mean(weight), distinct_count(door)]",
)
"""Another span, and another column in the rows of persons."""
PATIENT = "freshness.heartbeat_ms=60000"
"""A materialize worker that is paused, on a busy machine for seconds, is behind and not given up for dead."""


@pytest.fixture
def stage(kafka: str, redis_url: str, fresh_name: Callable[[str], str], tmp_path: Path) -> Iterator[Stage]:
    made = Stage(fresh_name("visits").replace("-", "_"), kafka, redis_url, tmp_path, text=ROWS)
    yield made
    made.close()


def test_a_champion_of_other_rows_takes_over_and_is_rolled_back_while_events_flow(stage: Stage) -> None:
    other = definition_named(stage.name, OTHER_ROWS)
    first_state, second_state = (d.fingerprints.state[:12] for d in (stage.definition, other))
    assert first_state != second_state
    stage.trained("v1")
    train(other, stage.models, "v2", seed=1)
    score, materialize = stage.start("score", PATIENT), stage.start("materialize")
    score.await_ready()
    materialize.await_ready()
    known = labelled(some_visits(200, now_ms() - HOUR_MS, name="known"))
    before = stage.send(known)
    stage.await_materialized(materialize, "labels", stage.send_labels(known))
    with stage.flow() as flow:
        stage.outputs.await_predictions(flow.await_more(200))
        materialize.pause()
        stage.deploy("v2", previous="v1")
        score.await_metric(lambda m: m.total("waiting_for_rows", version="v2") == 1, "v2 does not wait")
        late = stage.outputs.await_predictions(flow.await_more(100))
        assert {p.version for p in late} == {"v1"}, "its rows are not there"
        materialize.resume()
        await_version(stage, flow, "v2")
        assert score.metrics().total("waiting_for_rows") == 0
        stage.outputs.await_predictions(flow.await_more(300))
        stage.deploy("v1", previous="v2")
        await_version(stage, flow, "v1")
        stage.outputs.await_predictions(flow.await_more(100))
    visits, positions = [*known, *flow.visits], [*before, *flow.positions]
    predictions = stage.outputs.await_predictions(positions)
    stage.await_lag_gone(score)
    stage.outputs.read_to_end()
    assert not stage.outputs.doubled
    assert {p.source for p in predictions} == {"model"}
    assert {cause for p in predictions for cause in p.degradations} <= {"key_missing", "behind"}
    assert_there_and_back(predictions)
    for version, definition in (("v1", stage.definition), ("v2", other)):
        served = [p for p in predictions if p.version == version]
        stage.assert_exact(visits, served, entity="person", definition=definition)
        fresh = [p for p in served if "behind" not in p.degradations]
        assert len(fresh) > 100
        stage.assert_exact(visits, fresh, definition=definition)
    assert {line["state"] for line in score.says("waiting_for_rows")} == {second_state}
    assert [line["state"] for line in materialize.says("state_is_live")] == [first_state, second_state]
    assert_kept(materialize, {first_state, second_state})


def await_version(stage: Stage, flow: Flow, version: str) -> None:
    """Until new events are answered by this version alone."""

    def answers() -> bool:
        return {p.version for p in stage.outputs.await_predictions(flow.await_more(20))} == {version}

    await_that(answers, f"{version} does not take over")


def assert_there_and_back(predictions: Sequence[Prediction]) -> None:
    """In each partition v1 answers a run of events, then v2, then v1 again, and no other in between."""
    by_partition: dict[int, dict[Position, str]] = defaultdict(dict)
    for prediction in predictions:
        by_partition[prediction.of[0]][prediction.of] = prediction.version
    for answered in by_partition.values():
        order = [version for _, version in sorted(answered.items())]
        runs = [version for at, version in enumerate(order) if at == 0 or version != order[at - 1]]
        assert runs == ["v1", "v2", "v1"]


def assert_kept(materialize: Worker, states: set[str]) -> None:
    """Both are kept, so that going either way takes no time."""
    assert {labels["state"] for labels in materialize.metrics().labels("materialized_offset")} == states
