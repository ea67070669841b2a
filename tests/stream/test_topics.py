"""`riverrun topics create` against a real Kafka."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from stream.config import Settings, load_settings
from stream.errors import ConfigurationError, Fatal
from stream.workers.topics import create

FRAUD = Path(__file__).resolve().parents[2] / "examples" / "fraud" / "usecase.yaml"
SEEN_WITHIN_S = 15.0


@pytest.fixture
def name(fresh_name: Callable[[str], str]) -> str:
    """A use case's name that nobody else uses."""
    return fresh_name("fraud").replace("-", "_")


@pytest.fixture
def settings(kafka: str, tmp_path: Path, name: str) -> Settings:
    file = tmp_path / "usecase.yaml"
    file.write_text(FRAUD.read_text("utf-8").replace("name: fraud", f"name: {name}", 1), "utf-8")
    return load_settings(None, {}, {"--usecase": str(file), "--kafka": kafka})


def partitions(kafka: str, topics: list[str]) -> list[int]:
    """How many the topics have, once the broker that answers knows all of them."""
    deadline = time.monotonic() + SEEN_WITHIN_S
    with AdminClient({"bootstrap.servers": kafka}) as admin:
        while True:
            found = admin.list_topics(timeout=SEEN_WITHIN_S).topics
            if all(topic in found for topic in topics) or time.monotonic() > deadline:
                return [len(found[topic].partitions) if topic in found else 0 for topic in topics]


def test_missing_topics_are_created_and_a_second_run_changes_nothing(
    kafka: str, settings: Settings, name: str
) -> None:
    topics = [f"{name}.{topic}" for topic in ("events", "labels", "predictions", "deadletters")]
    assert create(settings, 3) == [f"{topic}: created with 3 partitions" for topic in topics]
    assert partitions(kafka, topics) == [3, 3, 3, 3]
    assert create(settings, 3) == [f"{topic}: exists with 3 partitions" for topic in topics]


def test_what_is_there_with_another_number_of_partitions_stays_and_is_said(
    kafka: str, settings: Settings, name: str
) -> None:
    create(settings, 1)
    topics = [f"{name}.events", f"{name}.labels"]
    assert partitions(kafka, topics) == [1, 1]
    for wanted in (3, 2):
        assert create(settings, wanted)[0] == (
            f"{name}.events: exists with 1 partition, not {wanted}, and stays as it is: "
            "another number would send keys to other partitions"
        )
    assert partitions(kafka, topics) == [1, 1]


def test_what_the_cluster_refuses_is_said_for_each_topic(settings: Settings, name: str) -> None:
    with pytest.raises(Fatal) as raised:
        create(settings, 1, replication=99)
    lines = str(raised.value).splitlines()
    assert len(lines) == 4
    assert all(f"topic {name}." in line and "INVALID_REPLICATION_FACTOR" in line for line in lines)


def test_a_kafka_that_does_not_answer_is_named_with_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.workers.topics.METADATA_S", 0.5)
    settings = load_settings(None, {}, {"--usecase": str(FRAUD), "--kafka": "127.0.0.1:1"})
    with pytest.raises(Fatal, match=r"Kafka at 127\.0\.0\.1:1 does not answer: .*127\.0\.0\.1:1.*; check"):
        create(settings, 1)


def test_properties_that_do_not_go_together_are_a_mistake_of_configuration() -> None:
    flags = {"--usecase": str(FRAUD), "--kafka": "127.0.0.1:1", "kafka.properties.ssl.ca.location": "/none"}
    settings = load_settings(None, {}, flags | {"kafka.properties.security.protocol": "SSL"})
    with pytest.raises(ConfigurationError, match=r"kafka\.properties"):
        create(settings, 1)
