"""What a figure was measured on: it means nothing without."""

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = (
    "confluent-kafka",
    "hiredis",
    "lightgbm",
    "llvmlite",
    "msgspec",
    "numpy",
    "pandas",
    "pyarrow",
    "redis",
)


def environment() -> dict[str, object]:
    """Machine, interpreter, libraries and servers; and how busy the machine was already."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load_1m": os.getloadavg()[0],
        "kernel": platform.release(),
        "python": platform.python_version(),
        "libraries": {name: found for name in LIBRARIES if (found := _version(name))},
        "redis_server": _said_by("redis-server", "--version"),
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def _said_by(*command: str) -> str | None:
    path = shutil.which(command[0])
    if path is None:
        return None
    return subprocess.run([path, *command[1:]], capture_output=True, text=True, check=False).stdout.strip()
