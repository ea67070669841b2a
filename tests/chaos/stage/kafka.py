"""Three real Kafka brokers of one cluster, each behind a proxy too, and what can be done to them."""

import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

from confluent_kafka import ElectionType, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._metadata import ClusterMetadata, TopicMetadata
from confluent_kafka.cimpl import NewTopic

from tests.chaos.stage.disk import SmallDisk
from tests.chaos.stage.reassign import reassign
from tests.chaos.stage.toxiproxy import Proxy, Toxiproxy
from tests.integration.processes import await_that, stop
from tools.kafka_server import KafkaServer, draw_cluster_id
from tools.processes import free_port
from tools.reaper import end_with_us

BROKERS = (1, 2, 3)
HEALTHY_S = 90.0
"""A bound for what takes seconds: a log is recovered, replicas catch up, leaders are elected."""

# Replicated as in production; the rest makes failures noticed, and groups and transactions move, soon.
SETTINGS = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "unclean.leader.election.enable": "false",
    "offsets.topic.replication.factor": "3",
    "offsets.topic.num.partitions": "5",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "transaction.state.log.num.partitions": "5",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.heartbeat.interval.ms": "100",
    "group.consumer.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "4000",
    "replica.lag.time.max.ms": "4000",
    "log.index.size.max.bytes": "1048576",
    "inter.broker.listener.name": "DIRECT",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,DIRECT:PLAINTEXT,PROXIED:PLAINTEXT",
}


