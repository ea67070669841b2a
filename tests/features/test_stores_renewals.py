"""Times to live are renewed seldom, and yet no row ever lives shorter than its last append asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import hiredis
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from features.stores import redis_renewals
from features.stores.redis import RedisOptions, RedisStore
from features.stores.redis_commands import Commands
from features.stores.redis_renewals import Renewals, lifetime_ms
from features.stores.redis_wire import RedisWire

TTL_MS = 1_600
SLACK_MS = lifetime_ms(TTL_MS) - TTL_MS
DAY_MS = 86_400_000


@dataclass
class Server:
    """Values' lengths and expiry on a clock of its own, and how often it was asked to renew."""

    now_ms: int = 0
    lengths: dict[bytes, int] = field(default_factory=dict)
    expires_ms: dict[bytes, int] = field(default_factory=dict)
    renewals: int = 0

    def run(self, command: bytes, key: bytes, argument: bytes) -> int:
        if self.expires_ms.get(key, self.now_ms + 1) <= self.now_ms:
            self.delete(key)
        if command == b"APPEND":
            self.lengths[key] = self.lengths.get(key, 0) + len(argument)
            return self.lengths[key]
        assert command == b"PEXPIRE"
        self.renewals += 1
        if key in self.lengths:
            self.expires_ms[key] = self.now_ms + int(argument)
        return int(key in self.lengths)

    def delete(self, key: bytes) -> None:
        self.lengths.pop(key, None)
        self.expires_ms.pop(key, None)


@dataclass
class Slow:
    """`Servers` that take their time before and after they do what they are asked."""

    server: Server
    delays_ms: list[int] = field(default_factory=list)
    replies: list[Any] = field(default_factory=list)

    def open(self) -> None: ...

    def send(self, commands: Commands) -> None:
        self._pass_time()
        reader = hiredis.Reader()
        reader.feed(b"".join(request for request, _ in commands.packed(1_000_000)))
        self.replies = [self.server.run(*reader.gets()) for _ in range(len(commands))]

    def receive(self) -> list[Any]:
        self._pass_time()
        return self.replies

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        raise NotImplementedError

    def masters(self) -> list[RedisWire]:
        raise NotImplementedError

    def close(self) -> None: ...

    def _pass_time(self) -> None:
        self.server.now_ms += self.delays_ms.pop() if self.delays_ms else 0


def store_at(server: Server) -> tuple[RedisStore, Slow]:
    store, servers = RedisStore(RedisOptions("redis://nobody")), Slow(server)
    store._servers, store._renewals = servers, Renewals(lambda: server.now_ms)
    return store, servers


KEYS = st.lists(st.sampled_from([b"a", b"b", b"c"]), min_size=1, max_size=3)
WAIT_MS = st.integers(0, SLACK_MS) | st.sampled_from(
    [1, SLACK_MS - 1, SLACK_MS, SLACK_MS + 1, TTL_MS, 2 * TTL_MS]
)


@given(
    st.lists(
        st.tuples(st.just("append"), st.integers(0, 1), KEYS, st.lists(WAIT_MS, max_size=4))
        | st.tuples(st.just("wait"), WAIT_MS)
        | st.tuples(st.just("delete"), st.sampled_from([b"a", b"b", b"c"]))
        | st.tuples(st.just("reconnect"), st.integers(0, 1)),
        max_size=25,
    )
)
def test_no_row_lives_shorter_than_its_last_append_asked_for(steps: list[tuple[Any, ...]]) -> None:
    server = Server()
    stores = [store_at(server), store_at(server)]
    for what, *arguments in steps:
        if what == "append":
            which, keys, delays_ms = arguments
            store, servers = stores[which]
            servers.delays_ms = list(delays_ms)
            appending = store.begin_append([(key, b"entry") for key in keys], TTL_MS)
            appended_ms = server.now_ms
            appending.lengths()
            for key in keys:
                if server.now_ms < appended_ms + TTL_MS:  # else it may have expired before we came to it
                    assert server.expires_ms[key] >= appended_ms + TTL_MS
                    assert server.expires_ms[key] <= server.now_ms + lifetime_ms(TTL_MS)
        elif what == "wait":
            server.now_ms += arguments[0]
        elif what == "delete":
            server.delete(arguments[0])
        else:
            stores[arguments[0]][0]._renewals.forget()
    assert server.expires_ms.keys() == server.lengths.keys()


