"""Score workers that follow what is deployed, and begin with it."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from features.definition.model import Definition
from features.stores.deadline import DeadlineReader
from models.bundle import MODEL, Bundle
from models.compiled.cache import Cache
from models.compiled.identity import identity_of
from models.compiled.text import parse
from models.deployment import Deployment, write_deployment
from stream.config import Settings
from stream.engine import deployments
from stream.engine.filled import RowsReader
from stream.engine.lacking import Lacking
from stream.engine.serving import Loaded, load_deployed
from stream.errors import ConfigurationError, Retryable
from stream.pipeline.enrich import FreshnessPolicy
from stream.settings.sections import Model
from stream.workers import deployed
from stream.workers.deployed import Deployed
from tests.stream.engine.bench import LABELS, VISITS, Bench, bench
from tests.stream.engine.contents import EVENTS
from tests.stream.engine.versions import (
    ANOTHER_FIELD,
    ANOTHER_USE_CASE,
    LONGER,
    LONGER_WITH_FIELD,
    break_bundle,
    of,
)
from tests.stream.engine.workers import Scoring
from tests.stream.visits import DEFINITION

WAIT_S = 30.0
LIGHTGBM = Model()


@pytest.fixture
def one() -> Iterator[Bench]:
    with bench(DEFINITION) as made:
        yield made


def rows_are_unknown(*_: Definition | None) -> Lacking:
    raise Retryable("the store does not answer")


class Following:
    """A score worker that follows a directory."""

    def __init__(self, made: Bench, models: Path) -> None:
        self.bench = made
        self.models = models
        limits = FreshnessPolicy(limit=10_000, heartbeat_ms=15_000)
        self.rows = RowsReader(
            EVENTS,
            LABELS,
            lambda topic: len(made.broker.logs(topic)),
            DeadlineReader(made.store.connect, 60_000),
            limits,
            made.clock,
        )
        self.worker: Scoring = made.scorer()
        self.begin()

    def begin(self, model: Model = LIGHTGBM) -> None:
        """As a process does that starts."""
        self.deployed = Deployed(Settings(models=self.models, model=model), DEFINITION, self.rows.lacking)
        self.worker.loop.serve(self.deployed.first())
        self.watcher = self.deployed.follow(self.models, self.worker.loop, self.worker.metrics)
        self.follows = False

    def refusals(self) -> float:
        return self.worker.value("riverrun_bundle_refusals_total")

    def compiled(self, version: str) -> float:
        return self.worker.value("riverrun_model_compiled", version=version)

    def waiting(self, version: str) -> bool:
        return self.worker.value("riverrun_waiting_for_rows", version=version) == 1

    def answering(self) -> str:
        """The version that answers the next event."""
        offset = self.bench.log_end()
        self.bench.produce((1_000_000 + offset, "ann", "front", 1.0))
        self.worker.settle()
        prediction = self.bench.predictions()[-1]
        assert prediction["source"] == "model"
        return str(prediction["model"]["version"])

    def until(self, condition: Callable[[], bool]) -> None:
        if not self.follows:
            self.follows = True
            self.watcher.start()
        tick = threading.Event()
        for _ in range(int(WAIT_S / 0.01)):
            if condition():
                break
            tick.wait(0.01)
        assert condition()

    def looks_again(self) -> None:
        """Until the watcher has looked at everything as it is now."""
        looked = threading.Semaphore(0)
        lacking = self.deployed.look_at_rows

        def look(*definitions: Any) -> Lacking:
            looked.release()
            return lacking(*definitions)

        self.deployed.look_at_rows = look
        for _ in range(2):  # the first may have been on its way
            assert looked.acquire(timeout=WAIT_S)

    def close(self) -> None:
        self.watcher.stop()
        self.deployed.close()
        self.rows.close()


@pytest.fixture
def following(one: Bench, models: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Following]:
    monkeypatch.setattr(deployments, "INTERVAL_S", 0.01)
    one.materializer().settle()
    write_deployment(models, Deployment("v0", None))
    made = Following(one, models)
    yield made
    made.close()


@pytest.fixture
def longer(one: Bench, bundles: tuple[Bundle, Bundle], monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """From now on v1 needs other rows, which this bench's materializers fill."""

    def longer(bundle: Bundle | None) -> Bundle | None:
        return of(bundle, LONGER) if bundle and bundle.version == "v1" else bundle

    def load(models: Path, deployment: Deployment) -> Loaded:
        loaded = load_deployed(models, deployment)
        return Loaded(longer(loaded.champion), longer(loaded.previous), loaded.refused)

    for module in (deployments, deployed):
        monkeypatch.setattr(module, "load_deployed", load)
    other = Bench(LONGER, one.partitions, one.clock)
    other.broker, other.store = one.broker, one.store
    yield other
    other.close()


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


def test_a_champion_of_other_events_is_refused_by_a_running_worker(
    following: Following, monkeypatch: pytest.MonkeyPatch, bundles: tuple[Bundle, Bundle]
) -> None:
    other = Loaded(of(bundles[1], ANOTHER_FIELD), None, ())
    monkeypatch.setattr(deployments, "load_deployed", lambda *_: other)
    write_deployment(following.models, Deployment("v1", None))
    following.until(lambda: following.refusals() == 1)
    assert following.answering() == "v0"


