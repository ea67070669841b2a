"""What a worker serves with, and what it refuses to serve with next."""

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from features.definition import parse_definition
from features.definition.model import Definition
from features.matrix import FeaturePlan
from models.bundle import Bundle
from models.deployment import DEPLOYMENT, Deployment, write_deployment
from stream.config import Settings
from stream.engine import deployments
from stream.engine.deployments import Change, DeploymentWatcher, identity, read_and_load
from stream.engine.serving import Loaded, can_follow
from stream.errors import ConfigurationError
from stream.pipeline.causes import Source
from stream.workers.deployed import Deployed
from tests.stream.engine.bench import VISITS, Bench, bench
from tests.stream.engine.workers import Scoring
from tests.stream.visits import DEFINITION, TEXT, trained

WAIT_S = 30.0


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


@pytest.fixture
def one() -> Iterator[Bench]:
    with bench(DEFINITION) as made:
        yield made


def changed(old: str, new: str, name: str = "visits") -> Definition:
    assert old in TEXT
    return parse_definition(TEXT.replace(old, new).replace("name: visits", f"name: {name}"), "visits.yaml")


def of(bundle: Bundle, definition: Definition) -> Bundle:
    return replace(bundle, definition=definition, plan=FeaturePlan(definition))


def break_bundle(path: Path) -> None:
    model = path / "model.txt"
    data = model.read_bytes()
    model.unlink()  # not the bytes that other directories link to
    model.write_bytes(data + b"\n")


LONGER = changed("spans: [1000ms], aggregates", "spans: [2000ms], aggregates")
ANOTHER_FIELD = changed("    weight: float64\n", "    weight: float64\n    height: float64\n")
ANOTHER_TYPE = changed("weight: float64", "weight: int64")
ANOTHER_FEATURE = changed(
    "  - fields: [weight]\n", '  - fields: [weight]\n  - {name: twice, sql: "weight * 2"}\n'
)
ANOTHER_ZONE = changed("  fields:\n    visit", "  timezone: Europe/Berlin\n  fields:\n    visit")
ANOTHER_RULE = changed("weight > 5", "weight > 6")
REGRESSION = changed("task: binary", "task: regression")
ANOTHER_LABEL = changed("delay: 1d}", "delay: 2d}")
ANOTHER_USE_CASE = changed("weight > 5", "weight > 5", name="calls")


@pytest.mark.parametrize("other", [DEFINITION, ANOTHER_RULE, ANOTHER_FEATURE])
def test_a_champion_over_the_same_rows_can_follow(other: Definition) -> None:
    assert can_follow(other, DEFINITION)


@pytest.mark.parametrize(
    "other",
    [LONGER, ANOTHER_TYPE, ANOTHER_FIELD, ANOTHER_ZONE, REGRESSION, ANOTHER_LABEL, ANOTHER_USE_CASE],
)
def test_a_champion_of_other_events_other_rows_or_another_answer_cannot_follow(other: Definition) -> None:
    assert not can_follow(other, DEFINITION)
    assert not can_follow(DEFINITION, other)


def test_a_previous_champion_that_cannot_stand_in_is_left_out(
    one: Bench, bundles: tuple[Bundle, Bundle]
) -> None:
    champion, previous = bundles
    assert one.serving(Loaded(champion, previous, ())).answerers.previous is previous
    serving = one.serving(Loaded(champion, of(previous, LONGER), ()))
    assert serving.answerers.champion is champion
    assert serving.answerers.previous is None


def test_without_a_champion_the_previous_ones_definition_is_served_else_the_files(
    one: Bench, bundles: tuple[Bundle, Bundle]
) -> None:
    previous = of(bundles[1], ANOTHER_RULE)
    assert one.serving(Loaded(None, previous, ())).definition is ANOTHER_RULE
    assert one.serving(Loaded(None, None, ())).definition is DEFINITION


def test_a_models_stamp_says_whose_answer_it_is(one: Bench, bundles: tuple[Bundle, Bundle]) -> None:
    champion, previous = bundles
    stamps = one.serving(Loaded(champion, previous, ())).stamps
    assert stamps[Source.MODEL].version == champion.version
    assert stamps[Source.PREVIOUS].digest == previous.digest
    assert (stamps[Source.RULES].version, stamps[Source.RULES].digest) == ("rules", None)


# --------------------------------------------------------------------------------- what is deployed


def test_a_bundle_that_is_refused_is_left_out_and_named(models: Path, bundles: tuple[Bundle, Bundle]) -> None:
    champion, previous = (bundle.version for bundle in bundles)
    break_bundle(models / champion)
    write_deployment(models, Deployment(champion, previous))
    change = read_and_load(models)
    assert change.loaded is not None
    assert change.loaded.champion is None
    assert change.loaded.previous is not None
    (problem,) = change.problems
    assert str(models / champion) in problem


