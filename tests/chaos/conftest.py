"""How much is broken, from the environment; the run says it, so that it can be had again.

RIVERRUN_TEST_KILLS (5) and RIVERRUN_TEST_SEED (0): `make chaos` takes fifty kills, and draws a seed.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.stage.toxiproxy import Toxiproxy
from tests.chaos.usecase import TEXT
from tests.conftest import lacking
from tests.integration.conftest import pytest_runtest_makereport
from tests.integration.stage import Stage
from tools.processes import ServerDidNotStart
from tools.toxiproxy import NoToxiproxy

__all__ = ["pytest_runtest_makereport"]


@dataclass(frozen=True, slots=True)
class Chaos:
    kills: int
    seed: int


CHAOS = Chaos(
    kills=int(os.environ.get("RIVERRUN_TEST_KILLS", "5")),
    seed=int(os.environ.get("RIVERRUN_TEST_SEED", "0")),
)


def pytest_report_header() -> str:
    return f"chaos: RIVERRUN_TEST_KILLS={CHAOS.kills} RIVERRUN_TEST_SEED={CHAOS.seed}"


@pytest.fixture
def chaos() -> Chaos:
    return CHAOS


@pytest.fixture
def calm(kafka: str, redis_url: str, fresh_name: Callable[[str], str], tmp_path: Path) -> Iterator[Stage]:
    """Where nothing happens."""
    yield from _stage("calm", kafka, redis_url, fresh_name, tmp_path)


@pytest.fixture
def wild(kafka: str, redis_url: str, fresh_name: Callable[[str], str], tmp_path: Path) -> Iterator[Stage]:
    """Where everything does."""
    yield from _stage("wild", kafka, redis_url, fresh_name, tmp_path)


@pytest.fixture(scope="module")
def toxiproxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toxiproxy]:
    made = Toxiproxy(tmp_path_factory.mktemp("toxiproxy"))
    try:
        made.start()
    except (NoToxiproxy, ServerDidNotStart) as error:
        lacking("toxiproxy", str(error))
    yield made
    made.stop()


def _stage(
    name: str, kafka: str, redis_url: str, fresh_name: Callable[[str], str], tmp_path: Path
) -> Iterator[Stage]:
    directory = tmp_path / name
    directory.mkdir()
    made = Stage(fresh_name(name).replace("-", "_"), kafka, redis_url, directory, text=TEXT)
    yield made
    made.close()
