"""Events replayed: the same bundle says the same to the bit, another says something else, on a real Kafka."""

import re
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic  # the package does not export it to type checkers
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from stream.cli import app
from stream.contracts import prediction_schema
from stream.errors import ConfigurationError, Fatal
from stream.transport.kafka import KafkaConnection
from stream.transport.kafka.ranges import TopicRanges
from tests.integration.records import Record
from tests.integration.stage import Stage, now_ms
from tests.integration.usecase import labelled, some_visits, train

MINUTE = 60_000
LONG_AGO = "2000-01-01"


def replay(stage: Stage, bundle: str, *arguments: str) -> str:
    topics = [f"--set=kafka.topics.{kind}={topic}" for kind, topic in stage.topics.items()]
    common = ["--usecase", str(stage.usecase), "--kafka", stage.kafka, "--models", str(stage.models), *topics]
    done = CliRunner().invoke(
        app, ["replay", "--bundle", bundle, *arguments, *common], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    return done.stdout


def counts(printed: str) -> tuple[int, int, int, int]:
    """As served, computed, equal and different."""
    features = re.search(r"features: +([\d,]+) as served, ([\d,]+) computed", printed)
    equal = re.search(r"equal: +([\d,]+) to the bit, ([\d,]+) differ", printed)
    assert features is not None
    assert equal is not None
    first, second, third, fourth = (
        int(text.replace(",", "")) for text in (*features.groups(), *equal.groups())
    )
    return first, second, third, fourth


@pytest.fixture(scope="module")
def served(kafka: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(f"visits_{uuid.uuid4().hex[:10]}", kafka, redis_url, tmp_path_factory.mktemp("stage"))
    serve(stage)
    yield stage
    stage.close()


def serve(stage: Stage) -> None:
    """Thirty events answered by rules, as the store knows nothing yet, then three hundred by the model; among
    them rubbish, one that is not scored, and labels.
    """
    stage.trained("v1")
    train(stage.definition, stage.models, "v2", seed=1)
    stage.score()
    start = now_ms() - 5 * MINUTE
    degraded = some_visits(30, start, seed=2, name="degraded")
    stage.outputs.await_predictions(stage.send(degraded))
    materialize = stage.materialize()
    places = stage.sender.send(stage.topics["events"], [Record(b"a", b"rubbish")])
    early = labelled(some_visits(100, start + MINUTE, name="early"))
    first = stage.send(early)
    stage.outputs.await_predictions(first)
    stage.await_materialized(materialize, "events", [*places, *first])
    stage.await_materialized(materialize, "labels", stage.send_labels(early))
    late = some_visits(200, start + 2 * MINUTE, seed=1, name="late")
    unscored = some_visits(1, start + 2 * MINUTE, name="heavy")[0]
    stage.send([replace(unscored, weight=700.0)])
    stage.outputs.await_predictions(stage.send(late))
    sources = {prediction.source for prediction in stage.outputs.predictions}
    assert sources == {"rules", "model"}


def test_a_replay_by_the_same_bundle_is_equal_to_the_bit_and_by_another_it_is_not(
    served: Stage, tmp_path: Path
) -> None:
    file = tmp_path / "again.parquet"
    printed = replay(served, "v1", "--from", LONG_AGO, "--out", str(file))
    assert counts(printed) == (330, 0, 330, 0)
    assert "332 of" in printed
    assert "1 rejected, 1 not to be scored" in printed
    assert "decisions: 0 change" in printed
    assert "scores:    differ by 0 (p50), 0 (p99), 0 (max)" in printed
    assert "by source: rules then, rules now:" in printed
    table = pq.read_table(file)
    assert table.num_rows == 330
    assert table.column("equal").to_pylist() == [True] * 330
    assert table.column("score").to_pylist() == table.column("served.score").to_pylist()
    rows = {row["event.id"]: row for row in table.to_pylist()}
    first = served.outputs.predictions[0]
    row = rows[first.data["event_id"]]
    assert (row["partition"], row["offset"]) == first.of
    assert (row["decision"], row["source"]) == (first.data["decision"], first.source)
    assert row["degradations"] == first.degradations

    other = replay(served, str(served.models / "v2"), "--from", LONG_AGO)
    _, _, equal, different = counts(other)
    assert equal + different == 330
    assert different > 100
    assert "model then, model now" in other
    highest = re.search(r"p99\), ([\d.e+-]+) \(max\)", other)
    assert highest is not None
    assert float(highest[1]) > 0


def test_features_that_were_not_logged_are_computed_as_they_would_have_been_served(served: Stage) -> None:
    printed = replay(served, "v1", "--from", LONG_AGO, "--computed")
    as_served, computed, _, different = counts(printed)
    assert (as_served, computed) == (0, 330)
    assert different <= 30, "only those that were answered without rows, which now have some"
    assert "model then, model now: 300, 0 differ" in printed


def test_a_part_is_replayed_by_offsets_and_into_a_topic_of_its_own(served: Stage) -> None:
    topic = f"replayed-{served.name}"
    admin = AdminClient({"bootstrap.servers": served.kafka})
    for made in admin.create_topics([NewTopic(topic, 2, 1)]).values():
        made.result(timeout=30)
    printed = replay(served, "v2", "--from", "0:5,1:0", "--to", "0:25,1:10", "--topic-out", topic)
    as_served, computed, equal, different = counts(printed)
    assert computed == 0
    assert equal + different == as_served <= 30
    schema = Draft202012Validator(prediction_schema(served.definition))
    found = []
    with closing(TopicRanges(KafkaConnection(served.kafka), topic)) as ranges:
        for records in ranges.read(*ranges.whole()):
            for i, value in enumerate(records.values):
                data = msgspec.json.decode(value or b"")
                schema.validate(data)
                found.append((data["origin"]["partition"], data["origin"]["offset"]))
                assert data["model"]["variant"] == "replay"
                assert dict(records.headers(i))["riverrun.features"] == b"served"
    assert len(found) == as_served
    assert {offset for partition, offset in found if partition == 0} <= set(range(5, 25))
    assert {offset for partition, offset in found if partition == 1} <= set(range(10))


def test_what_cannot_be_replayed_is_said_with_its_mend(served: Stage) -> None:
    for arguments, error, said in (
        (
            ("--from", LONG_AGO, "--topic-out", served.topics["predictions"]),
            ConfigurationError,
            "topic of its own",
        ),
        (("--from", LONG_AGO, "--topic-out", "nobody-made-this"), Fatal, "nobody-made-this is not there"),
        (("--from", "9:0"), ConfigurationError, "has no partition 9"),
        (("--from", "0:0", "--to", "1:5"), ConfigurationError, "give both ends of each partition"),
    ):
        with pytest.raises(error, match=said):
            replay(served, "v1", *arguments)
    empty = replay(served, "v1", "--from", "2999-01-01")
    assert "records:   0 of" in empty
