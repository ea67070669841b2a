"""Workers as processes: `riverrun` as it is installed, started on a core, asked for its readiness, ended."""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.servers import Servers, on_core
from tools.processes import end, free_port, last_lines, spawn

PATIENCE_S = 120.0
LOOK_EVERY_S = 0.002
RIVERRUN = Path(sys.executable).parent / "riverrun"


@dataclass(slots=True)
class Riverrun:
    """A running worker, and when it was started, in seconds of `time.perf_counter`."""

    process: "subprocess.Popen[bytes]"
    port: int
    log: Path
    started_s: float

    @property
    def is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.client.OK
        except OSError:
            return False
        finally:
            connection.close()

    def await_ready(self, within_s: float = PATIENCE_S) -> float:
        """Seconds from its start until it said that it is ready."""
        while not self.is_ready:
            self.check()
            if time.perf_counter() - self.started_s > within_s:
                raise SystemExit(f"not ready within {within_s:g} s\n{last_lines(self.log)}")
            time.sleep(LOOK_EVERY_S)
        return time.perf_counter() - self.started_s

    def check(self) -> None:
        """Nothing that was measured means anything once a worker has ended."""
        if self.process.poll() is not None:
            raise SystemExit(f"ended with {self.process.returncode}\n{last_lines(self.log)}")


@contextmanager
def riverrun(
    running: Servers,
    command: str,
    core: int,
    flags: Mapping[str, str],
    settings: Mapping[str, str],
    program: Sequence[str | Path] = (RIVERRUN,),
    checkout: Path | None = None,
) -> Iterator[Riverrun]:
    """`riverrun COMMAND` on a core. It need not be ready yet; SIGTERM ends it.

    program: what stands for `riverrun`. checkout: run the code of another checkout.
    """
    port = free_port()
    log = running.directory / f"{command}-{port}.log"
    given = [part for flag, value in flags.items() for part in (flag, value)]
    given += [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    given += ["--http-port", str(port), "--set", "http.host=127.0.0.1"]
    with on_core(core), _path(checkout):
        started_s = time.perf_counter()
        process = spawn([*program, command, *given], log)
    try:
        yield Riverrun(process, port, log, started_s)
    finally:
        end(process, signal.SIGTERM, timeout_s=60.0)


@contextmanager
def _path(checkout: Path | None) -> Iterator[None]:
    """What is started in this block imports from there."""
    before = os.environ.get("PYTHONPATH")
    if checkout is not None:
        os.environ["PYTHONPATH"] = str(checkout)
    try:
        yield
    finally:
        if checkout is not None:
            os.environ.pop("PYTHONPATH")
            if before is not None:
                os.environ["PYTHONPATH"] = before
