"""What becomes of files, environments and flags; nothing here reads the process's own environment."""

import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

from stream.config import (
    Groups,
    Settings,
    Topics,
    groups_of,
    kafka_connection,
    load_settings,
    load_usecase,
    redis_for_reads,
    redis_for_writes,
    topics_of,
    transactional_id,
)
from stream.errors import ConfigurationError, SettingProblem
from tests.stream.definitions import clock, sequence

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file of this name and text."""

    def written(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return path

    return written


def problems(
    file: Path | None = None, environ: Mapping[str, str] | None = None, flags: Mapping[str, str] | None = None
) -> list[SettingProblem]:
    with pytest.raises(ConfigurationError) as raised:
        load_settings(file, environ or {}, flags or {})
    assert str(raised.value) == "\n".join(map(str, raised.value.problems))
    return list(raised.value.problems)


def only_problem(
    file: Path | None = None, environ: Mapping[str, str] | None = None, flags: Mapping[str, str] | None = None
) -> SettingProblem:
    (problem,) = problems(file, environ, flags)
    return problem


def test_nothing_has_to_be_set() -> None:
    settings = load_settings(None, {}, {})
    assert settings == Settings()
    assert settings.batch.events_max == 2_000
    assert settings.origin("batch.events_max") == "default"


def test_an_empty_file_sets_nothing(write: Write) -> None:
    assert load_settings(write("riverrun.yaml", "\n"), {}, {}) == Settings()


def test_every_value_knows_where_it_came_from(write: Write) -> None:
    file = write("riverrun.yaml", "kafka:\n  group: scorers\n  start: latest\nbatch: {wait_ms: 5}\n")
    settings = load_settings(file, {"RIVERRUN_HTTP__PORT": "0"}, {"--kafka": "k:9092", "log.level": "debug"})
    assert (settings.kafka.group, settings.kafka.start, settings.batch.wait_ms) == ("scorers", "latest", 5)
    assert (settings.http.port, settings.kafka.bootstrap_servers, settings.log.level) == (
        0,
        "k:9092",
        "debug",
    )
    assert settings.origin("kafka.start") == f"{file}:3"
    assert settings.origin("batch.wait_ms") == f"{file}:4"
    assert settings.origin("http.port") == "RIVERRUN_HTTP__PORT"
    assert settings.origin("kafka.bootstrap_servers") == "--kafka"
    assert settings.origin("log.level") == "--set log.level"


def test_every_mistake_is_told_at_once_with_its_place(write: Write) -> None:
    file = write("riverrun.yaml", "kafka:\n  grup: a\nbatch:\n  events_max: 0\nhttp: 80\nhttp: 81\n")
    found = problems(
        file,
        {"RIVERRUN_DRAIN_S": "soon", "RIVERRUN_WHAT": "x"},
        {"--http-port": "70000", "log.level": "loud"},
    )
    assert {(p.key, p.origin) for p in found} == {
        ("settings file", f"{file}:6:1"),
        ("kafka.grup", f"{file}:2"),
        ("batch.events_max", f"{file}:4"),
        ("http", f"{file}:5:7"),
        ("drain_s", "RIVERRUN_DRAIN_S"),
        ("what", "RIVERRUN_WHAT"),
        ("http.port", "--http-port"),
        ("log.level", "--set log.level"),
    }
    assert all(problem.cause and problem.mend for problem in found)


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("kafka.grup", "kafka.group"),
        ("group", "kafka.group"),
        ("events_max", "batch.events_max"),
        ("drains", "drain_s"),
        ("batch.event_max", "batch.events_max"),
        ("kafka.topic.events", "kafka.topics.events"),
    ],
)
def test_an_unknown_setting_is_answered_with_the_one_that_was_meant(key: str, meant: str) -> None:
    assert only_problem(flags={key: "1"}).mend == f"did you mean `{meant}`?"


def test_a_setting_like_no_other_is_answered_with_those_there_are() -> None:
    assert only_problem(flags={"commit.zzz": "1"}).mend == "choose from `commit.interval_ms`"
    assert only_problem(flags={"zzz": "1"}).mend == "`riverrun config` lists all settings"


@pytest.mark.parametrize(
    ("key", "text", "cause"),
    [
        ("batch.events_max", "many", "'many' is not a whole number"),
        ("batch.events_max", "1.5", "'1.5' is not a whole number"),
        ("batch.events_max", "", "has no value"),
        ("rejects.share_max", "1.5", "'1.5' is above 1"),
        ("rejects.share_max", "nan", "'nan' is not a finite number"),
        ("drain_s", "0", "'0' is below 1"),
        ("http.port", "65536", "'65536' is above 65535"),
        ("log.format", "xml", "'xml' is not one of its values"),
        ("kafka.bootstrap_servers", "kafka", "'kafka' is not HOST:PORT"),
        ("kafka.bootstrap_servers", "a:1,b:x", "'b:x' is not HOST:PORT"),
        ("kafka.bootstrap_servers", "a:1,b:0", "'b:0' is not HOST:PORT"),
        ("kafka.topics.events", "no spaces", "'no spaces' cannot name a topic"),
        ("kafka.topics.events", "..", "'..' cannot name a topic"),
        ("kafka", "x", "a value stands for a section"),
        ("kafka.properties", "x", "a value stands for a section"),
        ("redis.url", "redis://h/first", "its database must be a number"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(key: str, text: str, cause: str) -> None:
    problem = only_problem(flags={key: text})
    assert (problem.key, problem.cause, problem.origin) == (key, cause, f"--set {key}")


def test_truth_is_no_number_and_a_list_no_text(write: Write) -> None:
    file = write("riverrun.yaml", "batch: {events_max: true}\nkafka: {group: [a]}\nusecase: 7\n")
    found = problems(file)
    assert [p.key for p in found] == ["batch.events_max", "kafka.group", "usecase"]
    assert found[0].cause == "true or false stands where a number is expected"
    assert found[1].cause == "a list is not a text"
    assert found[2].cause == "7 is not a path"


def test_a_wrong_value_that_a_later_layer_replaces_does_not_matter(write: Write) -> None:
    file = write("riverrun.yaml", "batch: {events_max: 0}")
    assert load_settings(file, {}, {"batch.events_max": "5"}).batch.events_max == 5


def test_a_file_that_cannot_be_read_is_told_with_the_other_mistakes(tmp_path: Path) -> None:
    found = problems(tmp_path / "none.yaml", {}, {"drain_s": "x"})
    assert [p.key for p in found] == ["settings file", "drain_s"]
    assert "none.yaml cannot be read: No such file or directory" in found[0].cause


def test_what_is_not_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "riverrun.yaml"
    file.write_bytes(b"usecase: \xff\n")
    assert only_problem(file).cause == f"{file} is not UTF-8"


def test_a_mistake_of_yaml_is_told_with_its_place(write: Write) -> None:
    file = write("riverrun.yaml", "kafka:\n\tgroup: a\n")
    assert only_problem(file).origin.startswith(f"{file}:2:")


@pytest.mark.parametrize(
    "name",
    [
        "RIVERRUN_REQUIRE",
        "RIVERRUN_DATA",
        "RIVERRUN_TEST_KAFKA",
        "RIVERRUN_PORT",
        "RIVERRUN_SERVICE_HOST",
        "RIVERRUN_SCORE_SERVICE_PORT_HTTP",
        "RIVERRUN_PORT_9400_TCP_ADDR",
        "RIVERRUNNER",
        "PATH",
    ],
)
def test_variables_of_tests_and_of_kubernetes_are_left_alone(name: str) -> None:
    assert load_settings(None, {name: "tcp://10.0.0.1:9400"}, {}) == Settings()


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load_settings(None, {"RIVERRUN_REDIS__PASSWORD": "", "RIVERRUN_DRAIN_S": ""}, {}) == Settings()


def test_an_empty_flag_sets_to_nothing(write: Write) -> None:
    file = write("riverrun.yaml", "kafka: {group: scorers}")
    assert load_settings(file, {}, {"kafka.group": ""}).kafka.group is None


def test_settings_cannot_be_changed() -> None:
    settings = load_settings(None, {}, {"kafka.properties.client.id": "x"})
    with pytest.raises(ValidationError, match="frozen"):
        settings.batch.events_max = 3  # type: ignore[misc]  # that is what is tested
    with pytest.raises(TypeError, match="item assignment"):
        settings.kafka.properties["a"] = settings.kafka.properties["client.id"]  # type: ignore[index]  # as above


def test_topics_and_groups_carry_the_use_case_unless_named() -> None:
    settings = load_settings(None, {}, {"kafka.topics.labels": "outcomes", "kafka.group": "scorers"})
    assert topics_of(settings, "fraud") == Topics(
        "fraud.events", "outcomes", "fraud.predictions", "fraud.deadletters"
    )
    assert groups_of(settings, "fraud") == Groups("scorers", "fraud.materialize")


def test_every_state_is_materialized_by_groups_of_its_own() -> None:
    groups = groups_of(load_settings(None, {}, {"kafka.materialize_group": "rows"}), "fraud")
    assert groups.events_of(clock()) == f"rows.{clock().fingerprints.state[:12]}"
    assert groups.labels_of(clock()) == f"rows.{clock().fingerprints.state[:12]}.labels"
    assert groups.events_of(sequence()) != groups.events_of(clock())


def test_two_topics_that_turn_out_to_be_one_are_refused() -> None:
    settings = load_settings(None, {}, {"kafka.topics.predictions": "fraud.events"})
    with pytest.raises(ConfigurationError, match="topic for events already"):
        topics_of(settings, "fraud")
    assert topics_of(settings, "other").predictions == "fraud.events"


def test_two_groups_that_turn_out_to_be_one_are_refused() -> None:
    settings = load_settings(None, {}, {"kafka.group": "fraud.materialize"})
    with pytest.raises(ConfigurationError, match="each would see only some events"):
        groups_of(settings, "fraud")


EXACTLY_ONCE = {"delivery.mode": "exactly_once"}


def test_a_worker_is_known_by_the_same_name_after_every_start() -> None:
    named = load_settings(None, {}, EXACTLY_ONCE | {"delivery.worker": "one", "http.port": "0"})
    assert transactional_id(named, "fraud.score") == "fraud.score.one"
    first, second = (load_settings(None, {}, {"http.port": port}) for port in ("9400", "9401"))
    assert transactional_id(first, "g") != transactional_id(second, "g")
    assert transactional_id(first, "g") == f"g.{socket.gethostname()}-9400"


@pytest.mark.parametrize(
    ("flags", "key"),
    [
        ({"kafka.group": "a", "kafka.materialize_group": "a"}, "kafka.group"),
        ({"kafka.topics.events": "a", "kafka.topics.labels": "a"}, "kafka.topics.labels"),
        ({"freshness.heartbeat_ms": "1000", "freshness.limit_ms": "1000"}, "freshness.heartbeat_ms"),
        (EXACTLY_ONCE | {"delivery.transaction_ms": "1001"}, "delivery.transaction_ms"),
        (EXACTLY_ONCE | {"delivery.transaction_timeout_ms": "60000"}, "delivery.transaction_timeout_ms"),
        (EXACTLY_ONCE | {"kafka.properties.linger.ms": "100"}, "kafka.properties.linger.ms"),
        (EXACTLY_ONCE | {"http.port": "0"}, "delivery.worker"),
        ({"redis.write_timeout_ms": "3000", "watchdog.stall_s": "3"}, "redis.write_timeout_ms"),
        ({"redis.cert_file": __file__, "redis.url": "rediss://h"}, "redis.cert_file"),
        ({"redis.key_file": __file__, "redis.url": "rediss://h"}, "redis.key_file"),
        ({"redis.sentinel_password": "p", "redis.url": "redis+cluster://h"}, "redis.sentinel_password"),
        ({"redis.ca_file": __file__, "redis.url": "redis://h"}, "redis.url"),
        ({"redis.ca_file": "/none.pem", "redis.url": "rediss://h"}, "redis.ca_file"),
    ],
)
def test_settings_that_make_no_sense_together_are_refused(flags: dict[str, str], key: str) -> None:
    assert only_problem(flags=flags).key == key


def test_what_rests_on_a_wrong_value_is_not_told_twice() -> None:
    assert only_problem(flags={"watchdog.stall_s": "0", "redis.write_timeout_ms": "90000"}).key == (
        "watchdog.stall_s"
    )


def test_redis_is_asked_within_the_deadline_of_the_worker() -> None:
    settings = load_settings(
        None, {"RIVERRUN_REDIS__PASSWORD": "p"}, {"--redis": "redis://u@h:1/2", "redis.deadline_ms": "99"}
    )
    assert redis_for_reads(settings).read_timeout_ms == 99
    assert redis_for_writes(settings).read_timeout_ms == 5_000
    assert redis_for_reads(settings).reconnect_silently
    assert not redis_for_writes(settings).reconnect_silently
    assert redis_for_reads(settings).password == "p"
    assert redis_for_reads(settings).address == "redis://u:***@h:1/2"


def test_kafka_gets_its_properties_in_clear() -> None:
    settings = load_settings(None, {"RIVERRUN_KAFKA__PROPERTIES__SASL_PASSWORD": "p"}, {"--kafka": "h:1"})
    assert kafka_connection(settings).consumer("g")["sasl.password"] == "p"
    assert kafka_connection(settings).bootstrap_servers == "h:1"


def test_a_use_case_that_is_not_there_is_told_with_where_it_was_named(tmp_path: Path) -> None:
    settings = load_settings(None, {"RIVERRUN_USECASE": str(tmp_path / "none.yaml")}, {})
    with pytest.raises(ConfigurationError, match=r"usecase \(from RIVERRUN_USECASE\).*No such file"):
        load_usecase(settings)
