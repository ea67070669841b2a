"""The brokers that the transport contract is checked on, behind one small face."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic  # the package does not export it to type checkers

from stream.errors import Fatal, Retryable
from stream.records import RecordBatch
from stream.transport.endpoints import PartitionListener, Sink, Source, Start
from stream.transport.kafka import KafkaConnection, KafkaSink, KafkaSource
from stream.transport.memory import MemoryBroker, MemorySink, MemorySource

PARTITIONS = 4
POLLS_MAX = 600
COMMITS_MAX = 100


SourceOrSink = TypeVar("SourceOrSink", bound=Source | Sink)


class Cluster(Protocol):
    @property
    def clients(self) -> "Clients": ...

    @property
    def tells_spares(self) -> bool:
        """Whether a member hears that no partition is left for it."""
        ...

    def create(self, topic: str) -> None: ...

    def source(
        self, topic: str, group: str, listener: PartitionListener, start: Start = "earliest"
    ) -> Source: ...

    def sink(self) -> Sink: ...

    def committed(self, topic: str, group: str) -> Mapping[int, int]: ...

    def commit_as_operator(self, topic: str, group: str, offsets: Mapping[int, int]) -> None: ...


class Clients:
    """Everything a test opened; a failed test must not leave clients of librdkafka to the collector."""

    def __init__(self) -> None:
        self._opened: list[Source | Sink] = []

    def keep(self, client: SourceOrSink) -> SourceOrSink:
        self._opened.append(client)
        return client

    def close(self) -> None:
        for client in self._opened:
            with suppress(Fatal, Retryable):
                client.close()


@dataclass
class MemoryCluster:
    broker: MemoryBroker = field(default_factory=lambda: MemoryBroker(now_ms=lambda: 1_000))
    clients: Clients = field(default_factory=Clients)
    tells_spares: bool = True

    def create(self, topic: str) -> None:
        self.broker.create_topic(topic, PARTITIONS)

    def source(
        self, topic: str, group: str, listener: PartitionListener, start: Start = "earliest"
    ) -> Source:
        return self.clients.keep(MemorySource(self.broker, topic, group, listener, start))

    def sink(self) -> Sink:
        return self.clients.keep(MemorySink(self.broker))

    def committed(self, topic: str, group: str) -> Mapping[int, int]:
        return self.broker.committed(topic, group)

    def commit_as_operator(self, topic: str, group: str, offsets: Mapping[int, int]) -> None:
        self.broker.group(topic, group).committed.update(offsets)


@dataclass
class KafkaCluster:
    """Embedded or real; `properties` go to every client."""

    bootstrap: str
    create_topic: Callable[[str], None]
    properties: Mapping[str, str] = field(default_factory=dict)
    clients: Clients = field(default_factory=Clients)
    refuse: Callable[[int, Sequence[int]], None] = lambda request, codes: None
    """Answer the next requests of a kind with errors; only a `RefusingKafka` can."""
    delay: Callable[[int, int], None] = lambda request, by_ms: None
    """Answer the next request of a kind later; only a `RefusingKafka` can."""

    @property
    def tells_spares(self) -> bool:
        return self.properties.get("group.protocol") != "consumer"

    def connection(self) -> KafkaConnection:
        return KafkaConnection(self.bootstrap, self.properties)

    def create(self, topic: str) -> None:
        self.create_topic(topic)

    def source(
        self, topic: str, group: str, listener: PartitionListener, start: Start = "earliest"
    ) -> Source:
        return self.clients.keep(KafkaSource(self.connection(), topic, group, listener, start))

    def sink(self) -> Sink:
        return self.clients.keep(KafkaSink(self.connection()))

    def committed(self, topic: str, group: str) -> Mapping[int, int]:
        consumer = self._plain(group)
        try:
            wanted = [TopicPartition(topic, p) for p in range(PARTITIONS)]
            stored = consumer.committed(wanted, timeout=10)
            return {p.partition: p.offset for p in stored if p.offset >= 0}
        finally:
            consumer.close()

    def commit_as_operator(self, topic: str, group: str, offsets: Mapping[int, int]) -> None:
        consumer = self._plain(group)
        wanted = [TopicPartition(topic, p, o) for p, o in offsets.items()]

        def stands() -> bool:
            try:
                return bool(consumer.commit(offsets=wanted, asynchronous=False))
            except KafkaException as raised:  # the coordinator of a broker that started just now
                if not raised.args[0].retriable():
                    raise
                return False

        try:
            assert any(stands() for _ in range(COMMITS_MAX))
        finally:
            consumer.close()

    def _plain(self, group: str) -> Consumer:
        return Consumer({"bootstrap.servers": self.bootstrap, "group.id": group, "enable.auto.commit": False})


def create_with_admin(bootstrap: str, config: Mapping[str, str] | None = None) -> Callable[[str], None]:
    """How topics come into being on a real Kafka."""

    def create(topic: str) -> None:
        admin = AdminClient({"bootstrap.servers": bootstrap})
        made = admin.create_topics(
            [NewTopic(topic, num_partitions=PARTITIONS, replication_factor=1, config=dict(config or {}))]
        )
        made[topic].result(timeout=30)

    return create


@dataclass
class Recorder:
    """A listener that remembers, and does in `revoked` what it is told to."""

    start_at: Mapping[int, int] = field(default_factory=dict)
    on_revoked: Callable[[AbstractSet[int]], None] = lambda _: None
    calls: list[tuple[str, frozenset[int]]] = field(default_factory=list)
    committed: dict[int, int] = field(default_factory=dict)
    held: set[int] = field(default_factory=set)

    def assigned(self, committed: Mapping[int, int]) -> Mapping[int, int]:
        self.calls.append(("assigned", frozenset(committed)))
        self.committed.update(committed)
        self.held |= set(committed)
        return {p: o for p, o in self.start_at.items() if p in committed}

    def revoked(self, partitions: AbstractSet[int]) -> None:
        self.calls.append(("revoked", frozenset(partitions)))
        self.on_revoked(partitions)
        self.held -= partitions

    def lost(self, partitions: AbstractSet[int]) -> None:
        self.calls.append(("lost", frozenset(partitions)))
        self.held -= partitions


@dataclass(frozen=True)
class Read:
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


def rows(batch: RecordBatch) -> list[Read]:
    places = zip(batch.partitions.tolist(), batch.offsets.tolist(), batch.keys, batch.values, strict=True)
    return [Read(*place) for place in places]


def read(source: Source, count: int) -> list[Read]:
    """Poll until `count` records are there."""
    found: list[Read] = []
    poll_until([source], lambda: len(found) >= count, lambda _, batch: found.extend(rows(batch)))
    return found


def poll_until(
    sources: Iterable[Source],
    done: Callable[[], bool],
    take: Callable[[Source, RecordBatch], None] = lambda _, __: None,
) -> None:
    """Poll every source in turn until `done`; fails when that never comes."""
    members = list(sources)
    for _ in range(POLLS_MAX):
        if done():
            return
        for source in members:
            take(source, source.poll(1000, 100 // len(members)))
    raise AssertionError("the condition never came true")


def produce(sink: Sink, topic: str, values: Sequence[bytes], keys: Sequence[bytes] | None = None) -> None:
    """Produce and wait for every acknowledgement."""
    sink.produce_batch(topic, keys or values, values, None, lambda _: None)
    assert sink.flush(30_000) == 0


def next_offsets(found: Sequence[Read]) -> dict[int, int]:
    """What to commit when all of `found` is done."""
    return {read.partition: read.offset + 1 for read in found}