def test_a_deployment_that_cannot_be_read_is_a_problem_and_no_change(models: Path) -> None:
    (models / DEPLOYMENT).write_text("{")
    change = read_and_load(models)
    assert change.loaded is None
    assert "is not JSON" in change.problems[0]


def test_every_replacement_changes_the_identity_even_with_the_same_content(models: Path) -> None:
    assert identity(models) is None
    for _ in range(3):
        before = identity(models)
        write_deployment(models, Deployment("v0", None))
        assert identity(models) != before
    assert identity(models) == identity(models)


def test_the_watcher_brings_each_change_once(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployments, "INTERVAL_S", 0.01)
    write_deployment(models, Deployment("v0", None))
    changes: list[Change] = []
    came = threading.Semaphore(0)

    def on_change(change: Change) -> None:
        changes.append(change)
        came.release()

    watcher = DeploymentWatcher(models, None, on_change)
    watcher.start()
    assert came.acquire(timeout=WAIT_S), "what was deployed since `seen` is a change"
    write_deployment(models, Deployment("v1", "v0"))
    assert came.acquire(timeout=WAIT_S)
    watcher.stop()
    versions = [c.loaded.champion.version for c in changes if c.loaded and c.loaded.champion]
    assert versions == ["v0", "v1"]


# ------------------------------------------------------------------------------- while a worker serves


class Following:
    """A score worker that follows a directory."""

    def __init__(self, made: Bench, models: Path) -> None:
        self.bench = made
        self.models = models
        self.deployed = Deployed(Settings(models=models), DEFINITION)
        self.first = self.deployed.first()
        self.worker: Scoring = made.scorer(serving=self.first)
        self.served: list[str] = []

    def refusals(self) -> float:
        return self.worker.value("riverrun_bundle_refusals_total")

    def answering(self) -> str:
        """The version that answers the next event."""
        offset = self.bench.log_end()
        self.bench.produce((1_000_000 + offset, "ann", "front", 1.0))
        self.worker.settle()
        return str(self.bench.predictions()[-1]["model"]["version"])

    def until(self, condition: Callable[[], bool]) -> None:
        metrics = self.worker.metrics
        watcher = self.deployed.follow(self.models, self.first, self.worker.loop, metrics)
        tick = threading.Event()
        watcher.start()
        for _ in range(int(WAIT_S / 0.01)):
            if condition():
                break
            tick.wait(0.01)
        watcher.stop()
        assert condition()


@pytest.fixture
def following(one: Bench, models: Path, monkeypatch: pytest.MonkeyPatch) -> Following:
    monkeypatch.setattr(deployments, "INTERVAL_S", 0.01)
    one.materializer().settle()
    write_deployment(models, Deployment("v0", None))
    return Following(one, models)


def test_a_deployment_between_start_and_following_is_not_missed(following: Following) -> None:
    assert following.answering() == "v0"
    write_deployment(following.models, Deployment("v1", "v0"))
    following.until(lambda: following.answering() == "v1")


def test_a_champion_that_is_refused_leaves_what_is_served(following: Following) -> None:
    break_bundle(following.models / "v1")
    write_deployment(following.models, Deployment("v1", "v0"))
    following.until(lambda: following.refusals() == 1)
    assert following.answering() == "v0"


def test_a_deployment_that_names_nothing_that_is_there_leaves_what_is_served(following: Following) -> None:
    write_deployment(following.models, Deployment("v9", None))
    following.until(lambda: following.refusals() == 1)
    assert following.answering() == "v0"


def test_a_champion_of_other_rows_is_refused_by_a_running_worker(
    following: Following, monkeypatch: pytest.MonkeyPatch, bundles: tuple[Bundle, Bundle]
) -> None:
    other = Loaded(of(bundles[1], LONGER), None, ())
    monkeypatch.setattr(deployments, "load_deployed", lambda *_: other)
    write_deployment(following.models, Deployment("v1", None))
    following.until(lambda: following.refusals() == 1)
    assert following.answering() == "v0"


def test_without_a_usable_bundle_the_rules_answer_with_the_files_definition(
    models: Path, tmp_path: Path
) -> None:
    assert Deployed(Settings(models=models), VISITS).first().definition is VISITS
    write_deployment(models, Deployment("v9", None))
    assert Deployed(Settings(models=models), VISITS).first().answerers.champion is None
    assert Deployed(Settings(), VISITS).first().answerers.champion is None


def test_a_deployment_of_another_use_case_is_a_mistake_in_the_settings(models: Path) -> None:
    write_deployment(models, Deployment("v0", None))
    with pytest.raises(ConfigurationError, match=r"is of use case visits, the file of calls"):
        Deployed(Settings(models=models), ANOTHER_USE_CASE).first()
