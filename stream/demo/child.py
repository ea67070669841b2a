"""Runs `riverrun ARGUMENTS` as a process that does not outlive the demo that started it.

``python -m stream.demo.child PARENT ARGUMENTS…``: everything else is the command line's own.
"""

import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Have the kernel send SIGTERM when `parent` dies, however it dies; only Linux can do that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the demo ended before its worker began")


def main() -> None:
    end_with(int(sys.argv[1]))
    sys.argv = ["riverrun", *sys.argv[2:]]
    runpy.run_module("stream.cli", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
