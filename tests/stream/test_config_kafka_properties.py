"""librdkafka's properties on their way through the settings."""

from pathlib import Path

import pytest

from stream.config import kafka_connection, load_settings
from stream.errors import ConfigurationError
from stream.transport.kafka.properties import OWNED, KafkaConnection


def passed(file: Path | None = None, environ: dict[str, str] | None = None, **flags: str) -> dict[str, str]:
    return dict(kafka_connection(load_settings(file, environ or {}, flags)).properties)


@pytest.mark.parametrize("name", sorted(OWNED))
def test_a_property_that_the_worker_decides_is_refused_by_name_with_what_to_do_instead(name: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load_settings(None, {}, {f"kafka.properties.{name}": "1"})
    (problem,) = raised.value.problems
    assert (problem.key, problem.mend) == (f"kafka.properties.{name}", OWNED[name])


@pytest.mark.parametrize(
    ("name", "value", "cause"),
    [
        ("linger.mss", "5", 'No such configuration property: "linger.mss"'),
        ("security.protocol", "tls", 'Invalid value "tls" for configuration property "security.protocol"'),
        ("stats_cb", "f", "this is not a property that a text can set"),
    ],
)
def test_librdkafka_is_asked_about_every_property(name: str, value: str, cause: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load_settings(None, {}, {f"kafka.properties.{name}": value})
    assert [problem.cause for problem in raised.value.problems] == [cause]


def test_yaml_numbers_and_truth_become_librdkafkas_texts(tmp_path: Path) -> None:
    file = tmp_path / "riverrun.yaml"
    file.write_text(
        "kafka: {properties: {fetch.wait.max.ms: 20, socket.keepalive.enable: true, linger.ms: 0.5}}"
    )
    assert passed(file) == {
        "fetch.wait.max.ms": "20",
        "socket.keepalive.enable": "true",
        "linger.ms": "0.5",
    }


def test_a_mapping_is_no_property(tmp_path: Path) -> None:
    file = tmp_path / "riverrun.yaml"
    file.write_text("kafka: {properties: {sasl: {password: hunter2}}}")
    with pytest.raises(
        ConfigurationError, match=r"kafka.properties.sasl .*a mapping is not a text"
    ) as raised:
        load_settings(file, {}, {})
    assert "hunter2" not in str(raised.value)


def test_a_default_of_ours_gives_way_to_what_is_set_in_every_client() -> None:
    name = "reconnect.backoff.max.ms"
    for set_to, expected in (({}, "1000"), ({name: "7000"}, "7000")):
        connection = KafkaConnection("broker:9092", set_to)
        for client in (connection.consumer("group"), connection.producer(), connection.admin()):
            assert client[name] == expected


def test_in_the_environment_underscores_stand_for_dots() -> None:
    assert passed(environ={"RIVERRUN_KAFKA__PROPERTIES__SASL_USERNAME": "bob"}) == {"sasl.username": "bob"}


def test_a_java_style_file_goes_below_what_is_set_otherwise(tmp_path: Path) -> None:
    properties = tmp_path / "client.properties"
    properties.write_text("# team\nsasl.username=file\nsasl.mechanism: PLAIN\nclient.id = a\n")
    settings = load_settings(
        None,
        {"RIVERRUN_KAFKA__PROPERTIES__SASL_USERNAME": "environment"},
        {"--kafka-properties": str(properties), "kafka.properties.client.id": "flag"},
    )
    assert kafka_connection(settings).properties == {
        "sasl.username": "environment",
        "sasl.mechanism": "PLAIN",
        "client.id": "flag",
    }
    assert settings.origin("kafka.properties.sasl.mechanism") == f"{properties}:3"


def test_what_a_java_style_file_holds_is_refused_with_its_line(tmp_path: Path) -> None:
    properties = tmp_path / "client.properties"
    properties.write_text("client.id=a\nbootstrap.servers=h:1\nacks=all\n")
    with pytest.raises(ConfigurationError) as raised:
        load_settings(None, {}, {"--kafka-properties": str(properties)})
    assert [(p.key, p.origin) for p in raised.value.problems] == [
        ("kafka.properties.bootstrap.servers", f"{properties}:2"),
        ("kafka.properties.acks", f"{properties}:3"),
    ]


def test_a_java_style_file_that_is_not_there_is_told_with_where_it_was_named() -> None:
    with pytest.raises(ConfigurationError, match=r"kafka.properties_file \(from --kafka-properties\).*/none"):
        load_settings(None, {}, {"--kafka-properties": "/none"})
