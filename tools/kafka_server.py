"""A real Apache Kafka of one's own (KRaft, one broker) on free loopback ports, free to be killed."""

import signal
import socket
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tools.kafka_jars import classpath, find_java
from tools.processes import ServerDidNotStart, await_ready, end, free_port, last_lines, spawn

# One broker holds one copy of everything; the rest makes start and rebalances quick and the heap small.
SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.consumer.min.heartbeat.interval.ms": "300",
    "group.consumer.heartbeat.interval.ms": "300",
    "group.consumer.min.session.timeout.ms": "6000",
    "group.consumer.session.timeout.ms": "6000",
    "broker.session.timeout.ms": "6000",  # a killed broker may come back only after this
    "broker.heartbeat.interval.ms": "500",
    "auto.create.topics.enable": "false",
    "log.cleaner.dedupe.buffer.size": "8388608",
    "num.network.threads": "2",
    "num.io.threads": "4",
}

JVM = ["-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true"]
LOGGING = [
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS",
]


def draw_cluster_id() -> str:
    """As Kafka writes them: 16 bytes in base64 that do not begin with a dash."""
    return urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode().replace("-", "A")


class KafkaServer:
    """One broker; its ports and its data stay the same over `kill` and `restart`.

    options: further broker settings by their names in server.properties.
    cluster_id: the same for all brokers of a cluster; drawn where there is but one.
    """

    def __init__(
        self,
        directory: Path,
        options: Mapping[str, str] | None = None,
        port: int | None = None,
        *,
        cluster_id: str | None = None,
        heap_mb: int = 512,
    ) -> None:
        self.directory = directory
        self.options = dict(options or {})
        self.port = port or free_port()
        self.cluster_id = cluster_id or draw_cluster_id()
        self._heap = f"-Xmx{heap_mb}m"
        self.controller_port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """Where clients connect."""
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What the broker said (warnings and worse), over all its restarts."""
        return self.directory / "kafka.log"

    @property
    def data(self) -> Path:
        """Its only log directory."""
        return self.directory / "data"

    def start(self, timeout_s: float = 120.0) -> None:
        """Return when the broker is part of its cluster and answers; raises NoKafka, ServerDidNotStart."""
        self.launch()
        self.await_ready(timeout_s)

    def launch(self) -> None:
        """Start it and do not wait: one of several controllers answers only when most of them run."""
        assert self.process is None, "already started"
        java, jars = find_java(), classpath()
        self.directory.mkdir(parents=True, exist_ok=True)
        properties = self._write_properties()
        command: list[str | Path] = [java, *JVM, self._heap, *LOGGING, "-cp", jars]
        if not (self.data / "meta.properties").exists():
            self._format([*command, "kafka.tools.StorageTool"], properties)
        self.process = spawn([*command, "kafka.Kafka", properties], self.log)

    def await_ready(self, timeout_s: float = 120.0) -> None:
        """What `start` does after `launch`."""
        assert self.process is not None, "not started"
        try:
            await_ready("Apache Kafka", self.process, self._answers, self.log, timeout_s)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End it in an orderly way."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start again after `stop` or `kill` (or instead of them), on the same port, with the same data."""
        self.stop()
        self.start()

    def _write_properties(self) -> Path:
        client, controller = f"127.0.0.1:{self.port}", f"127.0.0.1:{self.controller_port}"
        settings = {
            **SETTINGS,
            "listeners": f"PLAINTEXT://{client},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{client}",
            "controller.quorum.voters": f"1@{controller}",
            "log.dirs": str(self.data),
            **self.options,
        }
        path = self.directory / "server.properties"
        path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        return path

    def _format(self, storage_tool: list[str | Path], properties: Path) -> None:
        command = [*storage_tool, "format", "--cluster-id", self.cluster_id, "--config", properties]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ServerDidNotStart(
                f"formatting {self.data}: {done.stdout}{done.stderr}\n{last_lines(self.log)}"
            )

    def _answers(self) -> bool:
        # A plain connection first: the client library complains on stderr about every refused one.
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        try:
            return bool(AdminClient({"bootstrap.servers": self.bootstrap}).list_topics(timeout=2).brokers)
        except KafkaException:
            return False

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            end(self.process, how)
            self.process = None
