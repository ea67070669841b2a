"""Models that are missing, damaged, replaced or wrong: a worker runs on, and each answer says whose it is."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from models.bundle import MODEL
from models.deployment import DEPLOYMENT
from models.manifest import sha256
from tests.integration.bundles import NAN_FROM, damaged, rubbish, with_nan
from tests.integration.processes import Worker
from tests.integration.records import Position, Prediction
from tests.integration.stage import Stage, now_ms
from tests.integration.usecase import some_visits, train


def test_rules_answer_without_a_model_and_deployed_ones_take_over_between_two_batches(stage: Stage) -> None:
    stage.trained("v1")
    (stage.models / "v1" / MODEL).unlink()
    score, _ = stage.both()
    assert refusals(score) == [MODEL]
    with stage.flow() as flow:
        early = stage.outputs.await_predictions(flow.await_more(100))
        assert {(p.source, p.version, *p.degradations[:1]) for p in early if p.features["weight"]} == {
            ("rules", "rules", "no_model")
        }
        train(stage.definition, stage.models, "v2", seed=1)
        stage.deploy("v2", previous="v1")
        await_version(stage, "v2")
        train(stage.definition, stage.models, "v3", seed=2)
        stage.deploy("v3", previous="v2")
        await_version(stage, "v3")

        counted = score.metrics().total("bundle_refusals_total")
        stage.deploy(damaged(stage.models, "v3", "v4"), previous="v3")
        score.await_metric(lambda m: m.total("bundle_refusals_total") == counted + 1, "v4 is not refused")
        stage.deploy(rubbish(stage.models, "v5"), previous="v3")
        score.await_metric(lambda m: m.total("bundle_refusals_total") == counted + 2, "v5 is not refused")
        (stage.models / DEPLOYMENT).write_text("not even JSON")
        score.await_metric(lambda m: m.total("bundle_refusals_total") == counted + 3, "rubbish is taken")
        late = stage.outputs.await_predictions(flow.await_more(100))
        assert {(p.source, p.version) for p in late} == {("model", "v3")}
    predictions = stage.outputs.await_predictions(flow.positions)
    stage.await_lag_gone(score)
    stage.outputs.read_to_end()
    assert not stage.outputs.doubled
    stage.assert_exact(flow.visits, predictions, entity="person")
    assert_one_after_the_other(predictions, ["rules", "v2", "v3"])
    for version in ("v2", "v3"):
        digest = sha256((stage.models / version / MODEL).read_bytes())
        assert {p.data["model"]["digest"] for p in predictions if p.version == version} == {digest}
    assert refusals(score)[-3:] == [MODEL, "manifest.json", DEPLOYMENT]
    metrics = score.metrics()
    in_force = {(labels["version"], labels["role"]) for labels in metrics.labels("model_info")}
    assert in_force == {("v3", "champion"), ("v2", "previous")}
    by_version = metrics.by("predictions_total", "version")
    assert by_version == {v: sum(p.version == v for p in predictions) for v in ("rules", "v2", "v3")}


def test_where_the_champion_has_no_number_the_previous_one_answers_and_else_the_rules(stage: Stage) -> None:
    stage.trained("v1")
    with_nan(stage.models, "v1", "holes")
    stage.deploy("holes", previous="v1")
    score, _ = stage.both()
    visits = [
        replace(visit, weight=NAN_FROM + 1) if at % 5 == 0 else visit
        for at, visit in enumerate(some_visits(200, now_ms() - 60_000))
    ]
    first = stage.outputs.await_predictions(stage.send(visits))
    assert_answers(first, ("previous", "v1"))
    stage.deploy("holes")
    score.await_metric(lambda m: m.total("model_info", role="previous") == 0, "v1 stays")
    again = [replace(v, visit=f"again-{v.visit}", at=v.at + 30_000) for v in visits]
    second = stage.outputs.await_predictions(stage.send(again))
    assert_answers(second, ("rules", "rules"))
    assert {p.data["score"] for p in second if p.source == "rules"} == {0.9}

    holes = len(visits) // 5
    metrics = score.metrics()
    assert metrics.by("fallbacks_total", "cause") == {"model_nan": 2 * holes}
    assert metrics.total("degradations_total", cause="model_nan") == 2 * holes
    assert metrics.total("fallbacks_total", source="previous") == holes
    assert metrics.total("fallbacks_total", source="rules") == holes
    stage.assert_exact([*visits, *again], [*first, *second], entity="person")


def assert_answers(predictions: Sequence[Prediction], instead: tuple[str, str]) -> None:
    """The champion's, but where it has no number: those of `instead`, source and version."""
    for prediction in predictions:
        has_hole = prediction.data["fields"]["weight"] > NAN_FROM
        expected = instead if has_hole else ("model", "holes")
        assert (prediction.source, prediction.version) == expected, prediction.data
        assert ("model_nan" in prediction.degradations) == has_hole
        assert set(prediction.degradations) <= {"model_nan", "key_missing"}


def await_version(stage: Stage, version: str) -> None:
    stage.outputs.await_one(lambda prediction: prediction.version == version, f"{version} does not answer")


def assert_one_after_the_other(predictions: Sequence[Prediction], versions: list[str]) -> None:
    """In each partition every version answers a run of events, in this order, and none in between."""
    by_partition: dict[int, dict[Position, str]] = defaultdict(dict)
    for prediction in predictions:
        by_partition[prediction.of[0]][prediction.of] = prediction.version
    for answered in by_partition.values():
        order = [version for _, version in sorted(answered.items())]
        assert order == sorted(order, key=versions.index)
        assert set(order) == set(versions)


def refusals(worker: Worker) -> list[str]:
    """The names of the files that were refused, as the log tells them."""
    told = [str(line["problem"]) for line in worker.says("bundle_refused")]
    return [problem.partition(": ")[0].rpartition("/")[2] for problem in told]
