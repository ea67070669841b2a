"""Benches of one, two and four partitions."""

from collections.abc import Iterator

import pytest

from tests.stream.engine.bench import Bench, bench


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
