"""A soak run ends: by itself, or with what it waited for."""

import signal
import subprocess
import sys
import threading

import pytest

from tests.soak.__main__ import SPARE_S, Plan
from tests.soak.running import Part, TookTooLong, ending_within

LONG_S = 60.0


class Doing(Part):
    """What a test gives it."""

    def __init__(self, fails: bool, ends: bool) -> None:
        super().__init__("doing")
        self._fails, self._ends = fails, ends
        self.free = threading.Event()

    def work(self) -> None:
        if self._fails:
            raise ValueError("no broker")
        (self._asked_to_end if self._ends else self.free).wait(LONG_S)


def test_a_part_ends_when_it_is_asked_to() -> None:
    part = Doing(fails=False, ends=True)
    part.start()
    part.check()
    part.finish(LONG_S)
    assert not part.is_alive()


def test_what_a_part_fails_with_is_raised_where_it_is_looked_after() -> None:
    part = Doing(fails=True, ends=True)
    part.start()
    part.join(LONG_S)
    with pytest.raises(AssertionError, match="the doing failed: no broker"):
        part.check()
    with pytest.raises(AssertionError, match="the doing failed: no broker"):
        part.finish(LONG_S)


def test_a_part_that_does_not_end_is_named() -> None:
    part = Doing(fails=False, ends=False)
    part.start()
    with pytest.raises(AssertionError, match=r"the doing did not end within 0\.05 s"):
        part.finish(0.05)
    part.free.set()


def test_a_wait_without_end_ends_with_the_place_of_every_thread(capfd: pytest.CaptureFixture[str]) -> None:
    never = threading.Event()
    with pytest.raises(TookTooLong, match=r"not over after 0 s"), ending_within(0.05):
        never.wait()
    assert "test_a_wait_without_end" in capfd.readouterr().err
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_block_that_is_over_in_time_is_left_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with ending_within(LONG_S):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGTERM) is before


def test_sigterm_lets_it_stop_what_it_started() -> None:
    program = (
        "import threading\n"
        "from tests.soak.running import ending_within\n"
        f"with ending_within({LONG_S}):\n"
        "    try:\n"
        "        print('started', flush=True)\n"
        "        threading.Event().wait()\n"
        "    finally:\n"
        "        print('stopped', flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    process.terminate()
    said, _ = process.communicate(timeout=LONG_S)
    assert (said, process.returncode) == ("stopped\n", 128 + signal.SIGTERM)


def test_a_mode_that_there_is_none_of_is_refused() -> None:
    with pytest.raises(SystemExit, match=r"SOAK_MODE=twice: choose one of at_least_once, exactly_once"):
        Plan.asked({"SOAK_MODE": "twice"})
    assert Plan.asked({"SOAK_MODE": "exactly_once", "SOAK_MINUTES": "2"}).limit_s == 2 * 60 + SPARE_S
