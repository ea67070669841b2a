import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis

from stream.demo import redis_server
from stream.demo.ports import free_port
from stream.demo.redis_server import EmbeddedRedis, RedisServerError, find_server

pytestmark = pytest.mark.redis

PARENT = """
import json, signal, sys, threading
from stream.demo.redis_server import EmbeddedRedis
server = EmbeddedRedis()
starter = threading.Thread(target=server.start)
starter.start()
starter.join()  # a thread that ends is no parent that dies
print(json.dumps({"pid": server.pid, "url": server.url, "directory": str(server.directory)}), flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _needs_a_server() -> None:
    try:
        find_server()
    except RedisServerError as error:
        if "redis" in os.environ.get("RIVERRUN_REQUIRE", "").split(","):
            pytest.fail(f"RIVERRUN_REQUIRE names redis: {error}", pytrace=False)
        pytest.skip(f"no redis: {error}")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "redis") as started:
        yield started


def ask(server: EmbeddedRedis, *command: str) -> object:
    with redis.Redis.from_url(server.url) as client:
        return client.execute_command(*command)


def test_it_answers_once_started_and_is_gone_once_stopped() -> None:
    with EmbeddedRedis() as server:
        assert ask(server, "SET", "key", "value")
        pid, directory = server.pid, server.directory
        assert directory.exists()
    assert server.pid is None
    assert pid is not None
    assert not psutil.pid_exists(pid)
    assert not directory.exists()


def test_a_directory_that_was_given_is_kept(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        pass
    assert server.log.exists()


def test_it_keeps_what_was_written_and_evicts_nothing(server: EmbeddedRedis) -> None:
    with redis.Redis.from_url(server.url) as client:
        kept: dict[str, str] = client.config_get("append*") | client.config_get("maxmemory-policy")
        assert kept["appendonly"] == "yes"
        assert kept["appendfsync"] == "everysec"
        assert kept["maxmemory-policy"] == "noeviction"
        assert client.config_get("save") == {"save": ""}


@pytest.mark.parametrize("kill", [EmbeddedRedis.kill, lambda server: None], ids=["killed", "running"])
def test_after_a_restart_the_data_is_there_at_the_same_address(
    server: EmbeddedRedis, kill: Callable[[EmbeddedRedis], None]
) -> None:
    ask(server, "SET", "key", "value")
    pid, url = server.pid, server.url
    kill(server)
    server.restart()
    assert server.url == url
    assert server.pid != pid
    assert ask(server, "GET", "key") == b"value"


def test_a_killed_server_is_gone_at_once_and_may_be_stopped(server: EmbeddedRedis) -> None:
    server.kill()
    assert server.pid is None
    with pytest.raises(redis.ConnectionError):
        ask(server, "PING")


def test_the_password_of_its_settings_is_in_its_url(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path, {"requirepass": "a@b"}) as server:
        assert ask(server, "PING")


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(RedisServerError, match="maxmemory-policy"):
        EmbeddedRedis(tmp_path, {"maxmemory-policy": "nonsense"}).start()


def test_a_port_that_another_took_meanwhile_is_given_up(
    server: EmbeddedRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = iter([server.port, free_port()])
    monkeypatch.setattr(redis_server, "free_port", lambda: next(ports))
    with EmbeddedRedis(tmp_path / "second") as second:
        assert second.port != server.port
        ask(second, "SET", "key", "value")
        assert ask(server, "GET", "key") is None


def test_without_any_server_the_mend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_server, "_beside", lambda package, path: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RedisServerError, match="apt-get install redis-server"):
        find_server()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_it_dies_with_the_process_that_started_it_and_not_with_the_thread() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdin is not None
    started = json.loads(parent.stdout.readline())
    child = psutil.Process(started["pid"])
    try:
        with redis.Redis.from_url(started["url"]) as client:
            assert client.ping()
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        child.wait(timeout=20)
    finally:
        parent.stdin.close()
        parent.stdout.close()
        parent.kill()
        parent.wait()
        shutil.rmtree(started["directory"])
