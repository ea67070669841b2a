"""Memory that was freed goes back to the system. glibc's malloc keeps it; elsewhere nothing is done.

A backlog is held in hundreds of thousands of small pieces. What stays in use between them keeps malloc from
shrinking its heaps, so that a worker looked as if it grew by the largest backlog it had seen.
"""

import ctypes
import threading
from collections.abc import Callable

EVERY_S = 60.0
"""A call takes some milliseconds, and threads that allocate wait meanwhile."""


def glibc() -> ctypes.CDLL | None:
    """The C library of this process; None where it is another."""
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None


def give_back() -> None:
    """Every page that nothing stands in goes back."""
    if library := glibc():
        library.malloc_trim(0)


class GivingBack:
    """A thread that gives memory back now and then."""

    def __init__(self, give: Callable[[], None] = give_back, every_s: float = EVERY_S) -> None:
        self._give, self._every_s = give, every_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when a call that is under way is over."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._every_s):
            self._give()
