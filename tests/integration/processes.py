"""Worker processes: the installed `riverrun`, started, asked, paused and ended as an operator would."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tools.processes import spawn

RIVERRUN = Path(sys.executable).parent / "riverrun"
SOON_S = 60.0
"""A bound for what takes a second on an idle machine."""
_LOOK_EVERY_S = 0.02


def await_that(condition: Callable[[], bool], what: str, within_s: float = SOON_S) -> None:
    """Return as soon as the condition holds; fails with `what` when it does not in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(_LOOK_EVERY_S)


def run_riverrun(*arguments: str, within_s: float = SOON_S) -> str:
    """What a command that ends by itself printed; fails unless it ends with 0."""
    done = subprocess.run(
        [RIVERRUN, *arguments], capture_output=True, text=True, timeout=within_s, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Metrics:
    """One scrape."""

    def __init__(self, text: str) -> None:
        self._samples = [
            sample for family in text_string_to_metric_families(text) for sample in family.samples
        ]

    def total(self, name: str, **labels: str) -> float:
        """The sum over all series of ``riverrun_NAME`` that have these labels; 0 where there are none."""
        return sum(
            sample.value
            for sample in self._samples
            if sample.name == f"riverrun_{name}" and labels.items() <= sample.labels.items()
        )

    def by(self, name: str, label: str) -> dict[str, float]:
        """The sums by the values of one label; without those that are 0."""
        values = {s.labels[label] for s in self._samples if s.name == f"riverrun_{name}"}
        sums = {value: self.total(name, **{label: value}) for value in values}
        return {value: count for value, count in sums.items() if count}

    def labels(self, name: str) -> list[dict[str, str]]:
        """The labels of every series of a name."""
        return [dict(sample.labels) for sample in self._samples if sample.name == f"riverrun_{name}"]


class Worker:
    """One process of `riverrun score` or `riverrun materialize`; its output stands in `log`."""

    def __init__(self, name: str, arguments: Sequence[str], log: Path) -> None:
        self.name, self.log = name, log
        command: list[str | Path] = [RIVERRUN, *arguments, "--http-port", "0", "--set", "http.host=127.0.0.1"]
        self._begin = partial(spawn, command, log)
        self._process = self._begin()
        self._again_on: int | None = None
        self._port: int | None = None
        self._listened = 0  # how often it did before its last start
        self._may_end = False

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        if self._process.poll() is not None and self._process.returncode == self._again_on:
            self._port, self._listened = None, len(self.says("listening"))
            self._process = self._begin()
        return self._process.poll() is None

    def start_again_on(self, code: int) -> None:
        """From now on do as platforms do with a worker that ends with this code."""
        self._again_on = code

    def assert_alive(self) -> None:
        """Fails where the worker ended and nobody asked it to."""
        assert self.is_alive or self._may_end, self._sorry("ended by itself")

    def says(self, event: str) -> list[dict[str, object]]:
        """The log's lines of this event."""
        found = []
        for line in self.log.read_text("utf-8", "replace").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                data = json.loads(line)
                if isinstance(data, dict) and data.get("event") == event:
                    found.append(data)
        return found

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; status 0 where nobody answers."""
        if self._port is None:
            listening = self.says("listening")[self._listened :]
            if not listening:
                return 0, ""
            self._port = int(str(listening[-1]["port"]))
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, ""
        finally:
            connection.close()

    @property
    def is_ready(self) -> bool:
        return self.get("/readyz")[0] == http.client.OK

    def metrics(self) -> Metrics:
        status, text = self.get("/metrics")
        assert status == http.client.OK, self._sorry("has no metrics")
        return Metrics(text)

    def await_ready(self) -> "Worker":
        await_that(lambda: self.is_ready or not self.is_alive, self._sorry("was not ready"))
        assert self.is_alive, self._sorry("ended before it was ready")
        return self

    def await_metric(self, condition: Callable[[Metrics], bool], what: str, within_s: float = SOON_S) -> None:
        def holds() -> bool:
            assert self.is_alive, self._sorry(f"ended while waiting: {what}")
            is_beginning = self._again_on is not None and not self.is_ready
            return not is_beginning and condition(self.metrics())

        await_that(holds, self._sorry(what), within_s)

    def await_end(self, within_s: float = SOON_S) -> int:
        """The exit code of a worker that ends by itself, or was asked to."""
        self._may_end = True
        await_that(lambda: not self.is_alive, self._sorry("did not end"), within_s)
        return self._process.wait()

    def may_end(self) -> None:
        """From now on it is no failure if it ends."""
        self._may_end = True

    def ask_to_end(self) -> None:
        self._may_end = True
        self._process.send_signal(signal.SIGTERM)

    def terminate(self) -> int:
        """SIGTERM; the exit code."""
        self.ask_to_end()
        return self.await_end()

    def kill(self) -> None:
        """SIGKILL: as the kernel does when memory is short."""
        self._may_end = True
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        """SIGSTOP; returns when it stands still."""
        stop(self._process.pid)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def _sorry(self, what: str) -> str:
        return f"{self.name} {what} (its log is below)"


def stop(pid: int) -> None:
    """Stop a process with SIGSTOP and wait until every thread of it stands still."""
    os.kill(pid, signal.SIGSTOP)
    tasks = Path(f"/proc/{pid}/task")

    def stands_still() -> bool:
        states = [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks.iterdir()]
        return all(state in "tT" for state in states)

    await_that(stands_still, f"process {pid} did not stop")
