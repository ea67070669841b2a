"""RedisStore against servers that refuse, for now or for good."""

import random
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from features.store import OnlineStore, StoreRejected, StoreUnavailable
from features.stores.redis import RedisOptions, RedisStore
from stream.demo.redis_server import EmbeddedRedis
from stream.settings.keys import SETTINGS
from tests.features.conftest import DAY_MS, PROGRESS, WRITES, answers, store_at

pytestmark = pytest.mark.redis


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


def test_the_rights_that_the_settings_name_are_enough(
    server: EmbeddedRedis, admin: Callable[..., Any]
) -> None:
    one_server, _, _ = SETTINGS["redis.username"].description.partition("; in a cluster")
    rights = [f"+{command.lower()}" for command in re.findall("`([A-Z]+)`", one_server)]
    admin("ACL", "SETUSER", "writer", "on", ">secret", "~*", *rights)
    store = store_at(server, username="writer", password="secret")
    for write in WRITES.values():
        write(store)
    assert store.life()
    assert store.read([b"key"]) != [None]


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


def test_a_script_the_server_forgot_is_loaded_again(server: EmbeddedRedis, admin: Callable[..., Any]) -> None:
    store = store_at(server)
    assert store.advance(b"progress", PROGRESS)
    admin("SCRIPT", "FLUSH")
    assert store.advance(b"progress", PROGRESS)
    assert store.advance(b"progress", PROGRESS)
    admin("SCRIPT", "FLUSH")
    assert store.replace(b"replaced", b"", b"value", DAY_MS)
    assert store.read([b"progress", b"replaced"]) == [PROGRESS, b"value"]


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


def test_what_begins_with_a_prefix_is_removed_and_nothing_else(
    server: EmbeddedRedis, admin: Callable[..., Any]
) -> None:
    store = store_at(server)
    kept, gone = [b"rr:a", b"rr:[x]:1", b"other"], [b"rr:*[x]:%d" % number for number in range(12_000)]
    store.append([(key, b"1") for key in (*kept, *gone)], DAY_MS)
    assert store.remove(b"rr:*[x]:") == len(gone)
    assert sorted(admin("KEYS", "*")) == sorted(kept)


def test_a_server_that_keeps_its_run_to_itself_cannot_be_watched(
    server: EmbeddedRedis, admin: Callable[..., Any]
) -> None:
    admin("ACL", "SETUSER", "writer", "on", ">secret", "~*", "+@all", "-info")
    with pytest.raises(StoreRejected, match="NOPERM"):
        store_at(server, username="writer", password="secret").life()
