"""Toxiproxy, built by Go once from its module and kept under build/; its server on a free loopback port."""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from tools.processes import await_ready, end, free_port, spawn

VERSION = "v2.12.0"
MODULE = "github.com/Shopify/toxiproxy/v2/cmd/server"
CACHE = Path(__file__).resolve().parents[1] / "build" / "toxiproxy"


class NoToxiproxy(RuntimeError):
    """Toxiproxy cannot be built here; the message says why."""


def program() -> Path:
    """The server's executable; downloads and builds it the first time. Raises NoToxiproxy."""
    built = CACHE / f"toxiproxy-{VERSION}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            _build(built)
    return built


def _build(built: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise NoToxiproxy("Toxiproxy is built with Go 1.23 or later, and there is no `go` on PATH")
    try:
        done = subprocess.run(
            [go, "install", f"{MODULE}@{VERSION}"],
            env={**os.environ, "GOBIN": str(CACHE)},
            capture_output=True,
            text=True,
            check=False,
            timeout=480,
        )
    except subprocess.TimeoutExpired:
        raise NoToxiproxy(f"`go install {MODULE}@{VERSION}` took more than eight minutes") from None
    if done.returncode != 0:
        last = "\n".join(f"  {line}" for line in done.stderr.splitlines()[-4:])
        raise NoToxiproxy(f"`go install {MODULE}@{VERSION}` failed (is a Go module proxy in reach?):\n{last}")
    (CACHE / "server").rename(built)


class ToxiproxyServer:
    """One process that holds any number of proxies; told what to do over HTTP at `port`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What it printed: errors only, else every connection is a line."""
        return self.directory / "toxiproxy.log"

    def start(self, timeout_s: float = 20.0) -> None:
        """Return when it answers; raises NoToxiproxy, ServerDidNotStart."""
        assert self.process is None, "already started"
        self.directory.mkdir(parents=True, exist_ok=True)
        place = ["-host", "127.0.0.1", "-port", str(self.port)]
        self.process = spawn(["env", "LOG_LEVEL=error", program(), *place], self.log)
        try:
            await_ready("toxiproxy", self.process, self._listens, self.log, timeout_s)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it, with every connection through it."""
        if self.process is not None:
            end(self.process, signal.SIGKILL)
            self.process = None

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True
