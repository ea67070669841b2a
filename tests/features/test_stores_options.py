import traceback
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.store import StoreRejected
from features.stores.redis import RedisOptions, RedisStore


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
    ],
)
def test_an_address_is_shown_without_its_password(options: RedisOptions, shown: str) -> None:
    assert options.address == shown
    assert repr(options) == str(options) == f"RedisOptions({shown})"


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("http://host", "begin with redis://"),
        ("host:6379", "begin with redis://"),
        ("redis://", "must be redis://"),
        ("unix://", "must be redis://"),
        ("unix://host/path", "must be redis://"),
        ("redis://host/first", "must be a number"),
        ("redis://host:6379/0/1", "must be a number"),
        ("redis://host?decode_responses=yes", "do not know: decode_responses"),
        ("redis://host:99999", "percent-encode"),
    ],
)
def test_a_url_that_makes_no_sense_is_refused_with_its_cause(url: str, cause: str) -> None:
    with pytest.raises(ValueError, match=cause):
        RedisOptions(url)


@pytest.mark.parametrize("unsafe", ["hunter2/x", "hunter2#x", "hunter2?x", "hunter2[x", "hunter2:x"])
def test_a_password_that_breaks_the_url_is_not_shown(unsafe: str) -> None:
    try:
        shown = repr(RedisOptions(f"redis://:{unsafe}@host"))
    except ValueError as error:
        shown = "".join(traceback.format_exception(error, limit=0))
    assert "hunter2" not in shown


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20))
def test_a_password_survives_percent_encoding(password: str) -> None:
    options = RedisOptions(f"redis://user:{quote(password, safe='')}@host")
    assert options.masked(password) == "***"


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        ({"ca_file": Path("ca.pem")}, "rediss://"),
        ({"connect_timeout_ms": 0}, "at least 1"),
        ({"read_timeout_ms": 0}, "at least 1"),
        ({"client_name": "two words"}, "client_name"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(arguments: dict[str, object], cause: str) -> None:
    with pytest.raises(ValueError, match=cause):
        RedisOptions("redis://host", **arguments)  # type: ignore[arg-type]  # that is what is tested


def test_a_key_needs_its_certificate() -> None:
    with pytest.raises(ValueError, match="certificate"):
        RedisOptions("rediss://host", key_file=Path("key.pem"))


def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    absent = tmp_path / "ca.pem"
    with pytest.raises(StoreRejected, match=str(absent)):
        RedisStore.connect(RedisOptions("rediss://127.0.0.1:1", ca_file=absent))
