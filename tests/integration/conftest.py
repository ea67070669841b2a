"""The stage that integration tests play on; when one fails, the logs of its workers are shown."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.stage import Stage
from tools.redis_server import RedisServer


@pytest.fixture
def stage(kafka: str, redis_url: str, fresh_name: Callable[[str], str], tmp_path: Path) -> Iterator[Stage]:
    """On the servers that all tests share."""
    made = Stage(fresh_name("visits").replace("-", "_"), kafka, redis_url, tmp_path)
    yield made
    made.close()


@pytest.fixture
def durable_redis(own_redis: RedisServer) -> RedisServer:
    """A Redis of the test's own that comes back with its data."""
    own_redis.stop()
    own_redis.options |= {"appendonly": "yes", "appendfsync": "always"}
    own_redis.start()
    return own_redis


@pytest.fixture
def frail_stage(
    kafka: str, durable_redis: RedisServer, fresh_name: Callable[[str], str], tmp_path: Path
) -> Iterator[Stage]:
    """On the shared Kafka and a Redis of its own."""
    made = Stage(fresh_name("visits").replace("-", "_"), kafka, durable_redis.url, tmp_path)
    yield made
    made.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report: pytest.TestReport = yield  # type: ignore[assignment]  # what a hook wrapper is sent
    if report.failed and isinstance(item, pytest.Function):
        for stage in (value for value in item.funcargs.values() if isinstance(value, Stage)):
            report.sections += [(f"log of {name}", text) for name, text in stage.logs()]
    return report  # type: ignore[return-value]  # a wrapper's result is the hook's
