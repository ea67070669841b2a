"""The workers of the demo: the same processes that run in production, started and watched from here."""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeAlias

from stream.demo.options import DemoError
from stream.demo.ports import free_port

READY_WITHIN_S = 60.0
DRAINED_WITHIN_S = 30.0
_LOG_TAIL_LINES = 25


@dataclass(slots=True)
class Worker:
    """A worker process; its output goes to `log`."""

    name: str
    arguments: tuple[str, ...]
    port: int
    log: Path
    process: "subprocess.Popen[bytes]"

    @property
    def alive(self) -> bool:
        return self.process.poll() is None


def start(name: str, arguments: Sequence[str], directory: Path) -> Worker:
    """Start ``riverrun NAME ARGUMENTS`` with an HTTP port of its own; it ends when this process does."""
    port = free_port()
    given = (*arguments, "--http-port", str(port))
    log = directory / f"{name}.log"
    command = [sys.executable, "-m", "stream.demo.child", str(os.getpid()), name, *given]
    with log.open("ab") as output:
        # A session of its own: Ctrl-C reaches only the demo, which then drains its workers in order.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    return Worker(name, tuple(arguments), port, log, process)


def wait_ready(worker: Worker, within_s: float = READY_WITHIN_S) -> None:
    """Wait until the worker says that it is ready. Raises `DemoError` with the end of its log."""
    deadline = time.monotonic() + within_s
    while not is_ready(worker):
        if not worker.alive:
            raise DemoError(
                f"worker {worker.name} ended with {worker.process.returncode}:\n{log_tail(worker)}"
            )
        if time.monotonic() > deadline:
            raise DemoError(f"worker {worker.name} was not ready within {within_s:g} s:\n{log_tail(worker)}")
        time.sleep(0.05)


def is_ready(worker: Worker) -> bool:
    status, _ = get(worker, "/readyz")
    return status == http.client.OK


def get(worker: Worker, path: str) -> tuple[int, str]:
    """Status and body of a page of the worker's; status 0 where it does not answer."""
    connection = http.client.HTTPConnection("127.0.0.1", worker.port, timeout=2)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()


Launch: TypeAlias = Callable[[str, Sequence[str], Path], Worker]
"""What `start` does."""


class Crew:
    """The workers of a run. Whatever happens, none of them is left running."""

    def __init__(self, directory: Path, launch: Launch = start) -> None:
        self._directory, self._launch = directory, launch
        self._workers: dict[str, Worker] = {}
        self._leaving: set[str] = set()
        self.exit_codes: dict[str, int] = {}
        """Of those that were asked to end: 0, or the first that was not."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_all(within_s=10.0)

    def start(self, name: str, arguments: Sequence[str]) -> Worker:
        self._workers[name] = self._launch(name, arguments, self._directory)
        self._leaving.discard(name)
        return self._workers[name]

    def __getitem__(self, name: str) -> Worker:
        return self._workers[name]

    def dead(self) -> list[str]:
        """Workers that ended though nobody asked them to."""
        return [n for n, worker in self._workers.items() if n not in self._leaving and not worker.alive]

    def ask_to_end(self, name: str) -> None:
        """Have a worker drain, without waiting for it."""
        self._leaving.add(name)
        if self._workers[name].alive:
            self._workers[name].process.send_signal(signal.SIGTERM)

    def ended(self, name: str) -> bool:
        """Whether a worker that was asked to end has done so."""
        code = self._workers[name].process.poll()
        if code is None:
            return False
        self.exit_codes[name] = self.exit_codes.get(name) or code
        return True

    def stop_all(self, within_s: float = DRAINED_WITHIN_S) -> None:
        """Have all drain, and wait for them; who takes longer is killed."""
        for name in self._workers:
            self.ask_to_end(name)
        for name, worker in self._workers.items():
            try:
                worker.process.wait(within_s)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            self.ended(name)


def log_tail(worker: Worker) -> str:
    """The last lines of the worker's output."""
    lines = worker.log.read_text("utf-8", "replace").splitlines()
    return "\n".join(f"  {line}" for line in lines[-_LOG_TAIL_LINES:])
