"""The stores that the contract is checked on: in memory, the bundled Redis, a real one, and a cluster."""

import os
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier
from typing import Any, TypeVar

import pytest
import redis

from features.store import OnlineStore
from features.stores.memory import MemoryStore
from features.stores.redis import RedisOptions, RedisStore
from stream.demo.redis_server import EmbeddedRedis, RedisServerError, find_server
from tests.stream.engine.stores import StoreServer
from tools.redis_cluster import RedisCluster

EVERY_BYTE = bytes(range(256))
DAY_MS = 86_400_000
Result = TypeVar("Result")


@dataclass(frozen=True)
class Subject:
    """A store under test, and what only its own kind can tell about it."""

    store: OnlineStore
    another: Callable[[], OnlineStore]
    """A further connection to the same data, for another thread."""
    ttl_ms: Callable[[bytes], int | None]
    """What is left of a key's time to live; None when it has none."""
    tick: Callable[[], None]
    """Let some milliseconds pass."""


class Clock:
    def __init__(self) -> None:
        self.now_ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now_ms

    def tick(self) -> None:
        self.now_ms += 5


def fresh_key(name: str = "key") -> bytes:
    return f"rr:test:{uuid.uuid4().hex}:{name}".encode()


def lives_for(subject: Subject, key: bytes, ttl_ms: int) -> bool:
    """Whether that was asked for just now: a sixteenth more is allowed, and time has passed since."""
    left = subject.ttl_ms(key)
    return left is not None and ttl_ms - 60_000 < left <= ttl_ms * 17 / 16


def at_once(subject: Subject, calls: list[Callable[[OnlineStore], Result]]) -> list[Result]:
    """Each call in a thread and on a connection of its own, all let go together."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[OnlineStore], Result]) -> Result:
        store = subject.another()
        barrier.wait()
        return call(store)

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


@pytest.fixture(scope="session")
def bundled_redis_url() -> Iterator[str]:
    """The server that the demo brings along."""
    try:
        find_server()
    except RedisServerError as error:
        if "redis" in os.environ.get("RIVERRUN_REQUIRE", "").split(","):
            pytest.fail(f"RIVERRUN_REQUIRE names redis: {error}", pytrace=False)
        pytest.skip(f"no redis: {error}")
    with EmbeddedRedis() as server:
        yield server.url


@pytest.fixture(
    params=[
        "memory",
        "restartable memory",
        pytest.param("bundled_redis_url", marks=pytest.mark.redis),
        pytest.param("redis_url", marks=pytest.mark.redis),
        pytest.param("redis_cluster", marks=pytest.mark.redis),
    ]
)
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    if request.param == "memory":
        yield _in_memory()
    elif request.param == "restartable memory":
        yield _in_restartable_memory()
    elif request.param == "redis_cluster":
        cluster: RedisCluster = request.getfixturevalue(request.param)
        yield from _in_redis(cluster.url, lambda key: cluster.ask_owner("PTTL", key))
    else:
        url: str = request.getfixturevalue(request.param)
        with redis.Redis.from_url(url) as onlooker:
            yield from _in_redis(url, onlooker.pttl)


def _in_memory() -> Subject:
    clock = Clock()
    store = MemoryStore(clock)

    def ttl_ms(key: bytes) -> int | None:
        expires_ms = store._expires_ms.get(key)
        return None if expires_ms is None else expires_ms - clock.now_ms

    return Subject(store, lambda: store, ttl_ms, clock.tick)


def _in_restartable_memory() -> Subject:
    """The fake that tests of the engine break."""
    clock = Clock()
    server = StoreServer(clock)

    def ttl_ms(key: bytes) -> int | None:
        expires_ms = server.store._expires_ms.get(key)
        return None if expires_ms is None else expires_ms - clock.now_ms

    return Subject(server.connect(), server.connect, ttl_ms, clock.tick)


def _in_redis(url: str, pttl: Callable[[bytes], Any]) -> Iterator[Subject]:
    opened: list[OnlineStore] = []

    def another() -> OnlineStore:
        opened.append(RedisStore.connect(RedisOptions(url)))
        return opened[-1]

    def ttl_ms(key: bytes) -> int | None:
        left = int(pttl(key))
        return None if left == -1 else left

    yield Subject(another(), another, ttl_ms, lambda: time.sleep(0.005))
    for store in opened:
        store.close()
