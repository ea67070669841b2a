"""rediss:// against a server with its own certificate, where openssl and a TLS redis-server are there."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import redis

from features.store import StoreUnavailable
from features.stores.redis import RedisOptions, RedisStore
from stream.demo.redis_server import EmbeddedRedis, RedisServerError
from tests.features.conftest import socket_of
from tools.processes import await_ready, end, free_port, spawn

pytestmark = pytest.mark.redis


@dataclass(frozen=True)
class Endpoint:
    port: int
    certificate: Path
    key: Path

    @property
    def settings(self) -> dict[str, str]:
        """For a server that speaks TLS with this certificate."""
        return {
            "tls-port": str(self.port),
            "tls-cert-file": str(self.certificate),
            "tls-key-file": str(self.key),
            "tls-ca-cert-file": str(self.certificate),
        }

    def options(
        self, url: str = "rediss://localhost:{}", ca: bool = True, client: bool = True
    ) -> RedisOptions:
        return RedisOptions(
            url.format(self.port),
            ca_file=self.certificate if ca else None,
            cert_file=self.certificate if client else None,
            key_file=self.key if client else None,
            connect_timeout_ms=60_000,
            read_timeout_ms=60_000,
        )


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """A server that asks its clients for a certificate too; one certificate is everybody's."""
    openssl, executable = shutil.which("openssl"), shutil.which("redis-server")
    if openssl is None or executable is None:
        pytest.skip("no redis: TLS needs openssl and a redis-server built with it on PATH")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([openssl, "req", *kind, *names, *files], check=True, capture_output=True)
    made = Endpoint(free_port(), certificate, key)
    with started(folder / "redis", made.settings, Path(executable)):
        yield made


@contextmanager
def started(directory: Path, settings: dict[str, str], executable: Path) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(directory, settings, executable)
    try:
        server.start()
    except RedisServerError as error:
        pytest.skip(f"no redis: this redis-server was built without TLS, or is older than 7: {error}")
    try:
        yield server
    finally:
        server.stop()


def test_a_server_and_a_client_that_know_each_other_speak(endpoint: Endpoint) -> None:
    store = RedisStore.connect(endpoint.options())
    connection = socket_of(store)
    for _ in range(3):
        store.append([(b"key", b"x" * 100_000)], 60_000)
    assert store.read([b"key"]) == [b"x" * 300_000]
    assert socket_of(store) is connection, "what TLS sends unasked made us connect again"


@pytest.mark.parametrize(
    ("url", "ca", "client"),
    [
        ("rediss://localhost:{}", False, True),
        ("rediss://127.0.0.1:{}", True, True),
        ("rediss://localhost:{}", True, False),
        ("rediss+cluster://localhost:{}", False, True),
        ("rediss+sentinel://127.0.0.1:{}/main", True, True),
    ],
    ids=["unknown authority", "another name", "no client certificate", "cluster", "sentinel"],
)
def test_strangers_are_turned_away(endpoint: Endpoint, url: str, ca: bool, client: bool) -> None:
    with pytest.raises(StoreUnavailable):
        RedisStore.connect(endpoint.options(url, ca, client))


def test_the_nodes_of_a_cluster_are_spoken_to_as_the_first_one_was(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    node = replace(endpoint, port=free_port())
    as_cluster = {
        "cluster-enabled": "yes",
        "tls-cluster": "yes",
        "cluster-port": str(free_port()),
        "cluster-announce-hostname": "localhost",
        "cluster-preferred-endpoint-type": "hostname",
        "cluster-allow-reads-when-down": "yes",  # which saves two seconds
    }
    with started(tmp_path, node.settings | as_cluster, on_path("redis-server")) as server:
        with redis.Redis.from_url(server.url) as admin:
            admin.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
        store = RedisStore.connect(node.options("rediss+cluster://localhost:{}"))
        assert store.read([b"a", b"b"]) == [None, None]


def test_the_master_is_spoken_to_as_the_sentinel_was(endpoint: Endpoint, tmp_path: Path) -> None:
    watching = replace(endpoint, port=free_port())
    lines = [f"{name} {value}" for name, value in watching.settings.items()]
    sentinel = [
        "resolve-hostnames yes",
        "announce-hostnames yes",
        f"monitor main localhost {endpoint.port} 1",
    ]
    config, log = tmp_path / "sentinel.conf", tmp_path / "sentinel.log"
    config.write_text("\n".join([*lines, "port 0", *(f"sentinel {line}" for line in sentinel)]) + "\n")
    process = spawn([on_path("redis-server"), config, "--sentinel"], log)
    try:
        await_ready("sentinel", process, lambda: b"+monitor" in log.read_bytes(), log, 20)
        store = RedisStore.connect(watching.options("rediss+sentinel://localhost:{}/main"))
        store.append([(b"master", b"1")], 60_000)
        assert store.read([b"master"]) == [b"1"]
    finally:
        end(process, signal.SIGKILL)


def on_path(program: str) -> Path:
    found = shutil.which(program)
    assert found is not None, "the endpoint has found it"
    return Path(found)
