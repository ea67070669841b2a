"""What comes late, by halves or unasked is never taken for the answer to the next request."""

import select
import socket
import threading
from typing import Any

import pytest

from features.store import StoreTimeout, StoreUnavailable
from features.stores.redis import RedisOptions, RedisStore
from tests.features.conftest import socket_of
from tests.features.fake_redis import fake_redis, says

SOON_MS = 50


def value_of(key: bytes) -> bytes:
    """The reply of a MGET of one key whose value is the key itself."""
    return b"*1\r\n$%d\r\n%b\r\n" % (len(key), key)


def store_at(url: str, timeout_ms: int = 20_000) -> RedisStore:
    return RedisStore(RedisOptions(url, connect_timeout_ms=20_000, read_timeout_ms=timeout_ms))


def test_a_late_answer_is_never_taken_for_the_next_one() -> None:
    asked_again = threading.Event()
    first_answered = threading.Event()

    def answer(connection: socket.socket, command: list[Any]) -> None:
        if command[1] == b"first":
            asked_again.wait()
            first_answered.set()
        connection.sendall(value_of(command[1]))

    with fake_redis(answer) as url:
        store = store_at(url, SOON_MS)
        with pytest.raises(StoreTimeout):
            store.read([b"first"])
        asked_again.set()
        assert first_answered.wait(10)
        assert read_patiently(store, b"second") == [b"second"]


def read_patiently(store: RedisStore, key: bytes) -> list[bytes | None]:
    """A short timeout may pass on a busy machine; what counts is that no wrong value ever comes."""
    while True:
        try:
            return store.read([key])
        except StoreTimeout:
            continue


def test_half_an_answer_is_dropped_with_its_connection() -> None:
    def answer(connection: socket.socket, command: list[Any]) -> None:
        whole = value_of(command[1])
        connection.sendall(whole[:7] if command[1] == b"first" else whole)

    with fake_redis(answer) as url:
        store = store_at(url, SOON_MS)
        with pytest.raises(StoreTimeout):
            store.read([b"first"])
        assert read_patiently(store, b"second") == [b"second"]


def test_a_server_that_trickles_its_answer_misses_the_deadline_all_the_same() -> None:
    over = threading.Event()

    def answer(connection: socket.socket, command: list[Any]) -> None:
        connection.sendall(b"*1\r\n$1000000\r\n")
        while not over.wait(0.005):
            connection.sendall(b"x")

    with fake_redis(answer) as url:
        try:
            with pytest.raises(StoreTimeout):
                store_at(url, SOON_MS).read([b"first"])
        finally:
            over.set()


def test_an_answer_cut_off_is_an_error_and_the_next_read_connects_again() -> None:
    def answer(connection: socket.socket, command: list[Any]) -> None:
        whole = value_of(command[1])
        if command[1] == b"first":
            connection.sendall(whole[:7])
            connection.shutdown(socket.SHUT_RDWR)
        else:
            connection.sendall(whole)

    with fake_redis(answer) as url:
        store = store_at(url)
        with pytest.raises(StoreUnavailable, match="closed"):
            store.read([b"first"])
        assert store.read([b"second"]) == [b"second"]


@pytest.mark.parametrize("more", [value_of(b"first"), b"*1\r\n$5\r\nfi"], ids=["one", "half a one"])
def test_more_answers_than_requests_are_an_error(more: bytes) -> None:
    def answer(connection: socket.socket, command: list[Any]) -> None:
        connection.sendall(value_of(command[1]) + (more if command[1] == b"first" else b""))

    with fake_redis(answer) as url:
        store = store_at(url)
        with pytest.raises(StoreUnavailable, match="more replies"):
            store.read([b"first"])
        assert store.read([b"second"]) == [b"second"]


def test_what_arrives_before_a_request_is_not_its_answer() -> None:
    connected: list[socket.socket] = []

    def answer(connection: socket.socket, command: list[Any]) -> None:
        connected.append(connection)
        connection.sendall(value_of(command[1]))

    with fake_redis(answer) as url:
        store = store_at(url)
        assert store.read([b"first"]) == [b"first"]
        connected[0].sendall(value_of(b"unasked"))
        assert select.select([socket_of(store)], [], [], 10)[0]
        assert store.read([b"second"]) == [b"second"]
        assert connected[0] is not connected[1]


def test_pushed_messages_are_no_answers() -> None:
    push = b">2\r\n+invalidate\r\n*0\r\n"
    with fake_redis(lambda connection, command: connection.sendall(push + value_of(command[1]))) as url:
        assert store_at(url).read([b"first"]) == [b"first"]


def test_what_is_not_redis_is_an_error() -> None:
    with fake_redis(says(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as url, pytest.raises(StoreUnavailable):
        store_at(url).read([b"first"])


def test_one_refused_command_of_a_pipeline_is_an_error_after_all_were_answered() -> None:
    answers = iter([b":1\r\n", b":1\r\n", b"-OOM used memory\r\n", b":1\r\n"])
    with fake_redis(lambda connection, _command: connection.sendall(next(answers))) as url:
        with pytest.raises(StoreUnavailable, match="OOM"):
            store_at(url).append([(b"a", b"1"), (b"b", b"2")], 1_000)
        assert list(answers) == []
