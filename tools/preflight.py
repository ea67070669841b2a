"""What `make setup` needs of the machine, checked before anything is installed.

Runs on whatever `python3` is there, so it keeps to what Python 3.7 reads.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from collections.abc import Iterator

OLDEST, NEWEST = (3, 11), (3, 13)

WRONG_PYTHON = """riverrun needs Python {oldest} to {newest}; {executable} is {found}.
  Name another one:  make setup PYTHON=python3.12"""

NO_VENV = """{executable} cannot make virtual environments: its `{module}` module is missing.
  Debian, Ubuntu:  apt-get install python3-venv"""

NO_OPENMP = """LightGBM needs libgomp.so.1 (GCC's OpenMP library), and this machine has none.
  Debian, Ubuntu:  apt-get install libgomp1
  Fedora, RHEL:    dnf install libgomp
  Alpine:          apk add libgomp"""


def main() -> int:
    """Print every obstacle with its mend; the exit code is 1 if there is any."""
    problems = list(obstacles())
    for problem in problems:
        sys.stderr.write("\nerror: " + problem + "\n")
    if problems:
        sys.stderr.write("\nNothing was installed.\n")
    return 1 if problems else 0


def obstacles() -> Iterator[str]:
    """Yield one message for each thing that would make the set-up fail."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        yield WRONG_PYTHON.format(
            oldest=".".join(map(str, OLDEST)),
            newest=".".join(map(str, NEWEST)),
            executable=sys.executable,
            found=sys.version.split()[0],
        )
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            yield NO_VENV.format(executable=sys.executable, module=module)
            break
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        yield NO_OPENMP


if __name__ == "__main__":
    sys.exit(main())
