"""What a run waits for, and how long at most: parts that keep what they fail with, and an end of it all."""

import faulthandler
import signal
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class TookTooLong(Exception):
    """A run was not over in the time that all its waits together may take."""


class Part(threading.Thread, ABC):
    """Goes on beside the run; what it fails with is raised where the run looks after it."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._asked_to_end = threading.Event()
        self._failure: Exception | None = None

    @abstractmethod
    def work(self) -> None:
        """Returns soon after `_asked_to_end` is set."""

    def run(self) -> None:
        try:
            self.work()
        except Exception as error:  # noqa: BLE001  it is raised in the thread that looks after this one
            self._failure = error

    def check(self) -> None:
        """Fails where it failed."""
        if self._failure is not None:
            raise AssertionError(f"the {self.name} failed: {self._failure}") from self._failure

    def finish(self, within_s: float) -> None:
        """Ask it to end, and wait."""
        self._asked_to_end.set()
        self.join(within_s)
        self.check()
        assert not self.is_alive(), f"the {self.name} did not end within {within_s:g} s"


@contextmanager
def ending_within(limit_s: float) -> Iterator[None]:
    """After so long the block ends with `TookTooLong`, and stderr shows where every thread stood.

    SIGTERM ends it too, so that its `finally` blocks stop what would live on. In the main thread only.
    """

    def on_alarm(_: int, __: FrameType | None) -> None:
        faulthandler.dump_traceback(sys.__stderr__ or 2)
        raise TookTooLong(f"not over after {limit_s:.0f} s; where every thread stood is above")

    def on_term(_: int, __: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise SystemExit(128 + signal.SIGTERM)

    handlers = {signal.SIGALRM: on_alarm, signal.SIGTERM: on_term}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        signal.setitimer(signal.ITIMER_REAL, limit_s)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, old in before.items():
            signal.signal(number, old)
