"""Kafka, Redis and the published data for tests: from what is there, or skipped loudly, or required.

Each is chosen in this order: an address given by the environment, Docker, programs of this machine.
What cannot be had is skipped and listed at the end; `RIVERRUN_REQUIRE=kafka,redis,data` makes it fail.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import settings

from tools.containers import NoDocker, start_kafka, start_redis
from tools.kafka_jars import NoKafka
from tools.kafka_server import KafkaServer
from tools.processes import ServerDidNotStart
from tools.reaper import end_with_us
from tools.redis_cluster import RedisCluster
from tools.redis_server import NoRedisServer, RedisServer

# A busy machine is no failure. In CI the examples are the same for everyone, so that red means the change.
settings.register_profile("riverrun", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("riverrun")

CAPABILITIES = ("kafka", "redis", "data")
FIRST = ("tests/chaos", "tests/contract", "tests/integration", "tests/stream/demo")
"""What takes minutes; what waits for servers while that keeps the processors busy; what computes. After them
come all the short ones, so that no process of several is left with a long one in the end."""
MISSING: dict[str, str] = {}

Started = tuple[str, Callable[[], None]]  # an address, and what stops the server there


def lacking(capability: str, why: str) -> NoReturn:
    """Skip the test, or fail it when the capability is required; the reason shows in the summary."""
    MISSING[capability] = why
    if capability in os.environ.get("RIVERRUN_REQUIRE", "").split(","):
        pytest.fail(f"RIVERRUN_REQUIRE names {capability}, and there is none: {why}", pytrace=False)
    pytest.skip(f"no {capability}: {why}")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Say last, in a block nobody overlooks, what was missing, why, and how many tests it cost."""
    yield
    skipped = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    if not MISSING and not skipped:
        return
    terminalreporter.section("NOT TESTED HERE", sep="!", yellow=True, bold=True)
    for capability, why in sorted(MISSING.items()):
        count = sum(f"no {capability}: " in reason for reason in skipped)
        cost = f"{count} tests skipped" if count else "required, and missing"
        terminalreporter.write_line(f"{capability}: {cost}, because: {why}", yellow=True)
    if others := sum(not any(f"no {name}: " in reason for name in MISSING) for reason in skipped):
        terminalreporter.write_line(f"{others} more were skipped for reasons of their own, listed above")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each test by the capabilities it asks for, so that `-m "not kafka"` needs no bookkeeping.

    What takes many minutes runs only where `-m` names it.
    """
    fixtures = {
        "kafka": "kafka",
        "own_kafka": "kafka",
        "redis_url": "redis",
        "own_redis": "redis",
        "redis_cluster": "redis",
        "data": "data",
    }
    for item in items:
        for name in set(getattr(item, "fixturenames", ())) & fixtures.keys():
            item.add_marker(fixtures[name])
    for marker in ("parity", "chaos", "peers"):
        if marker not in config.option.markexpr:
            long = [item for item in items if item.get_closest_marker(marker)]
            items[:] = [item for item in items if item not in long]
            config.hook.pytest_deselected(items=long)
    items.sort(key=lambda item: [not item.nodeid.startswith(folder) for folder in FIRST])


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Have a process of pytest-xdist's tell the one that began it what was missing."""
    if output := getattr(session.config, "workeroutput", None):
        output["missing"] = MISSING


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """What a process of pytest-xdist's has told; one that died has told nothing."""
    MISSING.update(getattr(node, "workeroutput", {}).get("missing", {}))


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A bootstrap address of a real Kafka that all tests share: use `fresh_name` for topics and groups."""
    if given := os.environ.get("RIVERRUN_TEST_KAFKA"):
        yield given
        return

    def from_java() -> Started:
        server = KafkaServer(tmp_path_factory.mktemp("kafka"))
        start(server)
        return server.bootstrap, server.stop

    address, stop = first_that_starts("kafka", start_kafka, from_java)
    yield address
    stop()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real Redis that all tests share: use `fresh_name` in keys, and flush nothing."""
    if given := os.environ.get("RIVERRUN_TEST_REDIS"):
        yield given
        return

    def from_program() -> Started:
        server = RedisServer(tmp_path_factory.mktemp("redis"))
        start(server)
        return server.url, server.stop

    address, stop = first_that_starts("redis", start_redis, from_program)
    yield address
    stop()


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """Three masters that all tests share: whoever moves a slot moves it back."""
    cluster = RedisCluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
    except (NoRedisServer, ServerDidNotStart) as error:
        lacking("redis", str(error))
    yield cluster
    cluster.stop()


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[KafkaServer]:
    """A broker of the test's own, started, to kill and restart."""
    server = KafkaServer(tmp_path / "kafka")
    try:
        server.start()
    except (NoKafka, ServerDidNotStart) as error:
        lacking("kafka", str(error))
    yield server
    server.stop()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A redis-server of the test's own, started, to kill and restart; it keeps nothing over a restart."""
    server = RedisServer(tmp_path / "redis")
    try:
        server.start()
    except (NoRedisServer, ServerDidNotStart) as error:
        lacking("redis", str(error))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of the published transactions and features."""
    given = os.environ.get("RIVERRUN_DATA")
    if not given:
        lacking("data", "RIVERRUN_DATA does not name the folder of the published transactions")
    folder = Path(given).resolve()
    if not list(folder.glob("*.parquet")):
        lacking("data", f"RIVERRUN_DATA is {given}, and {folder} holds no parquet files")
    return folder


@pytest.fixture
def fresh_name() -> Callable[[str], str]:
    """Makes names that no other test uses, for topics, groups and use cases on shared servers."""
    suffix = uuid.uuid4().hex[:10]
    return lambda stem: f"{stem}-{suffix}"


def start(server: KafkaServer | RedisServer) -> None:
    """Start it; it ends with this process at the latest, which may be killed where one of several is."""
    server.start()
    assert server.process is not None
    end_with_us(server.process.pid)


def first_that_starts(capability: str, *ways: Callable[[], Started]) -> Started:
    """Try each way in turn; when none works, every reason counts."""
    reasons: list[str] = []
    for start in ways:
        try:
            return start()
        except (NoDocker, NoKafka, NoRedisServer, ServerDidNotStart) as error:
            reasons.append(str(error))
    lacking(capability, "; ".join(reasons))
