"""Benches of one, two and four partitions, and two versions to deploy."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.bundle import Bundle
from tests.stream.engine.bench import Bench, bench
from tests.stream.visits import trained


@pytest.fixture
def one() -> Iterator[Bench]:
    with bench() as made:
        yield made


@pytest.fixture
def two() -> Iterator[Bench]:
    with bench(partitions=2) as made:
        yield made


@pytest.fixture
def four() -> Iterator[Bench]:
    with bench(partitions=4) as made:
        yield made


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle]:
    models = tmp_path_factory.mktemp("models")
    return trained(models, 0), trained(models, 1)


@pytest.fixture
def models(bundles: tuple[Bundle, Bundle], tmp_path: Path) -> Path:
    """A directory of two bundles of which nothing is deployed."""
    for bundle in bundles:
        (tmp_path / bundle.version).mkdir()
        for file in bundle.path.iterdir():
            os.link(file, tmp_path / bundle.version / file.name)
    return tmp_path
