"""The scripts of what breaks: what is said, in which order, and whether it counts as mended."""

from dataclasses import replace

import pytest

from stream.demo.board import Board, Snapshot
from stream.demo.faults import MENDED_WITHIN_S, REDIS_DOWN_S, Play, Stage, break_model, break_redis, poison

EVENTS = 1_000
EMPTY = Board(EVENTS).snapshot(0.0)


class Scene:
    """Plays a script a tenth of a second at a time; `answer` decides who answers meanwhile."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.snapshot = EMPTY
        self.stage = Stage(0.0, EMPTY)
        self.said: list[tuple[float, str]] = []
        self.play: Play | None = None

    def answered(self, source: str, cause: str | None = None) -> None:
        sources, causes = dict(self.snapshot.sources), dict(self.snapshot.causes)
        sources[source] = sources.get(source, 0) + 10
        if cause is not None:
            causes[cause] = causes.get(cause, 0) + 10
        sent = min(EVENTS, self.snapshot.sent + 10)
        self.snapshot = replace(self.snapshot, sources=sources, causes=causes, sent=sent)

    def step(self) -> None:
        assert self.play is not None
        self.now_s += 0.1
        said = self.play.step(self.now_s, self.snapshot)
        if said is not None:
            self.said.append((round(self.now_s, 1), said))

    def words(self) -> list[str]:
        return [text for _, text in self.said]


class Server:
    def __init__(self) -> None:
        self.is_up = True

    def kill(self) -> None:
        self.is_up = False

    def restart(self) -> None:
        self.is_up = True


class Worker:
    """Refuses at once, comes back after some looks, and answers as its files allow."""

    champion = "v1"

    def __init__(self) -> None:
        self.refusals = 0
        self.has_file = True
        self.looks = 3

    def deploy_damaged(self) -> str:
        self.refusals += 1
        return "v1-damaged"

    def refused(self) -> int:
        return self.refusals

    def hide_model(self) -> None:
        self.has_file = False

    def begin_restart(self) -> None:
        pass

    def restarted(self) -> bool:
        self.looks -= 1
        return self.looks <= 0

    def restore_model(self) -> None:
        self.has_file = True


def test_nothing_breaks_before_half_of_the_events_are_sent() -> None:
    scene, server = Scene(), Server()
    scene.play = Play(scene.stage, break_redis(scene.stage, server))
    while scene.snapshot.sent < EVENTS // 2:
        assert server.is_up
        scene.step()
        scene.answered("model")
    scene.step()
    assert not server.is_up


def test_redis_is_down_for_five_seconds_and_mended_when_the_model_answers_again() -> None:
    scene, server = Scene(), Server()
    scene.play = Play(scene.stage, break_redis(scene.stage, server))
    downs = []
    while not scene.play.is_over:
        if server.is_up:
            scene.answered("model")
        else:
            downs.append(scene.now_s)
            scene.answered("rules", "store_down")
        scene.step()
    assert scene.play.is_mended
    assert downs[-1] - downs[0] == pytest.approx(REDIS_DOWN_S, abs=0.3)
    said = scene.words()
    assert said[0] == "redis killed"
    assert said[1] == "rules answer (store_down)"
    assert said[2].startswith("redis is back")
    assert said[3].startswith("model answers again")


def test_redis_that_is_back_is_not_mended_until_the_model_answers() -> None:
    scene, server = Scene(), Server()
    scene.play = Play(scene.stage, break_redis(scene.stage, server))
    while not scene.play.is_over:
        scene.answered("rules", "store_down")
        scene.step()
    assert server.is_up
    assert not scene.play.is_mended
    assert scene.now_s > MENDED_WITHIN_S
    assert "did not answer again" in scene.words()[-1]


def test_a_damaged_bundle_is_refused_and_a_lost_one_brings_the_rules_until_it_is_restored() -> None:
    scene, worker = Scene(), Worker()
    scene.play = Play(scene.stage, break_model(scene.stage, worker))
    while not scene.play.is_over:
        if worker.has_file:
            scene.answered("model")
        else:
            scene.answered("rules", "no_model")
        scene.step()
    assert scene.play.is_mended
    said = scene.words()
    assert said[0].startswith("deployed v1-damaged")
    assert said[1].startswith("v1-damaged refused; champion v1 stays")
    assert said[2] == "model file of v1 removed, score worker restarts"
    assert said[3] == "rules answer (no_model)"
    assert said[4].startswith("v1 restored")
    assert said[5] == "model answers again"


def test_a_worker_that_takes_a_damaged_bundle_is_not_mended() -> None:
    class Careless(Worker):
        def deploy_damaged(self) -> str:
            return "v1-damaged"

    scene = Scene()
    scene.play = Play(scene.stage, break_model(scene.stage, Careless()))
    while not scene.play.is_over:
        scene.answered("model")
        scene.step()
    assert not scene.play.is_mended
    assert scene.words()[-1] == "the worker did not refuse it"


def test_poison_flows_from_the_middle_on_and_is_mended_by_the_first_dead_letter() -> None:
    scene = Scene()
    begun: list[int] = []
    scene.play = Play(scene.stage, poison(scene.stage, lambda: begun.append(scene.snapshot.sent)))
    while not scene.play.is_over:
        scene.answered("model")
        if begun:
            scene.snapshot = replace(scene.snapshot, dead_letters=1)
        scene.step()
    assert scene.play.is_mended
    assert begun == [EVENTS // 2]


def test_a_script_that_is_over_says_nothing_more() -> None:
    scene = Scene()
    scene.snapshot = replace(EMPTY, sent=EVENTS, dead_letters=1)
    scene.play = Play(scene.stage, poison(scene.stage, lambda: None))
    while not scene.play.is_over:
        scene.step()
    said = scene.words()
    for _ in range(10):
        scene.step()
    assert scene.words() == said


def test_snapshots_do_not_change_under_a_script() -> None:
    board = Board(1)
    snapshot: Snapshot = board.snapshot(0.0)
    board.dead_letter()
    assert snapshot.dead_letters == 0
