"""Kafka and Redis of a benchmark's own on one core, and what is measured on another."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic  # the package does not export it to type checkers
from redis import Redis

from tools.kafka_server import KafkaServer
from tools.redis_server import RedisServer

PARTITIONS = 4
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
HEADERS: list[tuple[str, str | bytes | None]] = [
    ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
]


@dataclass(frozen=True, slots=True)
class Cores:
    """Of which core is whose."""

    measured: int
    servers: int

    @classmethod
    def available(cls) -> "Cores":
        first, *others = sorted(os.sched_getaffinity(0))
        return cls(first, others[-1] if others else first)


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started in this block stays on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True, slots=True)
class Servers:
    """Running, and forgotten with their directory."""

    directory: Path
    kafka: KafkaServer
    redis: RedisServer
    client: Redis

    def create_topic(self, topic: str, config: Mapping[str, str] | None = None) -> None:
        admin = self._admin()  # its answers come only as long as it is there
        made = admin.create_topics([NewTopic(topic, PARTITIONS, 1, config=dict(config or {}))])
        made[topic].result(timeout=30)

    def delete_topic(self, topic: str) -> None:
        admin = self._admin()
        admin.delete_topics([topic])[topic].result(30)

    def _admin(self) -> AdminClient:
        """Of its remarks that a topic or the broker is gone nobody needs to know."""
        return AdminClient({"bootstrap.servers": self.kafka.bootstrap, "log_level": 2})

    def forget(self) -> None:
        """Redis loses everything, and goes on."""
        self.client.flushall()

    def kill_redis(self) -> None:
        """Redis dies and comes back without what it had."""
        self.redis.kill()
        self.redis.start()

    def fill(self, topic: str, records: Sequence[tuple[bytes | None, bytes | None]]) -> int:
        """Every record with headers, as upstream services send them; returns how many."""
        producer = Producer(
            {
                "bootstrap.servers": self.kafka.bootstrap,
                "partitioner": "murmur2_random",
                "queue.buffering.max.messages": 1_000_000,
                "linger.ms": 20,
            }
        )
        for key, value in records:
            producer.produce(topic, value, key, headers=HEADERS)
            producer.poll(0)
        assert producer.flush(120) == 0
        producer.close()
        return len(records)


@contextmanager
def servers(cores: Cores) -> Iterator[Servers]:
    """Both on the servers' core, as are this process and its clients from now on."""
    with on_core(cores.servers), tempfile.TemporaryDirectory(prefix="riverrun-bench-") as name:
        directory = Path(name)
        kafka, store = KafkaServer(directory / "kafka"), RedisServer(directory / "redis")
        try:
            kafka.start()
            store.start()
            with Redis.from_url(store.url) as client:
                yield Servers(directory, kafka, store, client)
        finally:
            store.stop()
            kafka.stop()


def cpu_seconds(pid: int) -> float:
    """What all threads of a process have used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
