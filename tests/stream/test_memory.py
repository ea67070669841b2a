"""What was freed goes back to the system, in a process of its own: malloc's state is the whole process's."""

import subprocess
import sys
import threading

import pytest

from stream.workers.memory import GivingBack, glibc

FREED = """
import ctypes
from pathlib import Path
from stream.workers.memory import give_back

library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
library.free.argtypes = [ctypes.c_void_p]

def own_mb():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")) / 1024

pieces = [library.malloc(1_000) for _ in range(100_000)]
for piece in pieces:
    ctypes.memset(piece, 1, 1_000)
for piece in pieces[:-1]:  # the last one stands above all others: without help nothing goes back
    library.free(piece)
kept = own_mb()
give_back()
print(kept - own_mb())
"""


def said_by(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(glibc() is None, reason="it is glibc's malloc that keeps what is freed")
def test_what_was_freed_below_something_kept_goes_back_to_the_system() -> None:
    assert float(said_by(FREED)) > 80


def test_memory_is_given_back_again_and_again_until_told_to_stop() -> None:
    given = threading.Semaphore(0)
    giving = GivingBack(given.release, every_s=0.001)
    giving.start()
    assert all(given.acquire(timeout=10) for _ in range(3))
    giving.stop()
    while given.acquire(blocking=False):
        pass
    assert not given.acquire(timeout=0.05)
