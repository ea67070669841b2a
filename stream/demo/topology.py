"""How workers and demo meet: settings, topics and groups of the run's own."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from features.definition.model import RowKind
from features.stores.redis_options import RedisOptions
from stream.config import (
    groups_of,
    kafka_connection,
    load_settings_from_environment,
    redis_for_writes,
    topics_of,
)
from stream.demo.commits import Lane
from stream.demo.kafka_server import PARTITIONS
from stream.demo.options import DemoError
from stream.demo.prepare import Prepared
from stream.demo.servers import Servers
from stream.transport.kafka.properties import KafkaConnection
from stream.workers.topics import create

READ_DEADLINE_MS = 2_000
HEARTBEAT_MS = 3_000
"""All that runs here shares a few cores: a pause of the scheduler is not to pass for a fault of Redis, nor
for a materializer that is gone.
"""
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

    config: Path
    """Settings that must not stand on a command line, where anybody can read them."""
    flags: Mapping[str, str]
    """What every worker is told, by flag or key of a setting."""
    connection: KafkaConnection
    redis: RedisOptions
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
        return [part for pair in (("--config", str(self.config)), *named, *others) for part in pair]


def topology_of(prepared: Prepared, servers: Servers, directory: Path) -> Topology:
    """Settle the names and make the topics. Raises `DemoError`, `ConfigurationError` and `Fatal`."""
    definition = prepared.definition
    config, flags = directory / "riverrun.yaml", worker_flags(prepared, servers)
    given = {} if servers.own_redis is not None else {"redis": {"url": servers.redis}}
    config.write_text(json.dumps(given), "utf-8")
    # As the workers read them: the environment may hold what real servers ask of their clients.
    settings = load_settings_from_environment(config, flags)
    origin = settings.origin("redis.url")
    if given and not origin.startswith(str(config)):
        raise DemoError(f"{origin} names another Redis than --redis: unset it, or leave out --redis")
    topics, groups = topics_of(settings, definition.name), groups_of(settings, definition.name)
    if servers.own_kafka is None:
        create(settings, PARTITIONS)
    else:
        for topic in (topics.events, topics.labels, topics.predictions, topics.deadletters):
            servers.own_kafka.create_topic(topic)
    # Only windows over labels make the materializer read them.
    has_labels = any(row.kind is RowKind.LABELS for row in definition.rows)
    label_groups = (groups.labels_of(definition),) if has_labels else ()
    return Topology(
        config=config,
        flags=flags,
        connection=_quiet(kafka_connection(settings)),
        redis=redis_for_writes(settings),
        events=topics.events,
        predictions=topics.predictions,
        dead_letters=topics.deadletters,
        event_lane=Lane.of(topics.events, PARTITIONS, (groups.score, groups.events_of(definition))),
        label_lane=Lane.of(topics.labels, PARTITIONS, label_groups),
    )


def _quiet(connection: KafkaConnection) -> KafkaConnection:
    """The demo's own clients do not write into the view; what they cannot mend they raise."""
    return replace(connection, properties={**connection.properties, "log_level": "0"})


def worker_flags(prepared: Prepared, servers: Servers) -> dict[str, str]:
    """Names are given one by one, so that settings in the environment cannot make runs share topics."""
    name = prepared.definition.name
    return {
        "--usecase": str(prepared.usecase.file),
        "--models": str(prepared.models),
        "--kafka": servers.kafka,
        **({} if servers.own_redis is None else {"--redis": servers.redis}),
        "http.host": "127.0.0.1",
        "redis.deadline_ms": str(READ_DEADLINE_MS),
        "freshness.heartbeat_ms": str(HEARTBEAT_MS),
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
