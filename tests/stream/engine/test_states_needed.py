"""Which states a materialize worker keeps, by what is deployed."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from features.definition.model import Definition
from models.bundle import Bundle
from models.deployment import DEPLOYMENT, Deployment, write_deployment
from stream.config import Settings
from stream.engine import deployments
from stream.engine.serving import Loaded
from stream.engine.states import needed
from stream.workers.states import DeployedStates
from tests.stream.engine.versions import ANOTHER_TYPE, ANOTHER_USE_CASE, LONGER, break_bundle, of
from tests.stream.visits import DEFINITION

WAIT_S = 30.0


def test_the_states_of_champion_and_previous_are_needed_else_the_files(
    bundles: tuple[Bundle, Bundle],
) -> None:
    champion, previous = of(bundles[0], LONGER), bundles[1]
    typed = of(previous, ANOTHER_TYPE)
    assert needed(Loaded(champion, previous, ()), (), typed.definition) == [LONGER, DEFINITION]
    assert needed(Loaded(champion, champion, ()), (), DEFINITION) == [LONGER]
    assert needed(Loaded(None, champion, ()), (), DEFINITION) == [LONGER]
    assert needed(Loaded(None, None, ()), (), DEFINITION) == [DEFINITION]
    assert needed(Loaded(of(champion, ANOTHER_USE_CASE), None, ()), (), DEFINITION) == [DEFINITION]


def test_what_was_needed_stays_so_when_the_champion_is_refused(bundles: tuple[Bundle, Bundle]) -> None:
    previous = of(bundles[1], LONGER)
    assert needed(Loaded(None, previous, ()), [DEFINITION], DEFINITION) == [DEFINITION, LONGER]
    assert needed(Loaded(None, None, ()), [LONGER], DEFINITION) == [LONGER]


def test_without_a_usable_deployment_the_files_state_is_needed(models: Path) -> None:
    assert DeployedStates(Settings(), LONGER).first() == (LONGER,)
    assert DeployedStates(Settings(models=models), LONGER).first() == (LONGER,)
    (models / DEPLOYMENT).write_text("{")
    assert DeployedStates(Settings(models=models), LONGER).first() == (LONGER,)
    write_deployment(models, Deployment("v0", None))
    assert [d.fingerprints for d in DeployedStates(Settings(models=models), LONGER).first()] == [
        DEFINITION.fingerprints
    ]
    assert DeployedStates(Settings(models=models), ANOTHER_USE_CASE).first() == (ANOTHER_USE_CASE,)


def test_what_is_deployed_later_is_told(
    models: Path, bundles: tuple[Bundle, Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployments, "INTERVAL_S", 0.01)
    deployed = DeployedStates(Settings(models=models), LONGER)
    deployed.first()
    told: list[Sequence[Definition]] = []
    came = threading.Semaphore(0)

    def want(definitions: Sequence[Definition]) -> None:
        told.append(definitions)
        came.release()

    write_deployment(models, Deployment("v0", None))
    watcher = deployed.follow(want)
    assert watcher is not None
    watcher.start()
    assert came.acquire(timeout=WAIT_S), "what was deployed since it began"
    break_bundle(models / "v1")
    write_deployment(models, Deployment("v1", None))
    assert came.acquire(timeout=WAIT_S)
    (models / DEPLOYMENT).write_text("{")
    assert came.acquire(timeout=WAIT_S)
    watcher.stop()
    states = [[definition.fingerprints.state for definition in definitions] for definitions in told]
    assert states == [[DEFINITION.fingerprints.state]] * 3, "refused, it leaves what there is"
    assert DeployedStates(Settings(), LONGER).follow(want) is None
