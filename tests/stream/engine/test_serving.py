"""What a worker serves with, and what it refuses to serve with next."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from features.definition.model import Definition
from models.bundle import Bundle
from models.deployment import DEPLOYMENT, Deployment, write_deployment
from stream.engine import deployments
from stream.engine.deployments import Change, DeploymentWatcher, identity, read_and_load
from stream.engine.serving import Loaded, begin_with, can_follow, shares_rows
from stream.pipeline.causes import Source
from tests.stream.engine.bench import Bench, bench
from tests.stream.engine.versions import (
    ANOTHER_FEATURE,
    ANOTHER_FIELD,
    ANOTHER_ID,
    ANOTHER_LABEL,
    ANOTHER_RULE,
    ANOTHER_TYPE,
    ANOTHER_USE_CASE,
    ANOTHER_ZONE,
    LONGER,
    LONGER_WITH_FIELD,
    REGRESSION,
    break_bundle,
    of,
)
from tests.stream.visits import DEFINITION

WAIT_S = 30.0


@pytest.fixture
def one() -> Iterator[Bench]:
    with bench(DEFINITION) as made:
        yield made


@pytest.mark.parametrize("other", [DEFINITION, ANOTHER_RULE, ANOTHER_FEATURE])
def test_a_champion_over_the_same_rows_can_follow_at_once(other: Definition) -> None:
    assert can_follow(other, DEFINITION)
    assert shares_rows(other, DEFINITION)


@pytest.mark.parametrize("other", [LONGER, ANOTHER_TYPE, LONGER_WITH_FIELD])
def test_a_champion_of_other_rows_can_follow_and_shares_none(other: Definition) -> None:
    assert can_follow(other, DEFINITION)
    assert not shares_rows(other, DEFINITION)


@pytest.mark.parametrize(
    "other", [ANOTHER_FIELD, ANOTHER_ZONE, ANOTHER_ID, REGRESSION, ANOTHER_LABEL, ANOTHER_USE_CASE]
)
def test_a_champion_of_other_events_or_another_answer_cannot_follow(other: Definition) -> None:
    assert not can_follow(other, DEFINITION)
    assert not can_follow(DEFINITION, other)
    assert not shares_rows(other, DEFINITION)


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


# --------------------------------------------------------------------------------- what to begin with


@pytest.mark.parametrize(
    ("whole", "begins", "waits"),
    [
        ({"new", "old"}, ("new", "old"), None),
        ({"new"}, ("new", "old"), None),
        ({"old"}, ("old", None), ("new", "old")),
        (set(), ("new", "old"), None),
    ],
)
def test_the_previous_champion_goes_on_while_only_its_rows_are_whole(
    bundles: tuple[Bundle, Bundle], whole: set[str], begins: object, waits: object
) -> None:
    old, new = bundles[0], of(bundles[1], LONGER)
    names = {id(old): "old", id(new): "new", id(None): None}

    def is_whole(definition: Definition, replaced: Definition) -> bool:
        assert replaced is old.definition
        return ("new" if definition is LONGER else "old") in whole

    chosen, later = begin_with(Loaded(new, old, ()), is_whole)
    assert (names[id(chosen.champion)], names[id(chosen.previous)]) == begins
    assert (later and (names[id(later.champion)], names[id(later.previous)])) == waits


def test_where_only_one_kind_of_rows_is_needed_nobody_asks_for_them(bundles: tuple[Bundle, Bundle]) -> None:
    def never(*_: Definition) -> bool:
        raise AssertionError

    champion, previous = bundles
    for loaded in (
        Loaded(champion, previous, ()),
        Loaded(champion, of(previous, ANOTHER_RULE), ()),
        Loaded(of(champion, LONGER), None, ()),
        Loaded(None, previous, ()),
        Loaded(of(champion, LONGER), of(previous, REGRESSION), ()),
        Loaded(None, None, ()),
    ):
        assert begin_with(loaded, never) == (loaded, None)
