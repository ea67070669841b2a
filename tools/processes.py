"""Child processes of which only ours are ever stopped, and ports that are free."""

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

_PROBES_MAX = 1_000
_given: set[int] = set()


class ServerDidNotStart(RuntimeError):
    """A server ended, or stayed silent past its time; the message shows the end of its log."""


def free_port() -> int:
    """A loopback TCP port that nobody listened on a moment ago, and that nobody is given while it is free.

    Below the range from which the kernel draws the ports of outgoing connections: there a client that keeps
    calling a dead server is, sooner or later, given that server's port, and is connected to itself. Each of
    the processes that pytest-xdist runs tests in draws from ports of its own, for others cannot know which it
    was given.
    """
    ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    ports = range(min(10_000, ephemeral // 2), ephemeral)[number::processes]
    for _ in range(_PROBES_MAX):
        port = secrets.choice(ports)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port
    raise ServerDidNotStart(f"none of {_PROBES_MAX} loopback ports below {ephemeral} was free")


def spawn(command: Sequence[str | Path], log: Path) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own (a Ctrl-C here is not for it), its output added to `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def await_ready(
    name: str, process: subprocess.Popen[bytes], ready: Callable[[], bool], log: Path, timeout_s: float
) -> None:
    """Return when `ready()` holds; else end the process and raise ServerDidNotStart."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        if process.poll() is not None:
            raise ServerDidNotStart(f"{name} ended with code {process.returncode}\n{last_lines(log)}")
        if time.monotonic() > deadline:
            end(process, signal.SIGKILL)
            raise ServerDidNotStart(f"{name} was not ready after {timeout_s:.0f} s\n{last_lines(log)}")
        time.sleep(0.05)


def last_lines(log: Path, lines: int = 15) -> str:
    """The end of a log, with its path, for an error message."""
    text = log.read_text(errors="replace") if log.exists() else ""
    return "\n".join([f"  {log}:", *(f"    {line}" for line in text.splitlines()[-lines:])])


def end(process: subprocess.Popen[bytes], how: signal.Signals, timeout_s: float = 20.0) -> None:
    """Signal a child and reap it; one that ignores SIGTERM past the time is killed."""
    if process.poll() is None:
        process.send_signal(how)
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def started(pid: int) -> str | None:
    """When process `pid` started, in ticks since boot; None if it does not run (zombies do not)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def end_pid(pid: int, since: str, timeout_s: float = 20.0) -> None:
    """Stop a process that an earlier run started, if it is still that process (numbers are used again)."""
    for how, patience_s in ((signal.SIGTERM, timeout_s), (signal.SIGKILL, 5.0)):
        if started(pid) != since:
            return
        os.kill(pid, how)
        deadline = time.monotonic() + patience_s
        while started(pid) == since and time.monotonic() < deadline:
            time.sleep(0.05)