def test_a_champion_of_other_rows_takes_over_when_they_are_whole(following: Following, longer: Bench) -> None:
    write_deployment(following.models, Deployment("v1", "v0"))
    following.until(lambda: following.waiting("v1"))
    assert following.answering() == "v0"
    filler = longer.materializer(group="longer")
    longer.store.rejects = True
    following.looks_again()
    longer.store.rejects = False
    assert following.waiting("v1")
    filler.settle()
    following.until(lambda: not following.waiting("v1"))
    assert following.answering() == "v1"
    assert following.refusals() == 0


def test_going_back_takes_over_as_soon_as_the_old_rows_are_whole(following: Following, longer: Bench) -> None:
    longer.materializer(group="longer").settle()
    write_deployment(following.models, Deployment("v1", "v0"))
    following.until(lambda: following.answering() == "v1")
    write_deployment(following.models, Deployment("v0", "v1"))
    following.until(lambda: following.answering() == "v0")
    assert following.bench.predicted() == following.bench.events()


def test_a_newer_deployment_takes_the_place_of_one_that_waits(following: Following, longer: Bench) -> None:
    write_deployment(following.models, Deployment("v1", "v0"))
    following.until(lambda: following.waiting("v1"))
    write_deployment(following.models, Deployment("v0", "v1"))
    following.until(lambda: not following.waiting("v1"))
    longer.materializer(group="longer").settle()
    assert following.answering() == "v0"


def test_what_waits_is_not_replaced_by_one_that_reads_its_rows_from_other_fields(
    following: Following, longer: Bench, monkeypatch: pytest.MonkeyPatch, bundles: tuple[Bundle, Bundle]
) -> None:
    write_deployment(following.models, Deployment("v1", "v0"))
    following.until(lambda: following.waiting("v1"))
    other = Loaded(of(bundles[1], LONGER_WITH_FIELD), None, ())
    assert LONGER_WITH_FIELD.fingerprints.state == LONGER.fingerprints.state
    monkeypatch.setattr(deployments, "load_deployed", lambda *_: other)
    write_deployment(following.models, Deployment("v1", None))
    following.until(lambda: following.refusals() == 1)
    longer.materializer(group="longer").settle()
    following.until(lambda: following.answering() == "v1")


def test_a_worker_that_starts_while_the_champions_rows_are_filled_serves_the_previous_one(
    following: Following, longer: Bench
) -> None:
    write_deployment(following.models, Deployment("v1", "v0"))
    following.begin()
    assert following.answering() == "v0"
    following.until(lambda: following.waiting("v1"))
    longer.materializer(group="longer").settle()
    following.until(lambda: following.answering() == "v1")
    following.watcher.stop()
    following.begin()
    assert following.answering() == "v1"


def test_a_worker_that_cannot_learn_of_rows_starts_with_the_champion(models: Path, longer: Bench) -> None:
    write_deployment(models, Deployment("v1", "v0"))
    first = Deployed(Settings(models=models), DEFINITION, rows_are_unknown).first()
    assert first.answerers.champion is not None
    assert first.answerers.champion.version == "v1"


def test_without_a_usable_bundle_the_rules_answer_with_the_files_definition(
    models: Path, tmp_path: Path
) -> None:
    assert Deployed(Settings(models=models), VISITS, rows_are_unknown).first().definition is VISITS
    write_deployment(models, Deployment("v9", None))
    assert Deployed(Settings(models=models), VISITS, rows_are_unknown).first().answerers.champion is None
    assert Deployed(Settings(), VISITS, rows_are_unknown).first().answerers.champion is None


def test_a_deployment_of_another_use_case_is_a_mistake_in_the_settings(models: Path) -> None:
    write_deployment(models, Deployment("v0", None))
    with pytest.raises(ConfigurationError, match=r"is of use case visits, the file of calls"):
        Deployed(Settings(models=models), ANOTHER_USE_CASE, rows_are_unknown).first()


def test_a_champion_is_exchanged_for_its_compiled_code_between_two_batches(
    following: Following, bundles: tuple[Bundle, Bundle], tmp_path: Path
) -> None:
    pytest.importorskip("llvmlite", reason="the extra `compiled` is not installed")
    from models.compiled.code import machine_code  # noqa: PLC0415  it needs the extra

    cache = Cache(tmp_path / "cache")

    def keep(bundle: Bundle) -> None:
        cache.write(identity_of(bundle.digest), machine_code(parse((bundle.path / MODEL).read_text())))

    following.watcher.stop()
    following.begin(Model(compiled="cached", cache=cache.directory))
    assert following.answering() == "v0"
    assert following.compiled("v0") == 0
    keep(bundles[0])
    following.until(lambda: following.answering() == "v0" and following.compiled("v0") == 1)
    assert following.bench.predicted() == following.bench.events()
    keep(bundles[1])
    write_deployment(following.models, Deployment("v1", "v0"))
    following.until(lambda: following.answering() == "v1")
    assert following.compiled("v1") == 1
    assert following.compiled("v0") == 0