class KafkaTrio:
    """Brokers 1, 2 and 3, each a controller as well, so that two of three carry everything.

    Whoever connects to `bootstrap` reaches the brokers directly; whoever connects to `proxied_bootstrap`
    reaches them through `proxies`, and stays there: that is what the brokers advertise to whoever comes that
    way. Ports and data outlive every fault.

    disk_mb: the size of each broker's own disk, for `fill_disk`; None where nothing can be mounted.
    """

    def __init__(self, directory: Path, toxiproxy: Toxiproxy, disk_mb: int | None = 1024) -> None:
        self._servers: dict[int, KafkaServer] = {}
        self._paused: set[int] = set()
        self._toxiproxy, cluster_id = toxiproxy, draw_cluster_id()
        for n in BROKERS:
            home = directory / f"broker-{n}"
            self._servers[n] = KafkaServer(home, cluster_id=cluster_id, heap_mb=256)
        self.disks = {n: SmallDisk(s.data, disk_mb) for n, s in self._servers.items() if disk_mb is not None}
        self.proxies: dict[int, Proxy] = {}

    # --------------------------------------------------------------------------------------- the cluster

    def start(self) -> None:
        """Return when every broker is in sync; raises NoKafka, ServerDidNotStart, NoMount."""
        for disk in self.disks.values():
            disk.mount()
        self._configure()
        with ThreadPoolExecutor(len(BROKERS)) as pool:
            list(pool.map(self._launch, BROKERS))
        for server in self._servers.values():
            server.await_ready()
        self.await_isr_full()

    def close(self) -> None:
        """End everything at once; the data on small disks is gone."""
        for server in self._servers.values():
            server.kill()
        for disk in self.disks.values():
            disk.unmount()

    @property
    def bootstrap(self) -> str:
        """For whoever watches: past the proxies."""
        return ",".join(server.bootstrap for server in self._servers.values())

    @property
    def proxied_bootstrap(self) -> str:
        """For the workers."""
        return ",".join(proxy.address for proxy in self.proxies.values())

    @cached_property
    def admin(self) -> AdminClient:
        """Past the proxies."""
        return AdminClient({"bootstrap.servers": self.bootstrap, "socket.timeout.ms": 3_000, "log_level": 0})

    def create(self, topic: str, partitions: int, **config: str) -> None:
        """A topic with three replicas. config: as Kafka names it, with underscores for dots."""
        named = {name.replace("_", "."): value for name, value in config.items()}
        new = NewTopic(topic, partitions, replication_factor=len(BROKERS), config=named)
        self.admin.create_topics([new])[topic].result(HEALTHY_S)
        self.await_isr_full()

    # --------------------------------------------------------------------------------- one broker, or all

    @property
    def alive(self) -> Sequence[int]:
        """The brokers whose process runs and is not stopped."""
        return [n for n, server in self._servers.items() if n not in self._paused and _runs(server)]

    def kill(self, n: int) -> None:
        """SIGKILL. Its partitions get another leader when its session is over (4 s)."""
        self._paused.discard(n)
        self._servers[n].kill()

    def stop(self, n: int) -> None:
        """SIGTERM: it hands its leaderships over and leaves."""
        self._servers[n].stop()

    def start_broker(self, n: int, *, wait: bool = True) -> None:
        """Start one that was killed or stopped, or that ended by itself; return when it answers."""
        server = self._servers[n]
        if not _runs(server):
            server.kill()  # reaps it where it ended by itself
            self._launch(n)
        if wait:
            server.await_ready()

    def pause(self, n: int) -> None:
        """SIGSTOP; returns when it stands still. Its connections stay open, and nobody answers."""
        process = self._servers[n].process
        assert process is not None
        stop(process.pid)
        self._paused.add(n)

    def resume(self, n: int) -> None:
        process = self._servers[n].process
        assert process is not None
        process.send_signal(signal.SIGCONT)
        self._paused.discard(n)

    def rolling_restart(self) -> None:
        """One after the other, each when the one before is in sync again: as one upgrades brokers."""
        for n in BROKERS:
            self.stop(n)
            self.start_broker(n)
            self.await_isr_full()

    def fill_disk(self, n: int) -> None:
        """No byte more fits on the broker's disk: at its next write it gives up, and ends.

        Returns when the broker ended; something must be written to it, and its own heartbeats are enough.
        """
        server = self._servers[n]
        self.disks[n].fill()
        await_that(lambda: not _runs(server), f"broker {n} lives on with a full disk", HEALTHY_S)

    def free_disk(self, n: int) -> None:
        """The end of `fill_disk`; the broker has to be started again."""
        self.disks[n].free()

    def heal(self) -> None:
        """Every broker runs, and is in sync; what was done to the proxies is not undone here."""
        for disk in self.disks.values():
            disk.free()
        for n in [*self._paused]:
            self.resume(n)
        for n in BROKERS:
            self.start_broker(n, wait=False)
        for server in self._servers.values():
            server.await_ready()
        self.await_isr_full()

    # -------------------------------------------------------------------------------------------- leaders

    def leaders(self, topic: str) -> dict[int, int]:
        """By partition, the broker that leads it; -1 for none."""
        return {p: state.leader for p, state in self._topic(topic).partitions.items()}

    def move_leaders(self, topic: str) -> None:
        """Every partition is led by the next of its replicas; returns when it is."""
        wanted: dict[int, list[int]] = {}
        for partition, state in self._topic(topic).partitions.items():
            others = sorted(set(state.replicas) - {state.leader}, key=lambda n: (n < state.leader, n))
            wanted[partition] = [*others, state.leader]
        reassign(self._servers[self.alive[0]].port, topic, wanted)
        first = {partition: brokers[0] for partition, brokers in wanted.items()}
        await_that(
            lambda: {p: s.replicas[0] for p, s in self._topic(topic).partitions.items()} == first,
            f"{topic} is not reassigned",
            HEALTHY_S,
        )
        self.admin.elect_leaders(
            ElectionType.PREFERRED, [TopicPartition(topic, partition) for partition in wanted]
        ).result(HEALTHY_S)
        await_that(lambda: self.leaders(topic) == first, f"leaders of {topic} did not move", HEALTHY_S)

    def await_isr_full(self, within_s: float = HEALTHY_S) -> None:
        """Return when all brokers are in the cluster, and in sync with the leaders of all partitions."""
        await_that(self.isr_is_full, "replicas do not get in sync", within_s)

    def isr_is_full(self) -> bool:
        """As one of the brokers sees it; what was killed counts as in sync until its session is over."""
        if (seen := self._ask()) is None:
            return False
        partitions = [p for topic in seen.topics.values() for p in topic.partitions.values()]
        return len(seen.brokers) == len(BROKERS) and all(len(p.isrs) == len(BROKERS) for p in partitions)

    # ------------------------------------------------------------------------------------------------------

    def _ask(self) -> ClusterMetadata | None:
        """The metadata of all topics; None where the broker that was asked does not answer in time."""
        try:
            return self.admin.list_topics(timeout=5)
        except KafkaException:
            return None

    def _topic(self, topic: str) -> TopicMetadata:
        found: list[ClusterMetadata] = []

        def is_known() -> bool:
            seen = self._ask()
            found.extend([] if seen is None else [seen])
            return seen is not None and topic in seen.topics

        await_that(is_known, f"no broker knows {topic}", HEALTHY_S)
        return found[-1].topics[topic]

    def _configure(self) -> None:
        voters = ",".join(f"{n}@127.0.0.1:{s.controller_port}" for n, s in self._servers.items())
        for n, server in self._servers.items():
            behind = free_port()
            self.proxies[n] = proxy = self._toxiproxy.proxy(f"kafka-{n}", behind)
            server.options = {
                **SETTINGS,
                "node.id": str(n),
                "controller.quorum.voters": voters,
                "listeners": f"DIRECT://{server.bootstrap},PROXIED://127.0.0.1:{behind},"
                f"CONTROLLER://127.0.0.1:{server.controller_port}",
                "advertised.listeners": f"DIRECT://{server.bootstrap},PROXIED://{proxy.address}",
            }

    def _launch(self, n: int) -> None:
        server = self._servers[n]
        server.launch()
        assert server.process is not None
        end_with_us(server.process.pid)


def _runs(server: KafkaServer) -> bool:
    return server.process is not None and server.process.poll() is None
