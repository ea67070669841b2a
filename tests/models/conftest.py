"""Bundles of the three use cases, trained once; tests that damage one work on a copy."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from models.training.train import TrainResult, train_bundle
from tests.models.usecases import ALL, UseCase

CREATED_MS = 1_534_204_800_000


@pytest.fixture(scope="session")
def cases() -> dict[str, UseCase]:
    return {name: make() for name, make in ALL.items()}


@pytest.fixture(scope="session")
def trained(cases: dict[str, UseCase], tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrainResult]:
    out = tmp_path_factory.mktemp("models")
    return {
        name: train_bundle(
            case.definition, case.history, case.start, case.end, out / name, created_ms=CREATED_MS
        )
        for name, case in cases.items()
    }


@pytest.fixture
def copied(trained: dict[str, TrainResult], tmp_path: Path) -> Callable[[str], Path]:
    def copy(name: str) -> Path:
        return Path(shutil.copytree(trained[name].path, tmp_path / "copy"))

    return copy
