"""RedisStore while servers die, hang and come back."""

import os
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from features.store import StoreTimeout, StoreUnavailable
from features.stores.deadline import DeadlineReader
from features.stores.redis import RedisOptions, RedisStore
from stream.demo.redis_server import EmbeddedRedis
from tests.features.conftest import DAY_MS, PATIENT_MS, SOON_MS, WRITES, answers, socket_of, store_at

pytestmark = pytest.mark.redis


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
    assert select.select([socket_of(store)], [], [], 10)[0]
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
