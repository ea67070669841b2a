"""All servers of one stage, behind one face: what a plan of faults acts on."""

from collections.abc import Sequence
from pathlib import Path

from tests.chaos.stage.disk import why_no_mount
from tests.chaos.stage.kafka import KafkaTrio
from tests.chaos.stage.redis import ChaosRedis
from tests.chaos.stage.toxiproxy import Toxiproxy


class Servers:
    """Three brokers and a Redis, each behind a proxy.

    Workers get `kafka.proxied_bootstrap` and `redis.proxied_url`; generator and checker `kafka.bootstrap` and
    `redis.url`, so that a fault on the way does not reach them.

    topics: those whose leaders a plan moves.
    """

    def __init__(self, directory: Path, topics: Sequence[str] = ()) -> None:
        self.topics = topics
        self.why_no_full_disk = why_no_mount()
        """Why no broker's disk can be full here; None where it can."""
        self.toxiproxy = Toxiproxy(directory / "toxiproxy")
        disk_mb = 1024 if self.why_no_full_disk is None else None
        self.kafka = KafkaTrio(directory / "kafka", self.toxiproxy, disk_mb)
        self.redis = ChaosRedis(directory / "redis", self.toxiproxy)

    def start(self) -> None:
        """Raises NoToxiproxy, NoKafka, NoRedisServer, ServerDidNotStart; nothing is left running then."""
        try:
            self.toxiproxy.start()
            self.redis.start()
            self.kafka.start()
        except BaseException:
            self.close()
            raise

    def heal(self) -> None:
        """Whatever was done to them is undone; returns when all are healthy."""
        self.toxiproxy.heal()
        self.redis.heal()
        self.kafka.heal()

    def close(self) -> None:
        self.kafka.close()
        self.redis.close()
        self.toxiproxy.stop()
