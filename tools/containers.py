"""Kafka and Redis as containers, where a Docker daemon answers."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tools.kafka_jars import KAFKA_VERSION
from tools.kafka_server import SETTINGS
from tools.processes import free_port

REDIS_IMAGE = "redis:7-alpine"
CLIENT_PORT, CONTROLLER_PORT = 9092, 9093


class NoDocker(RuntimeError):
    """No Docker daemon answers, or it could not run the image; the message says which."""


def check_docker() -> None:
    """Raise NoDocker unless a daemon answers; takes two seconds at most, and none without a socket."""
    if "DOCKER_HOST" not in os.environ:
        path = Path("/var/run/docker.sock")
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(2)
                probe.connect(str(path))
        except OSError as error:
            raise NoDocker(f"no Docker daemon at {path} ({error.strerror or error})") from error
    import docker  # noqa: PLC0415  it comes with testcontainers, which only tests need

    try:
        client = docker.from_env(timeout=2)
        client.ping()
        client.close()
    except (docker.errors.DockerException, OSError) as error:
        raise NoDocker(f"no Docker daemon answers: {error}") from error


def start_kafka() -> tuple[str, Callable[[], None]]:
    """Start one broker; its bootstrap address, and what stops it. Raises NoDocker."""
    port = free_port()
    settings = {
        **SETTINGS,
        "listeners": f"PLAINTEXT://:{CLIENT_PORT},CONTROLLER://:{CONTROLLER_PORT}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.quorum.voters": f"1@localhost:{CONTROLLER_PORT}",
    }
    environment = {f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in settings.items()}
    stop = _start(f"apache/kafka:{KAFKA_VERSION}", {CLIENT_PORT: port}, environment, "Kafka Server started")
    bootstrap = f"127.0.0.1:{port}"
    try:
        AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=10)
    except KafkaException as error:
        stop()
        raise NoDocker(f"the broker in Docker cannot be reached at {bootstrap}: {error}") from error
    return bootstrap, stop


def start_redis() -> tuple[str, Callable[[], None]]:
    """Start one redis-server; its URL, and what stops it. Raises NoDocker."""
    port = free_port()
    stop = _start(REDIS_IMAGE, {6379: port}, {}, "Ready to accept connections")
    return f"redis://127.0.0.1:{port}/0", stop


def _start(image: str, ports: dict[int, int], environment: dict[str, str], ready: str) -> Callable[[], None]:
    """Run `image` until its log says `ready`; ports: of the container to those of the host."""
    check_docker()
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415  only tests have it
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy  # noqa: PLC0415

    container = DockerContainer(image).with_envs(**environment)
    for inside, outside in ports.items():
        container.with_bind_ports(inside, outside)
    container.waiting_for(LogMessageWaitStrategy(ready).with_startup_timeout(60))
    try:
        container.start()
    except Exception as error:  # pulling and starting fail in many libraries' ways
        container.stop()
        raise NoDocker(f"Docker could not run {image}: {error}") from error
    return container.stop
