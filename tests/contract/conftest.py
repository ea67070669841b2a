"""The stores that the contract is checked on: in memory, the bundled Redis, and a real one if any."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import redis

from features.store import OnlineStore
from features.stores.memory import MemoryStore
from features.stores.redis import RedisOptions, RedisStore
from stream.demo.redis_server import EmbeddedRedis, RedisServerError, find_server
from tests.stream.engine.stores import StoreServer


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
    ]
)
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    if request.param == "memory":
        yield _in_memory()
    elif request.param == "restartable memory":
        yield _in_restartable_memory()
    else:
        yield from _in_redis(request.getfixturevalue(request.param))


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


def _in_redis(url: str) -> Iterator[Subject]:
    opened: list[OnlineStore] = []

    def another() -> OnlineStore:
        opened.append(RedisStore.connect(RedisOptions(url)))
        return opened[-1]

    with redis.Redis.from_url(url) as onlooker:

        def ttl_ms(key: bytes) -> int | None:
            left = int(onlooker.pttl(key))
            return None if left == -1 else left

        yield Subject(another(), another, ttl_ms, lambda: time.sleep(0.005))
    for store in opened:
        store.close()
