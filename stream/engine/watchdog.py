"""Ends a worker that stalls: a hung thread cannot be asked to, and a silent consumer is worse than none."""

import faulthandler
import os
import sys
import threading
from collections.abc import Callable

INTERVAL_S = 1.0


class Watchdog:
    """A thread that looks every second; on a stall it dumps every thread's stack and ends the process."""

    def __init__(self, is_stalled: Callable[[], bool], exit_code: int) -> None:
        self._is_stalled = is_stalled
        self._exit_code = exit_code
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(INTERVAL_S):
            if self._is_stalled():
                sys.stderr.write("riverrun: there is lag and no progress; the stacks of all threads follow\n")
                faulthandler.dump_traceback(all_threads=True)
                sys.stderr.flush()
                os._exit(self._exit_code)
