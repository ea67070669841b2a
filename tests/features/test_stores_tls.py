"""rediss:// against a server with its own certificate, where openssl and a TLS redis-server are there."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from features.store import StoreUnavailable
from features.stores.redis import RedisOptions, RedisStore
from stream.demo.redis_server import EmbeddedRedis, RedisServerError

pytestmark = pytest.mark.redis


@dataclass(frozen=True)
class Endpoint:
    port: int
    certificate: Path
    key: Path

    def options(self, host: str = "localhost", ca: bool = True, client: bool = True) -> RedisOptions:
        return RedisOptions(
            f"rediss://{host}:{self.port}",
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
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    settings = {
        "tls-port": str(port),
        "tls-cert-file": str(certificate),
        "tls-key-file": str(key),
        "tls-ca-cert-file": str(certificate),
    }
    server = EmbeddedRedis(folder / "redis", settings, Path(executable))
    try:
        server.start()
    except RedisServerError as error:
        pytest.skip(f"no redis: this redis-server was built without TLS: {error}")
    yield Endpoint(port, certificate, key)
    server.stop()


def test_a_server_and_a_client_that_know_each_other_speak(endpoint: Endpoint) -> None:
    store = RedisStore.connect(endpoint.options())
    connection = store._wire._socket
    for _ in range(3):
        store.append([(b"key", b"x" * 100_000)], 60_000)
    assert store.read([b"key"]) == [b"x" * 300_000]
    assert store._wire._socket is connection, "what TLS sends unasked made us connect again"


@pytest.mark.parametrize(
    ("host", "ca", "client"),
    [("localhost", False, True), ("127.0.0.1", True, True), ("localhost", True, False)],
    ids=["unknown authority", "another name", "no client certificate"],
)
def test_strangers_are_turned_away(endpoint: Endpoint, host: str, ca: bool, client: bool) -> None:
    with pytest.raises(StoreUnavailable):
        RedisStore.connect(endpoint.options(host, ca, client))
