"""What breaks midway, and how it is mended: one script for each fault.

A script is a generator. It does what is due, yields what there is to say (or None, to be called again a
little later), and returns whether everything worked again in the end. Time and counts come from the
`Stage`, which the caller keeps up to date.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from stream.demo.board import Snapshot

REDIS_DOWN_S = 5.0
MENDED_WITHIN_S = 60.0
_SHOWN_S = 2.0
"""How long a state lasts at least, so that it can be seen."""

Script: TypeAlias = Generator[str | None, None, bool]
_Wait: TypeAlias = Generator[None, None, bool]


@dataclass(slots=True)
class Stage:
    """What a script sees."""

    now_s: float
    snapshot: Snapshot

    @property
    def is_midway(self) -> bool:
        return self.snapshot.sent * 2 >= self.snapshot.events


class Killable(Protocol):
    """A server that can be killed and brought back with what it had on disk."""

    def kill(self) -> None: ...

    def restart(self) -> None: ...


class ScoreWorker(Protocol):
    """The worker that scores, and the deployment it follows."""

    champion: str

    def deploy_damaged(self) -> str:
        """Deploy a copy of the champion with a damaged model file; returns its version."""
        ...

    def refused(self) -> int:
        """How many bundles the worker has refused so far."""
        ...

    def hide_model(self) -> None:
        """Take the champion's model file away."""
        ...

    def begin_restart(self) -> None:
        """Ask the worker to drain and end."""
        ...

    def restarted(self) -> bool:
        """Bring the restart on its way; whether the new process is ready."""
        ...

    def restore_model(self) -> None:
        """Put the champion's file back and deploy it again."""
        ...


def break_redis(stage: Stage, redis: Killable) -> Script:
    """Kill Redis, and start it again from its append-only file."""
    yield from _until(stage, lambda: stage.is_midway, None)
    before = stage.snapshot
    redis.kill()
    killed_s = stage.now_s
    yield "redis killed"
    yield from _until(stage, lambda: _grew(before, stage, "rules") > 0, REDIS_DOWN_S)
    if _grew(before, stage, "rules"):
        yield f"rules answer ({_causes(before, stage)})"
    yield from _until(stage, lambda: stage.now_s - killed_s >= REDIS_DOWN_S, None)
    redis.restart()
    back = stage.snapshot
    yield f"redis is back with its append-only file; rules gave {_grew(before, stage, 'rules'):,} answers"
    if not (yield from _until(stage, lambda: _grew(back, stage, "model") > 0, MENDED_WITHIN_S)):
        yield f"the model did not answer again within {MENDED_WITHIN_S:g} s"
        return False
    yield f"model answers again; rules gave {_grew(before, stage, 'rules'):,} answers in all"
    return True


def break_model(stage: Stage, worker: ScoreWorker) -> Script:
    """Deploy a damaged bundle, then lose the champion's file over a restart, then mend both."""
    yield from _until(stage, lambda: stage.is_midway, None)
    before, refused = stage.snapshot, worker.refused()
    damaged = worker.deploy_damaged()
    yield f"deployed {damaged}, whose model file is damaged"
    if not (yield from _until(stage, lambda: worker.refused() > refused, MENDED_WITHIN_S)):
        yield "the worker did not refuse it"
        return False
    yield from _for(stage, _SHOWN_S)
    answers = _grew(before, stage, "model")
    yield f"{damaged} refused; champion {worker.champion} stays ({answers:,} answers since)"
    worker.hide_model()
    worker.begin_restart()
    yield f"model file of {worker.champion} removed, score worker restarts"
    if not (yield from _until(stage, worker.restarted, MENDED_WITHIN_S)):
        yield "the worker did not come back"
        return False
    before = stage.snapshot
    if not (yield from _until(stage, lambda: _grew(before, stage, "rules") > 0, MENDED_WITHIN_S)):
        yield "the rules did not take over"
        return False
    yield f"rules answer ({_causes(before, stage)})"
    yield from _for(stage, _SHOWN_S)
    worker.restore_model()
    back = stage.snapshot
    yield f"{worker.champion} restored and deployed; rules gave {_grew(before, stage, 'rules'):,} answers"
    if not (yield from _until(stage, lambda: _grew(back, stage, "model") > 0, MENDED_WITHIN_S)):
        yield f"the model did not answer again within {MENDED_WITHIN_S:g} s"
        return False
    yield "model answers again"
    return True


def poison(stage: Stage, begin: Callable[[], None]) -> Script:
    """Mix in records that nobody can read, until the end."""
    yield from _until(stage, lambda: stage.is_midway, None)
    begin()
    yield "one record in a hundred is poison from now on"
    before = stage.snapshot
    if not (yield from _until(stage, lambda: stage.snapshot.dead_letters > 0, MENDED_WITHIN_S)):
        yield "no dead letter came"
        return False
    yield from _for(stage, _SHOWN_S)
    letters, answers = stage.snapshot.dead_letters, _grew(before, stage, "model")
    yield f"{letters:,} dead letters so far; the model answers on ({answers:,} answers meanwhile)"
    return True


class Play:
    """A script under way."""

    def __init__(self, stage: Stage, script: Script) -> None:
        self._stage, self._script = stage, script
        self.is_over = False
        self.is_mended = False

    def step(self, now_s: float, snapshot: Snapshot) -> str | None:
        """Go on until the script waits or speaks; what it says."""
        self._stage.now_s, self._stage.snapshot = now_s, snapshot
        if self.is_over:
            return None
        try:
            return next(self._script)
        except StopIteration as end:
            self.is_over, self.is_mended = True, bool(end.value)
            return None


def _until(stage: Stage, condition: Callable[[], bool], within_s: float | None) -> _Wait:
    start_s = stage.now_s
    while not condition():
        if within_s is not None and stage.now_s - start_s > within_s:
            return False
        yield None
    return True


def _for(stage: Stage, seconds: float) -> _Wait:
    end_s = stage.now_s + seconds
    return (yield from _until(stage, lambda: stage.now_s >= end_s, None))


def _grew(before: Snapshot, stage: Stage, source: str) -> int:
    return stage.snapshot.sources.get(source, 0) - before.sources.get(source, 0)


def _causes(before: Snapshot, stage: Stage) -> str:
    """The causes stamped since, the most frequent first."""
    now: Mapping[str, int] = stage.snapshot.causes
    grown = {cause: count - before.causes.get(cause, 0) for cause, count in now.items()}
    return (
        ", ".join(sorted((c for c, n in grown.items() if n > 0), key=lambda c: -grown[c]))
        or "no cause stamped"
    )
