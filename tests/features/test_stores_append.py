"""Appends under way: what is sent, what comes back late, and whom an error leaves behind."""

import socket
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from features.store import StoreRejected, StoreTimeout, StoreUnavailable
from features.stores.redis import RedisOptions, RedisStore
from features.stores.redis_wire import UNREAD_BYTES_MAX
from tests.features.fake_redis import Answer, fake_redis, says

Result = TypeVar("Result")
SOON_MS = 50
DAY_MS = 86_400_000
MANY = [(b"key:%07d" % number, b"x" * 1_000) for number in range(3_000)]
"""Three times what may wait for replies."""


def store_options(url: str, timeout_ms: int) -> RedisOptions:
    return RedisOptions(url, connect_timeout_ms=20_000, read_timeout_ms=timeout_ms)


def store_at(url: str) -> RedisStore:
    return RedisStore(store_options(url, 20_000))


def impatient_store_at(url: str) -> RedisStore:
    """Connected, however long that took."""
    return patiently(lambda: RedisStore.connect(store_options(url, SOON_MS)))


def patiently(ask: Callable[[], Result]) -> Result:
    """A short timeout may pass on a busy machine; what counts is that no wrong value ever comes."""
    while True:
        try:
            return ask()
        except StoreTimeout:
            continue


def value_of(key: bytes) -> bytes:
    """The reply of a MGET of one key whose value is the key itself."""
    return b"*1\r\n$%d\r\n%b\r\n" % (len(key), key)


def after(event: threading.Event, reply: bytes = b":7\r\n") -> Answer:
    """Appends are answered once that has happened, reads at once."""

    def answer(connection: socket.socket, command: list[Any]) -> None:
        if command[0] == b"MGET":
            connection.sendall(value_of(command[1]))
        else:
            event.wait()
            connection.sendall(reply)

    return answer


def test_an_append_is_begun_without_waiting_for_its_replies() -> None:
    begun = threading.Event()
    with fake_redis(after(begun)) as url:
        appending = store_at(url).begin_append([(b"a", b"1"), (b"b", b"2")], DAY_MS)
        begun.set()
        assert appending.lengths() == {b"a": 7, b"b": 7}


def test_only_so_much_is_sent_before_replies_are_read() -> None:
    received: list[int] = []
    over = threading.Event()

    def swallow(_connection: socket.socket, command: list[Any]) -> None:
        received.append(sum(map(len, command)))

    with fake_redis(swallow, on_end=over.set) as url:
        store = impatient_store_at(url)
        with pytest.raises(StoreTimeout):
            store.begin_append(MANY, None)
        assert over.wait(20)
    assert 0 < sum(received) <= UNREAD_BYTES_MAX
    assert len(MANY) * 1_000 > UNREAD_BYTES_MAX


def test_more_than_that_arrives_whole_when_it_is_answered() -> None:
    order: list[bytes] = []

    def answer(connection: socket.socket, command: list[Any]) -> None:
        order.append(command[1])
        connection.sendall(b":%d\r\n" % len(command[2]))

    with fake_redis(answer) as url:
        appending = store_at(url).begin_append(MANY, None)
        assert appending.lengths() == {key: 1_000 for key, _ in MANY}
    assert order == [key for key, _ in MANY]


def test_nothing_else_may_be_asked_before_the_lengths() -> None:
    with fake_redis(after(threading.Event())) as url:
        store = store_at(url)
        store.begin_append([(b"a", b"1")], DAY_MS)
        for call in (
            lambda: store.read([b"a"]),
            lambda: store.append([(b"a", b"1")], DAY_MS),
            lambda: store.replace(b"a", b"", b"1", DAY_MS),
            store.life,
        ):
            with pytest.raises(RuntimeError, match="lengths"):
                call()


def test_an_append_given_up_by_closing_is_an_error_and_misleads_nobody() -> None:
    never = threading.Event()
    with fake_redis(after(never)) as url:
        store = store_at(url)
        appending = store.begin_append([(b"a", b"1")], DAY_MS)
        store.close()
        with pytest.raises(StoreUnavailable, match="given up"):
            appending.lengths()
        assert store.read([b"first"]) == [b"first"]
        never.set()
        assert store.read([b"second"]) == [b"second"]


def test_replies_that_come_too_late_mislead_nobody() -> None:
    late = threading.Event()
    with fake_redis(after(late)) as url:
        store = impatient_store_at(url)
        appending = store.begin_append([(b"a", b"1")], DAY_MS)
        with pytest.raises(StoreTimeout):
            appending.lengths()
        late.set()
        with pytest.raises(StoreUnavailable, match="given up"):
            appending.lengths()
        again = patiently(lambda: store.begin_append([(b"b", b"1")], DAY_MS).lengths())
        assert again == {b"b": 7}


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b"-OOM used memory\r\n", StoreUnavailable),
        (b"-NOPERM no\r\n", StoreRejected),
        (b":7\r\n" * 3, StoreUnavailable),
    ],
    ids=["for now", "for good", "more replies than commands"],
)
def test_an_append_that_fails_leaves_a_store_of_use(reply: bytes, kind: type[Exception]) -> None:
    answered = threading.Event()
    answered.set()
    with fake_redis(after(answered, reply)) as url:
        store = store_at(url)
        appending = store.begin_append([(b"a", b"1"), (b"b", b"2")], None)
        with pytest.raises(kind):
            appending.lengths()
        assert store.read([b"first"]) == [b"first"]


def test_a_server_that_goes_away_under_an_append_is_an_error() -> None:
    def hang_up(connection: socket.socket, _command: list[Any]) -> None:
        connection.sendall(b":7\r\n")
        connection.shutdown(socket.SHUT_RDWR)

    with fake_redis(hang_up) as url:
        appending = store_at(url).begin_append([(b"a", b"1"), (b"b", b"2")], DAY_MS)
        with pytest.raises(StoreUnavailable):
            appending.lengths()


def test_an_append_to_nobody_raises_when_it_begins() -> None:
    with fake_redis(says(b"")) as url:
        pass
    with pytest.raises(StoreUnavailable):
        store_at(url).begin_append([(b"a", b"1")], DAY_MS)
