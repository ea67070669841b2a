"""Under 1 % poison a worker runs on, and what /metrics says adds up to what was sent and what came out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tests.integration.processes import Metrics
from tests.integration.records import Prediction, Record
from tests.integration.stage import HOUR_MS, PARTITIONS, Stage, now_ms
from tests.integration.usecase import Visit, some_visits

POISON = (
    ("not_json", b"hello"),
    ("tombstone", None),
    ("missing_field", b'{"visit": "x", "at": 1, "person": "a"}'),
    ("wrong_type", b'{"visit": 1}'),
)
EVENTS = 2_000


@dataclass(frozen=True, slots=True)
class Mixture:
    """What is sent: events and, here and there, something else; places are those in `records`."""

    visits: list[Visit]
    records: list[Record] = field(default_factory=list)
    events: list[int] = field(default_factory=list)
    """The place of each visit."""
    poison: dict[int, str] = field(default_factory=dict)
    """The reason by place."""


def mixture(visits: list[Visit]) -> Mixture:
    made, draw = Mixture(visits), np.random.default_rng(0)
    for visit in visits:
        made.events.append(len(made.records))
        made.records.append(visit.record())
        if draw.random() < 0.01:
            reason, value = POISON[len(made.poison) % len(POISON)]
            made.poison[len(made.records)] = reason
            made.records.append(Record(b"a", value))
    return made


def test_one_percent_of_poison_changes_no_answer_and_the_numbers_add_up(stage: Stage) -> None:
    stage.trained()
    score, _ = stage.both()
    began_ms = now_ms()
    visits = some_visits(EVENTS, began_ms - HOUR_MS // 2)
    visits[500] = Visit("feeds-state-only", visits[500].at, "a", "x", 900.0)
    sent = mixture(visits)
    places = stage.sender.send(stage.topics["events"], sent.records)
    scored = [at for at, visit in enumerate(visits) if visit.is_scored]
    predictions = stage.outputs.await_predictions([places[sent.events[at]] for at in scored])
    letters = {letter.of: letter for letter in stage.outputs.await_letters(len(sent.poison))}
    stage.await_lag_gone(score)
    stage.outputs.read_to_end()

    assert len(stage.outputs.predictions) == len(scored) == EVENTS - 1
    assert letters.keys() == {places[at] for at in sent.poison}
    for at, reason in sent.poison.items():
        assert letters[places[at]].value == sent.records[at].value
        assert letters[places[at]].header("reason") == reason
    stage.assert_exact(visits, predictions, entity="person")
    for at, prediction in zip(scored, predictions, strict=True):
        assert (prediction.source, prediction.version) == ("model", "v1")
        assert prediction.degradations == (["key_missing"] if visits[at].door is None else [])

    metrics = score.metrics()
    assert_counters(metrics, sent, predictions)
    assert_histograms(metrics, len(sent.records), len(predictions), (now_ms() - began_ms) / 1000)
    assert_gauges(metrics, stage, predictions[0].data["model"]["digest"])


def assert_counters(metrics: Metrics, sent: Mixture, predictions: Sequence[Prediction]) -> None:
    assert metrics.total("events_total") == EVENTS
    answered = Counter((p.version, p.source, p.data["decision"]) for p in predictions)
    for (version, source, decision), count in answered.items():
        told = metrics.total("predictions_total", version=version, source=source, decision=decision)
        assert told == count
    assert metrics.total("predictions_total") == len(predictions)
    assert metrics.by("dead_letters_total", "reason") == Counter(sent.poison.values())
    assert metrics.total("reject_share") == len(sent.poison) / len(sent.records)
    causes = Counter(cause for p in predictions for cause in p.degradations)
    assert metrics.by("degradations_total", "cause") == causes
    assert metrics.by("fallbacks_total", "cause") == {}
    for quiet in ("model_errors", "store_errors", "commit_failures", "bundle_refusals"):
        assert metrics.total(f"{quiet}_total") == 0, quiet


def assert_histograms(metrics: Metrics, records: int, predictions: int, took_s: float) -> None:
    for name in ("latency_seconds", "freshness_seconds"):
        assert metrics.total(f"{name}_count") == predictions
        assert metrics.total(f"{name}_bucket", le="+Inf") == predictions
    assert 0 < metrics.total("latency_seconds_sum") < predictions * took_s
    assert metrics.total("freshness_seconds_sum") == 0
    assert metrics.total("batch_size_sum") == records
    batches = metrics.total("batch_size_count")
    for name in ("decode", "publish"):
        assert metrics.total("stage_seconds_count", stage=name) == batches
    for name in ("read", "enrich", "score", "decide", "encode"):
        assert 0 < metrics.total("stage_seconds_count", stage=name) <= batches


def assert_gauges(metrics: Metrics, stage: Stage, digest: str) -> None:
    assert metrics.total("lag_seconds") == metrics.total("lag_records") == 0
    assert {one["partition"] for one in metrics.labels("lag_records")} == {str(p) for p in range(PARTITIONS)}
    assert metrics.by("breaker_state", "state") == {"closed": 1}
    (model,) = metrics.labels("model_info")
    assert (model["version"], model["role"], model["digest"]) == ("v1", "champion", digest)
    (build,) = metrics.labels("build_info")
    assert build["use_case"] == stage.name
    assert build["version"]
