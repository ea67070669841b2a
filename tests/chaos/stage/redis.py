"""A real Redis behind a proxy, and what can be done to it."""

import shutil
import signal
from pathlib import Path

import numpy as np
from redis import Redis
from redis.exceptions import RedisError

from features.definition.kinds import RowKind
from tests.chaos.stage.toxiproxy import Proxy, Toxiproxy
from tests.integration.processes import await_that, stop
from tools.processes import free_port
from tools.reaper import end_with_us
from tools.redis_server import RedisServer

ANSWERS_S = 60.0
LOAD_US_PER_KEY_MAX = 5_000
"""Slower, and what answers between some keys looks as if it hung."""
OPTIONS = {
    "appendonly": "yes",
    "appendfsync": "everysec",  # as in production: a kill may take what was acknowledged last with it
    "enable-debug-command": "local",
    "loading-process-events-interval-bytes": "1024",  # it answers LOADING often, not just each 2 MB
}
_KIND_AT = 4
"""Which part of a key tells rows from the rest (`features.keys`)."""
_ROW_KINDS = {kind.value.encode() for kind in RowKind}

# One step for the server: a row must not be replaced between the look at its length and the write.
_OVERWRITE = """
local length = redis.call('STRLEN', KEYS[1])
if length < #ARGV[1] then return 0 end
redis.call('SETRANGE', KEYS[1], math.floor(tonumber(ARGV[2]) * (length - #ARGV[1])), ARGV[1])
return 1
"""


