"""Workers under a supervisor that starts again whatever ends, as Kubernetes would, and notes every end."""

import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.processes import RIVERRUN, await_that, stop
from tools.processes import spawn
from tools.reaper import end_with_us

_LOOK_EVERY_S = 0.05
_BACKOFF_S = (0.0, 0.5, 1.0, 2.0)
_HEALTHY_AFTER_S = 10.0
"""A worker that lived for so long is started again at once."""
_ENDS_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Ended:
    """A process ended."""

    worker: str
    at_ms: int
    code: int
    """As a shell has it: 137 for SIGKILL."""
    asked: bool
    """Whether it was told to."""


@dataclass(slots=True)
class _Slot:
    """A pod: one process after the other, under one name."""

    name: str
    arguments: list[str]
    log: Path
    wanted: bool = True
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    restarts: int = 0
    not_before_s: float = 0.0
    asked: bool = False


class Fleet:
    """The workers of one kind and mode, which share a consumer group."""

    def __init__(self, name: str, kind: str, arguments: Sequence[str], directory: Path) -> None:
        """kind: `score` or `materialize`. arguments: of each worker, NAME standing for the worker's own."""
        self.name = name
        self.ended: list[Ended] = []
        self._kind, self._arguments, self._directory = kind, list(arguments), directory
        self._slots: dict[str, _Slot] = {}
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name=f"supervisor of {name}", daemon=True)

    # -------------------------------------------------------------------------------------------- size

    def start(self, workers: int) -> None:
        self.scale(workers)
        self._supervisor.start()

    @property
    def workers(self) -> list[str]:
        """Those that should run."""
        with self._lock:
            return [slot.name for slot in self._slots.values() if slot.wanted]

    def scale(self, workers: int) -> None:
        """As a StatefulSet does: those with the highest numbers go first. Does not wait."""
        with self._lock:
            for at in range(workers):
                name = f"{self.name}-{at}"
                slot = self._slots.get(name)
                if slot is None:
                    self._slots[name] = self._slot(name)
                else:
                    slot.wanted, slot.not_before_s = True, 0.0
            for name in list(self._slots)[workers:]:
                self._slots[name].wanted = False
                self._ask(self._slots[name])

    def reconfigure(self, arguments: Sequence[str]) -> None:
        """End all, wait until they have ended, and start as many with other arguments."""
        names = self.workers
        self.scale(0)
        self.await_ended()
        with self._lock:
            self._arguments = list(arguments)
            self._slots.clear()
        self.scale(len(names))

    def await_ended(self) -> None:
        """Until no process is left that should not run."""

        def ended() -> bool:
            with self._lock:
                return all(slot.wanted or slot.process is None for slot in self._slots.values())

        await_that(ended, f"workers of {self.name} do not end", _ENDS_WITHIN_S)

    def close(self) -> None:
        """Whatever happened, leave no process behind."""
        self._over.set()
        if self._supervisor.is_alive():
            self._supervisor.join()
        with self._lock:
            for slot in self._slots.values():
                if slot.process is not None:
                    slot.process.kill()
                    slot.process.wait()

    # ------------------------------------------------------------------------------------------- faults

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self._signal(name, signal.SIGKILL)

    def terminate(self, name: str) -> None:
        """SIGTERM, as a node that is drained does."""
        with self._lock:
            self._ask(self._slots[name])

    def pause(self, name: str) -> int | None:
        """SIGSTOP; returns its process, None where none runs."""
        with self._lock:
            process = self._slots[name].process if name in self._slots else None
            if process is None or process.poll() is not None:
                return None
            stop(process.pid)
            return process.pid

    def resume(self, name: str, pid: int) -> None:
        """SIGCONT to that process, if it is still there."""
        with self._lock:
            process = self._slots[name].process if name in self._slots else None
            if process is not None and process.pid == pid:
                process.send_signal(signal.SIGCONT)

    def any(self, draw: random.Random) -> str:
        return draw.choice(self.workers)

    # ------------------------------------------------------------------------------------------- report

    @property
    def codes(self) -> Counter[str]:
        """How often by kind of end: the exit code, and whether the worker was asked to end."""
        return Counter(f"{one.code} asked" if one.asked else str(one.code) for one in self.ended)

    def logs(self, lines: int = 40) -> list[tuple[str, str]]:
        """The ends of the workers' logs."""
        with self._lock:
            slots = list(self._slots.values())
        return [(s.name, "\n".join(_text(s.log).splitlines()[-lines:])) for s in slots]

    # --------------------------------------------------------------------------------------------------

    def _slot(self, name: str) -> _Slot:
        arguments = [text.replace("NAME", name) for text in self._arguments]
        return _Slot(name, [self._kind, *arguments], self._directory / f"{name}.log")

    def _ask(self, slot: _Slot) -> None:
        if slot.process is not None and slot.process.poll() is None:
            slot.asked = True
            slot.process.send_signal(signal.SIGTERM)

    def _signal(self, name: str, how: signal.Signals) -> None:
        with self._lock:
            slot = self._slots[name]
            if slot.process is not None and slot.process.poll() is None:
                slot.asked = True
                slot.process.send_signal(how)

    def _supervise(self) -> None:
        while not self._over.wait(_LOOK_EVERY_S):
            with self._lock:
                for slot in self._slots.values():
                    self._look_after(slot)

    def _look_after(self, slot: _Slot) -> None:
        now = time.monotonic()
        if slot.process is not None and (code := slot.process.poll()) is not None:
            shell = 128 - code if code < 0 else code
            self.ended.append(Ended(slot.name, time.time_ns() // 1_000_000, shell, slot.asked))
            slot.process, slot.asked = None, False
            slot.restarts = 0 if now - slot.started_s > _HEALTHY_AFTER_S else slot.restarts + 1
            slot.not_before_s = now + _BACKOFF_S[min(slot.restarts, len(_BACKOFF_S) - 1)]
        if slot.process is None and slot.wanted and now >= slot.not_before_s:
            slot.process = spawn([RIVERRUN, *slot.arguments], slot.log)
            end_with_us(slot.process.pid)
            slot.started_s = now


@dataclass(frozen=True, slots=True)
class Fleets:
    """All workers of a run: those that score, by mode, and those that materialize."""

    scoring: dict[str, Fleet] = field(default_factory=dict)
    materializing: Fleet | None = None

    @property
    def all(self) -> list[Fleet]:
        return [*self.scoring.values(), *([self.materializing] if self.materializing else [])]


def _text(log: Path) -> str:
    return log.read_text("utf-8", "replace") if log.exists() else ""
