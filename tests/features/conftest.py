"""Redis servers that tests may break, and the writes that a broken one fails."""

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from features.progress import ALWAYS, NEVER, Progress, encode_progress
from features.store import OnlineStore, StoreUnavailable
from features.stores.redis import RedisOptions, RedisStore
from features.stores.redis_single import SingleServer
from stream.demo.redis_server import EmbeddedRedis, RedisServerError, find_server

PATIENT_MS = 60_000
SOON_MS = 50
DAY_MS = 86_400_000
PROGRESS = encode_progress(
    Progress(epoch="e", offset=1, log_end=1, event_time=NEVER, complete_since=ALWAYS, written_at=0)
)
WRITES: dict[str, Callable[[OnlineStore], object]] = {
    "append": lambda store: store.append([(b"key", b"value")], DAY_MS),
    "begin_append": lambda store: store.begin_append([(b"key", b"value")], None).lengths(),
    "replace": lambda store: store.replace(b"replaced", b"", b"value", DAY_MS),
    "put_if_absent": lambda store: store.put_if_absent(b"absent", b"value"),
    "advance": lambda store: store.advance(b"progress", PROGRESS),
}


@pytest.fixture(params=["bundled", "on PATH"])
def executable(request: pytest.FixtureRequest) -> Path:
    """The demo's redis-server and this machine's: what they say when they refuse differs by version."""
    on_path = shutil.which("redis-server")
    try:
        found = find_server() if request.param == "bundled" else on_path and Path(on_path)
    except RedisServerError:
        found = None
    if found:
        return found
    if request.param == "bundled" and "redis" in os.environ.get("RIVERRUN_REQUIRE", "").split(","):
        pytest.fail("RIVERRUN_REQUIRE names redis, and there is no redis-server to start", pytrace=False)
    pytest.skip(f"no redis: there is no redis-server {request.param}")


@pytest.fixture
def server(tmp_path: Path, executable: Path) -> Iterator[EmbeddedRedis]:
    """A server of the test's own."""
    with EmbeddedRedis(tmp_path / "redis", executable=executable) as started:
        yield started


@pytest.fixture
def admin(server: EmbeddedRedis) -> Iterator[Callable[..., Any]]:
    """Runs a command on a connection of its own."""
    with redis.Redis.from_url(server.url) as client:
        client.ping()
        yield client.execute_command


def store_at(server: EmbeddedRedis, timeout_ms: int = PATIENT_MS, **login: str) -> RedisStore:
    return RedisStore(
        RedisOptions(server.url, connect_timeout_ms=PATIENT_MS, read_timeout_ms=timeout_ms, **login)  # type: ignore[arg-type]  # username and password
    )


def answers(store: OnlineStore) -> bool:
    try:
        return store.read([b"key"]) is not None
    except StoreUnavailable:
        return False


def socket_of(store: RedisStore) -> socket.socket:
    """The one it is connected by, to a single server."""
    assert isinstance(store._servers, SingleServer)
    connected = store._servers.wire._socket
    assert connected is not None
    return connected
