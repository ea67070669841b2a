"""How workers and demo meet: settings, topics and groups of the run's own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from features.definition.model import RowKind
from stream.config import groups_of, kafka_connection, load_settings_from_environment, topics_of
from stream.demo.commits import Lane
from stream.demo.kafka_server import PARTITIONS
from stream.demo.prepare import Prepared
from stream.demo.servers import Servers
from stream.transport.kafka.properties import KafkaConnection
from stream.workers.topics import create

EMBEDDED: Mapping[str, str] = {
    # A fetch that waits at the mock cluster is not woken by records that come: let none wait for long.
    "kafka.properties.fetch.wait.max.ms": "10",
    # A group whose last member has left takes new members only after a session timeout, less a second.
    "kafka.properties.session.timeout.ms": "8000",
    "kafka.properties.heartbeat.interval.ms": "1000",
}
"""What clients of the embedded Kafka need."""


@dataclass(frozen=True, slots=True)
class Topology:
    """Every topic has the same number of partitions, so that a prediction stands where its event does."""

    flags: Mapping[str, str]
    """What every worker is told, by flag or key of a setting."""
    connection: KafkaConnection
    events: str
    predictions: str
    dead_letters: str
    event_lane: Lane
    label_lane: Lane
    partitions: int = PARTITIONS

    @property
    def arguments(self) -> Sequence[str]:
        """The flags as a command line has them."""
        named = [(name, value) for name, value in self.flags.items() if name.startswith("--")]
        others = [
            ("--set", f"{key}={value}") for key, value in self.flags.items() if not key.startswith("--")
        ]
        return [part for pair in (*named, *others) for part in pair]


def topology_of(prepared: Prepared, servers: Servers) -> Topology:
    """Settle the names and make the topics. Raises `ConfigurationError` and `Fatal`."""
    definition = prepared.definition
    flags = worker_flags(prepared, servers)
    # As the workers read them: the environment may hold what a real Kafka asks of its clients.
    settings = load_settings_from_environment(None, flags)
    topics, groups = topics_of(settings, definition.name), groups_of(settings, definition.name)
    if servers.own_kafka is None:
        create(settings, PARTITIONS)
    else:
        for topic in (topics.events, topics.labels, topics.predictions, topics.deadletters):
            servers.own_kafka.create_topic(topic)
    # Only windows over labels make the materializer read them.
    has_labels = any(row.kind is RowKind.LABELS for row in definition.rows)
    label_groups = (f"{groups.materialize}.labels",) if has_labels else ()
    return Topology(
        flags=flags,
        connection=kafka_connection(settings),
        events=topics.events,
        predictions=topics.predictions,
        dead_letters=topics.deadletters,
        event_lane=Lane.of(topics.events, PARTITIONS, (groups.score, groups.materialize)),
        label_lane=Lane.of(topics.labels, PARTITIONS, label_groups),
    )


def worker_flags(prepared: Prepared, servers: Servers) -> dict[str, str]:
    """Names are given one by one, so that settings in the environment cannot make runs share topics."""
    name = prepared.definition.name
    return {
        "--usecase": str(prepared.usecase.file),
        "--models": str(prepared.models),
        "--kafka": servers.kafka,
        "--redis": servers.redis,
        "http.host": "127.0.0.1",
        "kafka.start": "earliest",
        "kafka.group": f"{name}.score",
        "kafka.materialize_group": f"{name}.materialize",
        **{
            f"kafka.topics.{topic}": f"{name}.{topic}"
            for topic in ("events", "labels", "predictions", "deadletters")
        },
        **({} if servers.own_kafka is None else EMBEDDED),
        "materialize.complete_since": str(prepared.plan.complete_since),
    }
