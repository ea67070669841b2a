"""Ends what this process started when this process is gone, however it went: SIGKILL and Ctrl-C included.

Servers are started in sessions of their own, so nothing else would end them. A process waits at the other end
of a pipe that the kernel closes with us.
"""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from threading import Lock
from typing import IO

from tools.processes import started

_REAPER = """
import json, os, signal, subprocess, sys
processes, mounts = {}, []
for line in sys.stdin:
    told = json.loads(line)
    if "pid" in told:
        processes[told["pid"]] = told["since"]
    else:
        mounts.append(told["mount"])
def since(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[19]
    except OSError:
        return None
for pid, then in processes.items():
    if since(pid) == then:
        try:
            os.killpg(pid, signal.SIGKILL)
        except OSError:
            pass
for place in mounts:
    if os.path.ismount(place):
        subprocess.run(["umount", "--lazy", place])
"""

_one_at_a_time = Lock()


def end_with_us(pid: int) -> None:
    """Kill the session that this process leads, if it is still that process, when ours ends."""
    if (since := started(pid)) is not None:
        _tell({"pid": pid, "since": since})


def unmount_with_us(place: Path) -> None:
    """Unmount, if something is mounted there, when our process ends."""
    _tell({"mount": str(place)})


def _tell(what: dict[str, object]) -> None:
    with _one_at_a_time:
        pipe = _pipe()
        pipe.write(json.dumps(what).encode() + b"\n")
        pipe.flush()


@cache
def _pipe() -> IO[bytes]:
    reaper = subprocess.Popen(
        [sys.executable, "-ISc", _REAPER],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    reaper.returncode = 0  # it outlives this process on purpose; Popen need not warn about it
    assert reaper.stdin is not None
    return reaper.stdin
