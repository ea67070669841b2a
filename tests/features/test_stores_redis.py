"""RedisStore against servers that refuse, fail, hang and come back."""

import os
import random
import select
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from features.progress import ALWAYS, NEVER, Progress, encode_progress
from features.store import OnlineStore, StoreRejected, StoreTimeout, StoreUnavailable
from features.stores.deadline import DeadlineReader
from features.stores.redis import REQUEST_BYTES_MAX, RedisOptions, RedisStore, _bounded
from stream.demo.redis_server import EmbeddedRedis, RedisServerError, find_server

pytestmark = pytest.mark.redis

PATIENT_MS = 60_000
SOON_MS = 50
DAY_MS = 86_400_000
PROGRESS = encode_progress(
    Progress(epoch="e", offset=1, log_end=1, event_time=NEVER, complete_since=ALWAYS, written_at=0)
)
WRITES: dict[str, Callable[[OnlineStore], object]] = {
    "append": lambda store: store.append([(b"key", b"value")], DAY_MS),
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


def test_a_wrong_password_is_refused_for_good(server: EmbeddedRedis, admin: Callable[..., Any]) -> None:
    admin("CONFIG", "SET", "requirepass", "the right one")
    with pytest.raises(StoreRejected, match="WRONGPASS") as caught:
        store_at(server, password="hunter2").read([b"key"])
    assert "hunter2" not in str(caught.value)
    with pytest.raises(StoreRejected, match="NOAUTH"):
        store_at(server).read([b"key"])
    assert store_at(server, password="the right one").read([b"key"]) == [None]


def test_a_user_without_the_right_is_refused_for_good(
    server: EmbeddedRedis, admin: Callable[..., Any]
) -> None:
    admin("ACL", "SETUSER", "reader", "on", ">secret", "~key", "+mget", "+hello", "+client")
    store = store_at(server, username="reader", password="secret")
    assert store.read([b"key"]) == [None]
    with pytest.raises(StoreRejected, match="NOPERM"):
        store.read([b"another"])
    for write in WRITES.values():
        with pytest.raises(StoreRejected, match="NOPERM"):
            write(store)


def test_a_key_that_another_program_uses_is_refused_for_good(
    server: EmbeddedRedis, admin: Callable[..., Any]
) -> None:
    admin("LPUSH", "key", "1")
    store = store_at(server)
    with pytest.raises(StoreRejected, match="WRONGTYPE"):
        store.append([(b"key", b"value"), (b"other", b"value")], DAY_MS)
    assert store.read([b"key", b"other"]) == [None, b"value"]


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_full_server_is_unavailable_for_writing(
    server: EmbeddedRedis, admin: Callable[..., Any], write: Callable[[OnlineStore], object]
) -> None:
    store = store_at(server)
    admin("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StoreUnavailable, match="OOM"):
        write(store)
    assert store.read([b"key"]) == [None]
    admin("CONFIG", "SET", "maxmemory", "0")
    write(store)


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_replica_is_unavailable_for_writing(
    server: EmbeddedRedis, admin: Callable[..., Any], write: Callable[[OnlineStore], object]
) -> None:
    store = store_at(server)
    admin("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(StoreUnavailable, match="READONLY"):
        write(store)
    assert store.read([b"key"]) == [None]
    admin("REPLICAOF", "NO", "ONE")
    write(store)


def test_a_replica_that_lost_its_master_is_unavailable_where_stale_data_is_not_wanted(
    server: EmbeddedRedis, admin: Callable[..., Any]
) -> None:
    admin("CONFIG", "SET", "replica-serve-stale-data", "no")
    admin("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(StoreUnavailable, match="MASTERDOWN"):
        store_at(server).read([b"key"])


def test_a_server_that_loads_its_data_is_unavailable(server: EmbeddedRedis, executable: Path) -> None:
    megabyte = random.Random(1).randbytes(1 << 20)
    store_at(server).append([(b"%d" % number, megabyte) for number in range(20)], DAY_MS)
    with redis.Redis.from_url(server.url) as client:
        client.save()
    server.kill()
    slow = {"appendonly": "no", "key-load-delay": "200000"}
    loading = EmbeddedRedis(server.directory, slow, executable)
    loading.launch()
    try:
        store = store_at(loading)
        said = ""
        while "LOADING" not in said:  # at first nobody listens, then nobody answers
            assert loading.pid is not None, loading.log.read_text()
            with pytest.raises(StoreUnavailable) as caught:
                store.read([b"key"])
            said = str(caught.value)
    finally:
        loading.kill()
        loading.stop()


def test_a_server_busy_with_a_script_is_unavailable(server: EmbeddedRedis, admin: Callable[..., Any]) -> None:
    admin("CONFIG", "SET", "lua-time-limit", "1")
    store = store_at(server)
    with redis.Redis.from_url(server.url) as other, ThreadPoolExecutor(1) as pool:
        endless = pool.submit(other.eval, "while true do end", 0)
        while answers(store):
            pass
        with pytest.raises(StoreUnavailable, match="BUSY"):
            store.read([b"key"])
        admin("SCRIPT", "KILL")
        assert isinstance(endless.exception(), redis.ResponseError)
    assert answers(store)


def test_a_killed_server_is_unavailable_and_the_same_store_finds_it_again_with_its_data(
    server: EmbeddedRedis,
) -> None:
    store = store_at(server)
    store.append([(b"key", b"value")], DAY_MS)
    server.kill()
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            store.read([b"key"])
    with pytest.raises(StoreUnavailable):
        RedisStore.connect(RedisOptions(server.url))
    server.restart()
    assert store.read([b"key"]) == [b"value"]


def test_a_connection_closed_between_two_requests_costs_none_of_them(
    server: EmbeddedRedis, admin: Callable[..., Any]
) -> None:
    store = store_at(server)
    store.append([(b"key", b"value")], DAY_MS)
    admin("CLIENT", "KILL", "TYPE", "normal")
    connection = store._wire._socket
    assert connection is not None
    assert select.select([connection], [], [], 10)[0]
    assert store.read([b"key"]) == [b"value"]


def test_who_must_know_of_it_hears_once_that_the_server_was_restarted_between_two_requests(
    server: EmbeddedRedis,
) -> None:
    options = RedisOptions(
        server.url, connect_timeout_ms=PATIENT_MS, read_timeout_ms=PATIENT_MS, reconnect_silently=False
    )
    store = RedisStore(options)
    store.append([(b"key", b"1")], DAY_MS)
    for write in WRITES.values():
        server.kill()
        server.restart()
        before = store_at(server).read([b"key"])
        with pytest.raises(StoreUnavailable, match="closed while it was idle"):
            write(store)
        assert store_at(server).read([b"key"]) == before
        write(store)


def test_a_stopped_server_times_out_through_the_deadline_and_answers_when_it_goes_on(
    server: EmbeddedRedis,
) -> None:
    reader = DeadlineReader(lambda: store_at(server), PATIENT_MS)
    assert reader.submit([b"key"]).result() == [None]
    with stopped(server):
        with pytest.raises(StoreTimeout):
            reader.submit([b"key"]).result(timeout_ms=SOON_MS)
        assert reader.abandoned == 1
    assert reader.submit([b"key"]).result() == [None]
    for lane in reader._abandoned:
        lane.join()
    assert reader.abandoned == 0
    reader.close()


def test_a_stopped_server_times_out_in_the_store_itself(server: EmbeddedRedis) -> None:
    store = store_at(server, SOON_MS)
    while not answers(store):
        pass
    with stopped(server):
        for write in WRITES.values():
            with pytest.raises(StoreTimeout, match=server.url):
                write(store)
    while not answers(store):
        pass


@contextmanager
def stopped(server: EmbeddedRedis) -> Iterator[None]:
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    os.waitpid(pid, os.WUNTRACED)  # until it has
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_script_the_server_forgot_is_loaded_again(server: EmbeddedRedis, admin: Callable[..., Any]) -> None:
    store = store_at(server)
    assert store.advance(b"progress", PROGRESS)
    admin("SCRIPT", "FLUSH")
    assert store.advance(b"progress", PROGRESS)
    assert store.advance(b"progress", PROGRESS)
    assert b"progress" in admin("KEYS", "*")


def test_the_server_sees_who_is_connected(server: EmbeddedRedis, admin: Callable[..., Any]) -> None:
    store = store_at(server, client_name="riverrun-score-3")
    assert store.read([b"key"]) == [None]
    assert b"name=riverrun-score-3 " in admin("CLIENT", "LIST")


def test_a_unix_socket_serves_as_well(tmp_path: Path, executable: Path) -> None:
    path = tmp_path / "s"
    with EmbeddedRedis(tmp_path / "redis", {"unixsocket": str(path)}, executable):
        store = RedisStore.connect(RedisOptions(f"unix://{path}?db=1"))
        store.append([(b"key", b"value")], DAY_MS)
        assert store.read([b"key"]) == [b"value"]


@given(st.lists(st.integers(1, 3 * REQUEST_BYTES_MAX // 2), max_size=8))
def test_what_is_sent_before_replies_are_read_is_bounded(sizes: list[int]) -> None:
    commands = [bytes(size) for size in sizes]
    groups = list(_bounded(iter(commands)))
    assert [command for group in groups for command in group] == commands
    assert all(group for group in groups)
    assert all(len(group) == 1 or sum(map(len, group)) <= REQUEST_BYTES_MAX for group in groups)
