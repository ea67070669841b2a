"""Worker processes: their logs, their exit codes, and that none outlives the demo."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest

from stream.demo import workers
from stream.demo.options import DemoError
from stream.demo.ports import free_port
from stream.demo.workers import Crew, get, wait_ready


def awaited(condition: Callable[[], bool], within_s: float = 30.0) -> bool:
    wait = threading.Event()
    for _ in range(int(within_s / 0.02)):
        if condition():
            return True
        wait.wait(0.02)
    return condition()


def child(parent: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "stream.demo.child", parent, "--help"]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def test_a_child_runs_the_command_line_itself() -> None:
    done = child(str(os.getpid()))
    assert done.returncode == 0
    assert "materialize" in done.stdout


def test_a_child_whose_parent_is_gone_does_not_begin() -> None:
    done = child("1")
    assert done.returncode != 0
    assert "the demo ended before its worker began" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_a_child_ends_when_its_parent_is_killed() -> None:
    begin = "import os, sys; from stream.demo.child import end_with; end_with(os.getppid())"
    child = f"{begin}; print(os.getpid(), flush=True); sys.stdin.read()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
        assert awaited(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie")


def test_a_worker_that_cannot_start_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    with Crew(tmp_path) as crew:
        worker = crew.start("score", ["--set", "no.such.setting=1"])
        with pytest.raises(DemoError, match=r"(?s)worker score ended with 2:.*no\.such\.setting"):
            wait_ready(worker)
        assert crew.dead() == ["score"]


def test_a_worker_that_is_never_ready_is_given_up(tmp_path: Path) -> None:
    with Crew(tmp_path, sleeper) as crew, pytest.raises(DemoError, match=r"not ready within 0\.1 s"):
        wait_ready(crew.start("score", []), within_s=0.1)


def test_workers_end_with_their_crew_and_exit_codes_are_kept(tmp_path: Path) -> None:
    with Crew(tmp_path, sleeper) as crew:
        one, other = crew.start("score", []), crew.start("materialize", [])
        crew.ask_to_end("score")
        assert awaited(lambda: crew.ended("score"))
        assert crew.dead() == []
        again = crew.start("score", [])
    assert not any(worker.alive for worker in (one, other, again))
    assert crew.exit_codes == {"score": -signal.SIGTERM, "materialize": -signal.SIGTERM}


def test_nobody_listening_is_no_answer_and_no_error() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    worker = workers.Worker("score", (), free_port(), Path(os.devnull), process)
    assert get(worker, "/readyz") == (0, "")


def sleeper(name: str, arguments: Sequence[str], directory: Path) -> workers.Worker:
    """A worker that listens to nobody, and ends by SIGTERM."""
    log = directory / f"{name}.log"
    log.touch()
    process = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    return workers.Worker(name, tuple(arguments), free_port(), log, process)
