"""The servers that tests stand on do what the tests will rely on."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from redis import Redis

from tools import kafka_jars
from tools.containers import NoDocker, check_docker
from tools.kafka_jars import NoKafka, classpath, find_java
from tools.kafka_server import KafkaServer
from tools.processes import ServerDidNotStart, free_port, started
from tools.redis_server import RedisServer
from tools.servers import Running


def test_the_shared_broker_makes_topics(kafka: str, fresh_name: Callable[[str], str]) -> None:
    topic = fresh_name("topic")
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(topic, 3, 1)])[topic].result(20)
    assert len(admin.list_topics(topic, timeout=10).topics[topic].partitions) == 3


def test_the_shared_redis_answers(redis_url: str) -> None:
    with Redis.from_url(redis_url) as client:
        assert client.ping()


@pytest.mark.slow
def test_a_killed_broker_comes_back_with_its_records(own_kafka: KafkaServer) -> None:
    settings: dict[str, str | int | float | bool] = {"bootstrap.servers": own_kafka.bootstrap}
    admin = AdminClient(settings)
    admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result(20)
    producer = Producer({**settings, "acks": "all"})
    producer.produce("kept", b"before")
    assert producer.flush(20) == 0

    own_kafka.kill()
    own_kafka.start()

    consumer = Consumer({**settings, "group.id": "reader", "auto.offset.reset": "earliest"})
    consumer.subscribe(["kept"])
    record = consumer.poll(30)
    consumer.close()
    assert record is not None
    assert (record.error(), record.value()) == (None, b"before")


def test_a_restarted_redis_is_empty_unless_it_appends_to_a_file(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    kept = RedisServer(tmp_path / "kept", {"appendonly": "yes", "appendfsync": "always"})
    kept.start()
    for server, expected in ((own_redis, None), (kept, b"1")):
        with Redis.from_url(server.url) as client:
            client.set("key", "1")
        server.kill()
        server.start()
        with Redis.from_url(server.url) as client:
            assert client.get("key") == expected
    kept.stop()


def test_a_killed_redis_refuses_connections(own_redis: RedisServer) -> None:
    own_redis.kill()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", own_redis.port), timeout=5)


def test_a_server_that_cannot_start_shows_its_log(own_redis: RedisServer, tmp_path: Path) -> None:
    second = RedisServer(tmp_path / "second", {"no-such-setting": "1"})
    with pytest.raises(ServerDidNotStart, match="no-such-setting"):
        second.start()
    assert second.process is None


def test_no_process_is_taken_for_another_that_had_its_number(own_redis: RedisServer) -> None:
    assert own_redis.process is not None
    pid = own_redis.process.pid
    since = started(pid)
    assert since is not None
    assert Running(pid, since, own_redis.port, own_redis.url).alive
    assert not Running(pid, "12345", own_redis.port, own_redis.url).alive
    own_redis.stop()
    assert not Running(pid, since, own_redis.port, own_redis.url).alive


def test_an_absent_docker_daemon_is_noticed_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{free_port()}")
    with pytest.raises(NoDocker, match="no Docker daemon answers"):
        check_docker()


def put_on_path(monkeypatch: pytest.MonkeyPatch, folder: Path, program: str, script: str) -> None:
    """Make `program` a shell script, the only program that can be found."""
    folder.mkdir()
    (folder / program).write_text(f"#!/bin/sh\n{script}\n")
    (folder / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_a_java_too_old_for_kafka_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put_on_path(monkeypatch, tmp_path / "bin", "java", "echo 'openjdk version \"11.0.2\"' >&2")
    with pytest.raises(NoKafka, match=r'needs Java 17 or later; .* openjdk version "11\.0\.2"'):
        find_java()


def test_a_download_that_fails_says_so_and_leaves_no_half_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put_on_path(monkeypatch, tmp_path / "bin", "mvn", "echo '[ERROR] Unknown host'; exit 1")
    monkeypatch.setattr(kafka_jars, "CACHE", tmp_path / "cache")
    with pytest.raises(NoKafka, match=r"(?s)could not bring Apache Kafka .*Unknown host"):
        classpath()
    assert list((tmp_path / "cache").glob("libs*")) == []
