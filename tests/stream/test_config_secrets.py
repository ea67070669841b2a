"""No secret is ever shown: not by `explain`, not by `repr`, not by a message."""

from pathlib import Path

import pytest

from stream.config import explain, load_settings
from stream.errors import ConfigurationError
from stream.settings.keys import SETTINGS
from stream.transport.kafka.properties import SECRET

HUNTER = "hunter2-is-secret"
GIVEN = {
    "--redis": f"redis://user:{HUNTER}@h:1/0",
    "redis.password": HUNTER,
    "kafka.properties.sasl.username": "bob",
    **{f"kafka.properties.{name}": HUNTER for name in sorted(SECRET)},
}


def test_what_is_explained_and_what_repr_shows_hold_no_secret() -> None:
    settings = load_settings(None, {}, GIVEN)
    rows = {row.key: row for row in explain(settings)}
    assert HUNTER not in repr(rows) + repr(settings) + str(settings) + repr(settings.kafka)
    assert rows["redis.url"].value == "redis://user:***@h:1/0"
    assert rows["redis.password"].value == "***"
    assert rows["kafka.properties.sasl.username"].value == "bob"
    assert {rows[f"kafka.properties.{name}"].value for name in SECRET} == {"***"}


def test_every_setting_is_explained_once() -> None:
    rows = [row.key for row in explain(load_settings(None, {}, {}))]
    assert sorted(rows) == sorted(SETTINGS.keys() - {"kafka.properties"})


def test_a_secret_from_the_environment_is_masked_and_its_place_shown() -> None:
    settings = load_settings(None, {"RIVERRUN_REDIS__PASSWORD": HUNTER}, {})
    (row,) = [row for row in explain(settings) if row.key == "redis.password"]
    assert (row.value, row.origin) == ("***", "RIVERRUN_REDIS__PASSWORD")


@pytest.mark.parametrize(
    "flags",
    [
        {"redis.url": f"redis://user:{HUNTER}@[h/0"},
        {"redis.url": f"http://user:{HUNTER}@h"},
        {"redis.url": f"redis+cluster://user:{HUNTER}@h:x,i"},
        {"redis.url": f"redis+sentinel://user:{HUNTER}@h:1"},
        {"redis.sentinel_password": HUNTER},
        {"redis.pasword": HUNTER},
        {"kafka.properties.sasl.passwort": HUNTER},
        {"kafka.properties.sasl.jaas.config": HUNTER},
        {"redis.password": HUNTER, "redis.key_file": "/none", "redis.url": "rediss://h"},
    ],
)
def test_no_message_quotes_a_secret(flags: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load_settings(None, {}, flags)
    assert HUNTER not in str(raised.value)
    assert HUNTER not in repr(raised.value.problems)


@pytest.mark.parametrize(
    "text",
    [
        f"redis: {{password: [{HUNTER}]}}",
        f"redis: {{password: {{a: {HUNTER}}}}}",
        f"redis: {{url: [{HUNTER}]}}",
        f"redis:\n  password: {HUNTER}: x",
        f"redis:\n  password: &{HUNTER} x",
        f"redis:\n  password: !{HUNTER} x",
        f"redis:\n  password: *{HUNTER}",
        f'redis:\n  password: "{HUNTER}',
        f"redis:\n  password: @{HUNTER}",
        f"redis:\n  password: %{HUNTER}",
        f"redis: {{password: {{{HUNTER}}}}}",
        f"redis: {HUNTER}",
        f"{HUNTER}",
    ],
)
def test_no_message_about_a_file_quotes_a_secret(tmp_path: Path, text: str) -> None:
    file = tmp_path / "riverrun.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        load_settings(file, {}, {})
    assert HUNTER not in str(raised.value)
