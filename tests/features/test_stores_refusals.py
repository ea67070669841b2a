"""What Redis says when it refuses, and what becomes of it."""

import pytest

from features.store import StoreRejected, StoreUnavailable
from features.stores.redis import RedisOptions, RedisStore
from features.stores.redis_errors import refusal
from tests.features.fake_redis import fake_redis, says


def store_at(url: str) -> RedisStore:
    return RedisStore(RedisOptions(url, connect_timeout_ms=20_000, read_timeout_ms=20_000))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("LOADING Redis is loading the dataset in memory", StoreUnavailable),
        ("READONLY You can't write against a read only replica.", StoreUnavailable),
        ("OOM command not allowed when used memory > 'maxmemory'.", StoreUnavailable),
        ("BUSY Redis is busy running a script.", StoreUnavailable),
        (
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is 'no'.",
            StoreUnavailable,
        ),
        ("CLUSTERDOWN The cluster is down", StoreUnavailable),
        ("MISCONF Redis is configured to save RDB snapshots, but it is unable to", StoreUnavailable),
        ("NOREPLICAS Not enough good replicas to write.", StoreUnavailable),
        ("ERR max number of clients reached", StoreUnavailable),
        ("ERR Error running script (call to f_x): @user_script: 1: -READONLY You can't", StoreUnavailable),
        ("NEWCODE something nobody has heard of", StoreUnavailable),
        ("NOAUTH Authentication required.", StoreRejected),
        ("WRONGPASS invalid username-password pair or user is disabled.", StoreRejected),
        ("NOPERM this user has no permissions to run the 'mget' command", StoreRejected),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", StoreRejected),
        ("MOVED 3999 127.0.0.1:6381", StoreRejected),
        ("ERR unknown command 'APPEND'", StoreRejected),
    ],
)
def test_each_refusal_is_sorted_by_whether_trying_again_can_help(text: str, kind: type[Exception]) -> None:
    assert type(refusal(text)) is kind
    with fake_redis(says(b"-%b\r\n" % text.encode())) as url, pytest.raises(kind) as caught:
        store_at(url).read([b"a"])
    assert type(caught.value) is kind
    with fake_redis(says(b""), hello=b"-%b\r\n" % text.encode()) as url, pytest.raises(kind) as caught:
        store_at(url).read([b"a"])
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("text", "by_sentinel", "mend"),
    [
        ("MOVED 3999 127.0.0.1:6381", False, "write redis+cluster:// for redis:// in redis.url"),
        ("ASK 3999 127.0.0.1:6381", False, "write redis+cluster:// for redis:// in redis.url"),
        ("CROSSSLOT Keys in request", False, "write redis+cluster:// for redis:// in redis.url"),
        ("ERR This instance has cluster support disabled", False, "write redis:// for redis+cluster://"),
        ("READONLY You can't write", False, "name the master's address in redis.url, or its sentinels"),
        ("NOAUTH Authentication required.", False, "set redis.password"),
        ("NOAUTH Authentication required.", True, "set redis.sentinel_password"),
        ("WRONGPASS invalid", True, "check redis.sentinel_username and redis.sentinel_password"),
    ],
)
def test_a_refusal_that_a_setting_mends_names_it(text: str, by_sentinel: bool, mend: str) -> None:
    assert mend in str(refusal(text, by_sentinel))


def test_messages_hold_neither_the_password_nor_what_was_sent() -> None:
    quoting = b"-ERR unknown command `APPEND`, with args beginning with: `key` `a value` \r\n"
    with fake_redis(says(quoting)) as url:
        with pytest.raises(StoreRejected) as caught:
            store_at(url).append([(b"key", b"a value")], 1_000)
        assert "APPEND" in str(caught.value)
        assert "a value" not in str(caught.value)
    with fake_redis(says(b""), hello=b"-ERR syntax error near 'hunter2'\r\n") as url:
        options = RedisOptions(url, password="hunter2")
        with pytest.raises(StoreRejected) as caught:
            RedisStore.connect(options)
        assert "syntax error" in str(caught.value)
        assert "hunter2" not in f"{caught.value!r} {caught.value} {options!r} {caught.value.__context__!r}"
