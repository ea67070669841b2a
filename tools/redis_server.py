"""A redis-server of one's own on a free loopback port, for tests that must be free to kill it."""

import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from stream.demo.redis_server import RedisServerError, find_server
from tools.processes import await_ready, end, free_port, spawn

READY = b"Ready to accept connections"


class NoRedisServer(RuntimeError):
    """No redis-server to run; the message says what to install."""


def find_executable() -> Path:
    """redis-server on PATH, else the one that the demo brings along; raises NoRedisServer."""
    if found := shutil.which("redis-server"):
        return Path(found)
    try:
        return find_server()
    except RedisServerError as error:
        raise NoRedisServer(str(error)) from None


class RedisServer:
    """One redis-server; its port and its directory stay the same over `kill` and `restart`.

    options: further settings by their names in redis.conf. By default nothing is persisted, so that a
    restart comes back empty; `{"appendonly": "yes"}` keeps the data.
    """

    def __init__(
        self, directory: Path, options: Mapping[str, str] | None = None, port: int | None = None
    ) -> None:
        self.directory = directory
        self.options = {"save": "", "appendonly": "no", "maxmemory-policy": "noeviction", **(options or {})}
        self.port = port or free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def log(self) -> Path:
        """What the server printed, over all its restarts."""
        return self.directory / "redis.log"

    def start(self, timeout_s: float = 20.0) -> None:
        """Return when the server has loaded its data and answers; raises ServerDidNotStart."""
        read_from = self.log.stat().st_size if self.log.exists() else 0
        self.launch()
        assert self.process is not None
        try:
            await_ready(
                "redis-server",
                self.process,
                lambda: READY in self.log.read_bytes()[read_from:],
                self.log,
                timeout_s,
            )
        except BaseException:
            self.kill()
            raise

    def launch(self) -> None:
        """Start it and do not wait: until its data is loaded it answers LOADING."""
        assert self.process is None, "already started"
        self.directory.mkdir(parents=True, exist_ok=True)
        settings = [part for name, value in self.options.items() for part in (f"--{name}", value)]
        place = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.directory)]
        self.process = spawn([find_executable(), *place, *settings], self.log)

    def stop(self) -> None:
        """End it in an orderly way."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start again after `stop` or `kill` (or instead of them), on the same port and directory."""
        self.stop()
        self.start()

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            end(self.process, how)
            self.process = None
