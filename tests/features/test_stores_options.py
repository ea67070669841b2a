"""What Redis URLs and settings mean, how they are refused, and that no password shows."""

import traceback
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.store import StoreRejected
from features.stores.redis import RedisOptions, RedisStore
from features.stores.redis_url import Address, Form, RedisOptionsRefused, parse_url


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (RedisOptions("redis://host"), "redis://host:6379/0"),
        (RedisOptions("redis://host:7000/3"), "redis://host:7000/3"),
        (RedisOptions("redis://[::1]:7000?db=2"), "redis://[::1]:7000/2"),
        (RedisOptions("rediss://reader:hunter2@host"), "rediss://reader:***@host:6379/0"),
        (RedisOptions("redis://:hunter2@host"), "redis://:***@host:6379/0"),
        (RedisOptions("redis://host", username="reader"), "redis://reader@host:6379/0"),
        (
            RedisOptions("redis://a:b@host", username="reader", password="hunter2"),
            "redis://reader:***@host:6379/0",
        ),
        (RedisOptions("unix:///run/redis.sock?db=1"), "unix:///run/redis.sock?db=1"),
        (RedisOptions("unix://:hunter2@/run/redis.sock"), "unix://:***@/run/redis.sock?db=0"),
        (
            RedisOptions("redis+cluster://reader:hunter2@a:7000,[::1]:7001,c"),
            "redis+cluster://reader:***@a:7000,[::1]:7001,c:6379",
        ),
        (RedisOptions("rediss+cluster://a,b/0"), "rediss+cluster://a:6379,b:6379"),
        (
            RedisOptions("redis+sentinel://:hunter2@a,b:1/the%20master/2", sentinel_password="hunter2"),
            "redis+sentinel://:***@a:26379,b:1/the master/2",
        ),
        (RedisOptions("rediss+sentinel://a/main"), "rediss+sentinel://a:26379/main/0"),
    ],
)
def test_an_address_is_shown_without_its_password(options: RedisOptions, shown: str) -> None:
    assert options.address == shown
    assert repr(options) == str(options) == f"RedisOptions({shown})"


def test_a_url_is_taken_apart() -> None:
    parts = parse_url("rediss+sentinel://us%3Aer:p%40ss@One:1,[::2]/main?db=3")
    assert (parts.form, parts.tls, parts.master, parts.database) == (Form.SENTINEL, True, "main", 3)
    assert (parts.username, parts.password) == ("us:er", "p@ss")
    assert parts.addresses == (Address("one", 1), Address("::2", 26379))


@pytest.mark.parametrize(
    ("url", "cause", "mend"),
    [
        ("http://host", "it must begin with redis://", "write redis://"),
        ("host:6379", "it must begin with redis://", "write redis://"),
        ("redis+sentry://host", "or unix://", "write redis://"),
        ("redis://", "a host is missing", "write redis://"),
        ("redis:///0", "a host is missing", "write redis://"),
        ("redis://:6379", "a host is missing", "write redis://"),
        ("redis://host:0", "a host is missing", "write redis://"),
        ("redis://a:1,b:2", "one server has one address", "redis+cluster:// or redis+sentinel://"),
        ("redis+cluster://a:1,,b:2", "a host is missing", "write redis+cluster://"),
        ("redis+cluster://a:1/3", "no other database than 0", "leave out the database"),
        ("redis+sentinel://a:1,b:2", "lacks the name", "write redis+sentinel://"),
        ("redis+sentinel://a:1/main/x", "must be a number", "write redis+sentinel://"),
        ("unix://", "cannot be told apart", "unix:///path"),
        ("unix://host/path", "cannot be told apart", "unix:///path"),
        ("redis://host/first", "must be a number", "write redis://"),
        ("redis://host:6379/0/1", "must be a number", "write redis://"),
        ("redis://host?decode_responses=yes", "do not know: decode_responses", "leave them out"),
        ("redis://host:99999", "cannot be read", "percent-encoded"),
    ],
)
def test_a_url_that_makes_no_sense_is_refused_with_cause_and_mend(url: str, cause: str, mend: str) -> None:
    with pytest.raises(RedisOptionsRefused) as refused:
        RedisOptions(url)
    (problem,) = refused.value.problems
    assert problem.setting == "url"
    assert cause in problem.cause
    assert mend in problem.mend
    assert str(refused.value) == f"redis.url: {problem.cause}; {problem.mend}"


@pytest.mark.parametrize(
    "unsafe", ["hunter2/x", "hunter2#x", "hunter2?x", "hunter2[x", "hunter2:x", "hunter2,x"]
)
@pytest.mark.parametrize(
    "form", ["redis://:{}@host", "redis+cluster://:{}@a,b", "redis+sentinel://:{}@a/main"]
)
def test_a_password_that_breaks_the_url_is_not_shown(unsafe: str, form: str) -> None:
    try:
        shown = repr(RedisOptions(form.format(unsafe)))
    except ValueError as error:
        shown = "".join(traceback.format_exception(error, limit=0))
    assert "hunter2" not in shown


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20))
def test_a_password_survives_percent_encoding(password: str) -> None:
    options = RedisOptions(f"redis://user:{quote(password, safe='')}@host")
    assert options.parts.password == password
    assert options.masked(password) == "***"


def test_the_sentinels_password_is_masked_too() -> None:
    options = RedisOptions("redis+sentinel://:abc@a/main", sentinel_password="hunter2")
    assert options.masked("abc hunter2") == "*** ***"


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        ({"ca_file": Path("ca.pem")}, ["url"]),
        (
            {"cert_file": Path("a.pem"), "key_file": Path("b.pem"), "client_name": "two words"},
            ["url", "client_name"],
        ),
        ({"key_file": Path("b.pem")}, ["url", "key_file"]),
        ({"connect_timeout_ms": 0, "read_timeout_ms": 0}, ["connect_timeout_ms", "read_timeout_ms"]),
        ({"sentinel_username": "u", "sentinel_password": "p"}, ["sentinel_username", "sentinel_password"]),
    ],
)
def test_everything_that_does_not_go_together_is_named_at_once(
    arguments: dict[str, object], settings: list[str]
) -> None:
    with pytest.raises(RedisOptionsRefused) as refused:
        RedisOptions("redis://host", **arguments)  # type: ignore[arg-type]  # that is what is tested
    assert [problem.setting for problem in refused.value.problems] == settings
    assert all(f"redis.{setting}: " in str(refused.value) for setting in settings)


@pytest.mark.parametrize(
    "url", ["rediss://127.0.0.1:1", "rediss+cluster://127.0.0.1:1", "rediss+sentinel://127.0.0.1:1/m"]
)
def test_a_certificate_that_cannot_be_read_is_named(url: str, tmp_path: Path) -> None:
    absent = tmp_path / "ca.pem"
    with pytest.raises(StoreRejected, match=str(absent)):
        RedisStore.connect(RedisOptions(url, ca_file=absent))