class ChaosRedis:
    """`url` is for whoever watches, past the proxy; `proxied_url` for workers. Both outlive every fault."""

    def __init__(self, directory: Path, toxiproxy: Toxiproxy) -> None:
        self._server = RedisServer(directory, OPTIONS)
        self._toxiproxy = toxiproxy
        self._paused = False
        self.proxy: Proxy
        self.client = Redis.from_url(self.url, socket_timeout=10)
        """Past the proxy."""

    def start(self) -> None:
        """Raises NoRedisServer, ServerDidNotStart."""
        self.proxy = self._toxiproxy.proxy("redis", self._server.port)
        self._launch()

    def close(self) -> None:
        self.client.close()
        self._server.kill()

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def proxied_url(self) -> str:
        return f"redis://{self.proxy.address}/0"

    # ------------------------------------------------------------------------------------- life and death

    def kill(self) -> None:
        """SIGKILL. Connections are closed, new ones refused."""
        self._paused = False
        self._server.kill()

    def restart_with_data(self) -> None:
        """With what is in its file; instead of `kill`, or after it."""
        self.kill()
        self._launch()

    def restart_empty(self) -> None:
        """With nothing; instead of `kill`, or after it."""
        self.kill()
        shutil.rmtree(self._server.directory / "appendonlydir", ignore_errors=True)
        self._launch()

    def restart_loading(self, about_s: float) -> None:
        """Returns while it reads its data, which it has some of, and answers LOADING to everything else."""
        # Between keys of a snapshot it answers, between commands only every 1,024th time.
        self._command("BGREWRITEAOF")
        await_that(self._is_rewritten, "its file is not rewritten", ANSWERS_S)
        us_per_key = min(int(about_s * 1e6 / max(1, int(self.client.dbsize()))), LOAD_US_PER_KEY_MAX)
        self.kill()
        self._server.options["key-load-delay"] = str(us_per_key)
        self._server.launch()
        self._watch_over()
        del self._server.options["key-load-delay"]
        await_that(self._hears, "Redis does not load", ANSWERS_S)

    def await_loaded(self) -> None:
        """The end of `restart_loading`: what is left of the data it reads as fast as it can."""
        self._config("key-load-delay", "0")
        await_that(lambda: not self.client.info("persistence")["loading"], "Redis still loads", ANSWERS_S)

    def pause(self) -> None:
        """SIGSTOP: it hangs. Connections can still be made, since the kernel accepts them."""
        assert self._server.process is not None
        stop(self._server.process.pid)
        self._paused = True

    def resume(self) -> None:
        assert self._server.process is not None
        self._server.process.send_signal(signal.SIGCONT)
        self._paused = False

    # ------------------------------------------------------------------------------- answers other than good

    def slow(self, ms: int) -> None:
        """Answer nothing for that time, and then everything (CLIENT PAUSE): a burst of late answers."""
        self._command("CLIENT", "PAUSE", str(ms), "ALL")

    def block(self, s: float) -> None:
        """One command keeps the server to itself for that time (DEBUG SLEEP); returns after that."""
        self._command("DEBUG", "SLEEP", str(s))

    def be_replica(self, *, answers_reads: bool = True) -> None:
        """READONLY to whoever writes, as after a fail-over elsewhere: the replica of a dead master.

        answers_reads: from what it has; else MASTERDOWN to whoever reads.
        """
        self._config("replica-serve-stale-data", "yes" if answers_reads else "no")
        self._command("REPLICAOF", "127.0.0.1", str(free_port()))

    def be_master(self) -> None:
        """The end of `be_replica`; its data is what it was."""
        self._command("REPLICAOF", "NO", "ONE")
        self._config("replica-serve-stale-data", "yes")

    def run_out_of_memory(self) -> None:
        """OOM to whoever writes; reads are answered."""
        self._config("maxmemory", "1")

    def have_memory(self) -> None:
        """The end of `run_out_of_memory`."""
        self._config("maxmemory", "0")

    def corrupt_rows(self, share: float, rng: np.random.Generator, match: bytes = b"rr:*") -> list[bytes]:
        """Overwrite some bytes of each row with this probability; returns the keys of those.

        match: of which keys; of one use case's, ``rr:<use case>:*``. Rows only: never progress or the epoch.
        """
        spoilt = []
        overwrite = self.client.register_script(_OVERWRITE)
        for key in self.client.scan_iter(match=match, count=1_000):
            if not is_row(key) or rng.random() >= share:
                continue
            garbage = rng.bytes(int(rng.integers(1, 17)))
            if overwrite(keys=[key], args=[garbage, float(rng.random())]):
                spoilt.append(key)
        return spoilt

    def answers(self) -> bool:
        """Whether it runs, has its data and takes writes."""
        try:
            return bool(self.client.set("chaos:probe", b"1", ex=1))
        except RedisError:
            return False

    def heal(self) -> None:
        """It runs, is a master and has memory; what was done to the proxy is not undone here."""
        if self._paused:
            self.resume()
        if self._server.process is None:
            self._launch()
        await_that(self._hears, "Redis does not answer", ANSWERS_S)
        self.await_loaded()
        self._command("CLIENT", "UNPAUSE")
        self.be_master()
        self.have_memory()
        assert self.answers()

    def _hears(self) -> bool:
        """Whether it answers this, which it does in any state."""
        try:
            self.client.info("persistence")
        except RedisError:
            return False
        return True

    def _is_rewritten(self) -> bool:
        now = self.client.info("persistence")
        return not (now["aof_rewrite_in_progress"] or now["aof_rewrite_scheduled"])

    def _launch(self) -> None:
        self._server.start()
        self._watch_over()

    def _watch_over(self) -> None:
        assert self._server.process is not None
        end_with_us(self._server.process.pid)

    def _config(self, name: str, value: str) -> None:
        self._command("CONFIG", "SET", name, value)

    def _command(self, *words: str) -> None:
        self.client.execute_command(*words)  # type: ignore[no-untyped-call]  # the client has no types for it


def is_row(key: bytes) -> bool:
    """Whether a key of the online store is a row's: ``rr:<use case>:<state>:<layout>:<kind>:…``."""
    parts = key.split(b":", _KIND_AT + 1)
    return len(parts) > _KIND_AT + 1 and parts[_KIND_AT] in _ROW_KINDS
