"""Events in, predictions out: each valid event once, exact, within the contract."""

from collections import Counter
from dataclasses import replace

from jsonschema import Draft202012Validator

from stream.contracts import prediction_schema
from stream.records import Headers
from tests.integration.stage import Stage, now_ms
from tests.integration.usecase import Visit, labelled, some_visits

MINUTE = 60_000
TRACE: Headers = [
    ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("tracestate", b"vendor=1"),
    ("other", b"stays behind"),
]


def test_every_event_is_answered_once_with_the_features_that_training_would_compute(stage: Stage) -> None:
    stage.trained()
    score, materialize = stage.both()
    start = now_ms() - 5 * MINUTE
    early = labelled(some_visits(200, start, name="early"))
    stage.outputs.await_predictions(stage.send(early))
    stage.await_materialized(materialize, "labels", stage.send_labels(early))

    late = some_visits(300, start + MINUTE, seed=1, name="late")
    late[7] = replace(late[7], weight=700.0)  # feeds the state and is not scored
    places = stage.sender.send(
        stage.topics["events"], [replace(visit.record(), headers=TRACE) for visit in late]
    )
    scored = [at for at, visit in enumerate(late) if visit.is_scored]
    predictions = stage.outputs.await_predictions([places[at] for at in scored])
    stage.assert_exact([*early, *late], predictions)
    labels = {prediction.features["door_count_label_1h_delay_10s"] for prediction in predictions}
    assert len(labels) > 5, "labels come into sight while events pass"

    # An event that comes again is answered again, and counted once; one that comes late sees what was then.
    moments = Counter((visit.person, visit.at) for visit in late)
    lone = next(at for at in scored[150:] if moments[late[at].person, late[at].at] == 1)
    (again,) = stage.outputs.await_predictions(stage.send([late[lone]]))
    assert again.features == predictions[scored.index(lone)].features
    behind = replace(late[100], visit="behind", at=late[100].at + 1)
    tail = [Visit(f"tail-{p}", late[-1].at + 1, p, "x", 1.0) for p in "abcdefgh"]
    answers = stage.outputs.await_predictions([*stage.send([behind]), *stage.send(tail)])
    stage.assert_exact([*early, *late, behind, *tail], answers, entity="person")

    stage.await_lag_gone(score)
    stage.outputs.read_to_end()
    assert len(stage.outputs.predictions) == len(early) + len(scored) + 1 + 1 + len(tail)
    assert not stage.outputs.doubled
    assert not stage.outputs.letters

    schema = Draft202012Validator(prediction_schema(stage.definition))
    for at, prediction in zip(scored, predictions, strict=True):
        visit = late[at]
        schema.validate(prediction.data)
        assert prediction.key == visit.person.encode()
        assert prediction.headers == [
            ("content-type", b"application/json"), ("riverrun.schema", b"riverrun.prediction/1"), *TRACE[:2],
        ]  # fmt: skip
        assert (prediction.data["event_id"], prediction.data["event_time"]) == (visit.visit, visit.at)
        assert (prediction.source, prediction.version) == ("model", "v1")
        assert prediction.degradations == (["key_missing"] if visit.door is None else [])
        assert prediction.data["freshness_ms"] == 0