def test_a_key_is_renewed_once_in_the_time_that_is_to_spare() -> None:
    server = Server()
    store, _ = store_at(server)
    for _ in range(SLACK_MS):
        store.append([(b"a", b"1"), (b"b", b"1")], TTL_MS)
        server.now_ms += 1
    assert server.renewals == 2
    store.append([(b"a", b"1"), (b"b", b"1")], TTL_MS)
    assert server.renewals == 4


def test_an_append_that_is_late_itself_is_renewed_afterwards() -> None:
    server = Server()
    store, servers = store_at(server)
    store.append([(b"a", b"1")], TTL_MS)
    server.now_ms = SLACK_MS - 1
    servers.delays_ms = [0, 1]
    store.append([(b"a", b"1")], TTL_MS)
    assert server.expires_ms[b"a"] == server.now_ms + lifetime_ms(TTL_MS)


def test_an_append_over_a_connection_made_meanwhile_is_renewed_afterwards() -> None:
    server = Server()
    store, _ = store_at(server)
    store.append([(b"a", b"1")], TTL_MS)
    appending = store.begin_append([(b"a", b"1")], TTL_MS)
    store._renewals.forget()
    server.expires_ms[b"a"] = TTL_MS // 2  # as the server may have it that we came to
    appending.lengths()
    assert server.expires_ms[b"a"] == lifetime_ms(TTL_MS)


def test_what_is_known_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_renewals, "KEYS_MAX", 100)
    server = Server()
    store, _ = store_at(server)
    most = 0
    for start in range(0, 1_000, 10):
        store.append([(b"%d" % number, b"1") for number in range(start, start + 10)], DAY_MS)
        period = store._renewals._period
        assert period is not None
        most = max(most, len(period.renewed))
    assert 100 <= most <= 110
    assert server.renewals == 1_000


def test_another_time_to_live_is_renewed_at_once() -> None:
    server = Server()
    store, _ = store_at(server)
    store.append([(b"a", b"1")], TTL_MS)
    store.append([(b"a", b"1")], 2 * TTL_MS)
    assert server.expires_ms[b"a"] == lifetime_ms(2 * TTL_MS)


@pytest.mark.redis
def test_redis_is_asked_to_renew_what_is_new_or_was_deleted_or_follows_a_new_connection(
    redis_url: str, fresh_name: Callable[[str], str]
) -> None:
    store = RedisStore.connect(RedisOptions(redis_url))
    a, b = fresh_name("a").encode(), fresh_name("b").encode()
    with redis.Redis.from_url(redis_url) as onlooker:

        def lifetimes() -> list[bool]:
            """Whether each was given its whole time to live since the last call; they are cut short now."""
            left = [onlooker.pttl(key) for key in (a, b)]
            for key in (a, b):
                onlooker.pexpire(key, DAY_MS)
            return [ttl > DAY_MS for ttl in left]

        store.append([(a, b"1")], 2 * DAY_MS)
        store.append([(a, b"1"), (b, b"1")], 2 * DAY_MS)
        assert lifetimes() == [True, True]
        store.append([(a, b"1"), (b, b"1")], 2 * DAY_MS)
        assert lifetimes() == [False, False]
        onlooker.delete(a)
        store.append([(a, b"1"), (b, b"1")], 2 * DAY_MS)
        assert lifetimes() == [True, False]
        store.close()
        store.append([(a, b"1"), (b, b"1")], 2 * DAY_MS)
        assert lifetimes() == [True, True]
        onlooker.delete(a, b)
    store.close()
