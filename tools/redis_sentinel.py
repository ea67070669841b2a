"""A master, a replica and a sentinel of one's own on loopback, for tests that fail over."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

from tools.processes import ServerDidNotStart, await_ready, end, free_port, spawn
from tools.redis_server import RedisServer, find_executable

MASTER = "main"
_PATIENCE_S = 30.0


class SentinelGroup:
    """One sentinel, whose word is enough.

    password: of both servers, sentinel_password: of the sentinel; none is asked for when empty.
    """

    def __init__(self, directory: Path, password: str = "", sentinel_password: str = "") -> None:
        self.port = free_port()
        """The sentinel's."""
        settings = {"repl-diskless-sync": "yes", "repl-diskless-sync-delay": "0"}
        if password:
            settings |= {"requirepass": password, "masterauth": password}
        self.master = RedisServer(directory / "first", settings)
        leader = f"127.0.0.1 {self.master.port}"
        self.replica = RedisServer(directory / "second", settings | {"replicaof": leader})
        """What they are until the first fail-over."""
        self._password, self._sentinel_password = password, sentinel_password
        self._directory = directory / "sentinel"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Without passwords."""
        return f"redis+sentinel://127.0.0.1:{self.port}/{MASTER}"

    def start(self) -> None:
        """Return when a fail-over would succeed; raises ServerDidNotStart."""
        try:
            self.master.start()
            self.replica.start()
            self._start_sentinel()
            _await("the sentinel knows the replica", self._knows_replica)
        except BaseException:
            self.stop()
            raise

    def await_replicated(self) -> None:
        """Return when the replica has everything that was written to the master until now."""
        written = self.ask(self.master, "INFO", "replication")["master_repl_offset"]

        def reached() -> bool:
            found = self.ask(self.replica, "INFO", "replication")["slave_repl_offset"]
            return bool(found >= written)

        _await("the replica has all that was written", reached)

    def fail_over(self) -> None:
        """Make the replica the master and the master its replica; returns when the sentinel says so.

        The old master takes itself for the master until the sentinel tells it otherwise, some seconds later.
        """

        def begun() -> bool:
            try:
                return bool(self._ask_sentinel("SENTINEL", "FAILOVER", MASTER))
            except ResponseError:  # NOGOODSLAVE: it lacks recent news of the replica
                return False

        before = self._named_master()
        _await("the fail-over begins", begun)
        _await("the sentinel names another master", lambda: self._named_master() != before)

    def ask(self, server: RedisServer, *command: str) -> Any:
        """One command on a connection of its own."""
        return _ask(server.port, self._password, command)

    def stop(self) -> None:
        """End all three."""
        if self._process is not None:
            end(self._process, signal.SIGKILL)
            self._process = None
        for server in (self.replica, self.master):
            server.kill()

    def _start_sentinel(self) -> None:
        self._directory.mkdir(parents=True)
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f"dir {self._directory}",
            f"sentinel monitor {MASTER} 127.0.0.1 {self.master.port} 1",
            f"sentinel down-after-milliseconds {MASTER} 2000",
            *([f"sentinel auth-pass {MASTER} {self._password}"] if self._password else []),
            *([f"requirepass {self._sentinel_password}"] if self._sentinel_password else []),
        ]
        config, log = self._directory / "sentinel.conf", self._directory / "sentinel.log"
        config.write_text("\n".join(lines) + "\n")
        self._process = spawn([find_executable(), config, "--sentinel"], log)
        await_ready("sentinel", self._process, lambda: b"+monitor" in log.read_bytes(), log, _PATIENCE_S)

    def _knows_replica(self) -> bool:
        replicas = self._ask_sentinel("SENTINEL", "REPLICAS", MASTER)
        return any("master-link-status" in str(one) and "'ok'" in str(one) for one in replicas)

    def _named_master(self) -> Any:
        return self._ask_sentinel("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)

    def _ask_sentinel(self, *command: str) -> Any:
        return _ask(self.port, self._sentinel_password, command)


def _ask(port: int, password: str, command: tuple[str, ...]) -> Any:
    with Redis.from_url(f"redis://127.0.0.1:{port}", password=password or None) as client:
        return client.execute_command(*command)


def _await(what: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            raise ServerDidNotStart(f"not yet after {_PATIENCE_S:.0f} s that {what}")
        time.sleep(0.02)
