"""One run of a contestant: started on the measured core, watched from outside, ended.

Every contestant that has outputs is measured in this one way: the clock and the CPU time of its processes
are read when a tenth of the outputs is there (what starting costs is not counted), and when the last one is.
"""

import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.outputs import Ends
from benchmarks.servers import Cores, Servers, on_core
from tools.processes import end, last_lines, spawn

LOOK_EVERY_S = 0.02
PATIENCE_S = 300.0
"""For the first output, and then for the last."""
WARM_SHARE = 0.1
WARM_S = 5.0
"""Who is slow is measured from so long after the first output on, and for so long:"""
SECONDS_MAX = 10.0
END_S = 10.0


class ContestantFailed(Exception):
    """It ended by itself, or wrote nothing for too long; the text has the end of its log."""


@dataclass(frozen=True, slots=True)
class Run:
    """A contestant, once."""

    events: int
    """In transactions with their markers: four in a transaction, less than one in a thousand."""
    seconds: float
    cpu_seconds: float
    """Of all its processes."""
    rss_peak_mb: float
    """Of all its processes, each at its own peak; 0 where it was not asked."""
    broker_cpu_seconds: float = 0.0
    redis_cpu_seconds: float = 0.0
    cpu_share_least: float = 1.0
    """Of several processes, the smallest part that one had of their CPU time."""
    alert_share: float | None = None

    @property
    def events_per_s(self) -> float:
        return self.events / self.seconds

    @property
    def cpu_us_per_event(self) -> float:
        return self.cpu_seconds / self.events * 1e6

    @property
    def cpu_share(self) -> float:
        """Of the measured core. Well below 1, something else held it up: the broker, Redis."""
        return self.cpu_seconds / self.seconds


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be run, and by what its outputs are known."""

    commands: list[list[str]]
    """One for each process."""
    source: str
    sink: str
    group: str
    events: int
    in_transactions: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment of a run."""

    outputs: int
    when: float
    cpu: list[float]
    """Of each process, in seconds."""
    broker_cpu: float
    redis_cpu: float


@dataclass(slots=True)
class Watch:
    """A run that goes on."""

    running: Servers
    ends: Ends
    task: Task
    processes: "list[subprocess.Popen[bytes]]"
    log: Path
    outputs: int = 0
    """What there was when we last looked, and when that had become more: """
    grown: float = 0.0

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Look until it holds. Raises `ContestantFailed`."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            found = self.ends.count(self.task.sink)
            if found > self.outputs:
                self.outputs, self.grown = found, time.perf_counter()
            if holds():
                return
            if any(process.poll() is not None for process in self.processes):
                raise ContestantFailed(f"it ended before {what}\n{last_lines(self.log)}")
            if time.monotonic() > deadline:
                raise ContestantFailed(f"never {what}: {self.outputs}\n{last_lines(self.log)}")
            time.sleep(LOOK_EVERY_S)

    def mark(self) -> Mark:
        kafka, store = self.running.kafka.process, self.running.redis.process
        assert kafka is not None
        assert store is not None
        cpu = [cpu_of(process.pid) for process in self.processes]
        return Mark(self.outputs, self.grown, cpu, cpu_of(kafka.pid), cpu_of(store.pid))


def run(running: Servers, cores: Cores, ends: Ends, task: Task, log: Path) -> Run:
    """Start it, measure it and end it. Raises `ContestantFailed`."""
    with on_core(cores.measured):
        processes = [spawn(command, log) for command in task.commands]
    try:
        return _measure(Watch(running, ends, task, processes, log))
    finally:
        _end(processes)


def _measure(watch: Watch) -> Run:
    task = watch.task
    watch.until(lambda: watch.outputs > 0, "its first output")
    first = watch.grown
    watch.until(
        lambda: (
            (watch.outputs >= task.events * WARM_SHARE or watch.grown - first > WARM_S)
            and (len(task.commands) == 1 or watch.ends.members(task.group) == len(task.commands))
        ),
        "a tenth of its outputs",
    )
    before = watch.mark()
    watch.until(lambda: _is_done(watch) or time.perf_counter() - before.when > SECONDS_MAX, "its last output")
    after = watch.mark()
    cpu = [end - start for start, end in zip(before.cpu, after.cpu, strict=True)]
    return Run(
        events=after.outputs - before.outputs,
        seconds=after.when - before.when,
        cpu_seconds=sum(cpu),
        rss_peak_mb=sum(rss_peak_mb(process.pid) for process in watch.processes),
        broker_cpu_seconds=after.broker_cpu - before.broker_cpu,
        redis_cpu_seconds=after.redis_cpu - before.redis_cpu,
        cpu_share_least=min(cpu) / sum(cpu),
    )


def _is_done(watch: Watch) -> bool:
    """Markers of transactions are no outputs, so there what the group committed decides."""
    task = watch.task
    if watch.outputs < task.events:
        return False
    return not task.in_transactions or watch.ends.committed(task.group, task.source) >= task.events


def _end(processes: "list[subprocess.Popen[bytes]]") -> None:
    """With everything they started: nothing may go on into the next run."""
    families = [_family(process.pid) for process in processes]
    for process in processes:
        end(process, signal.SIGTERM, END_S)
    for one in (member for family in families for member in family):
        if one.is_running():
            one.kill()


def _family(pid: int) -> list[psutil.Process]:
    """A process and all that descend from it; none where it is gone."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_of(pid: int) -> float:
    """CPU seconds of a process, of all that descend from it, and of those of them that ended."""
    total = 0.0
    for process in _family(pid):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def rss_peak_mb(pid: int) -> float:
    """The most memory that each of a family held so far, added up."""
    total = 0
    for process in _family(pid):
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    return total / 1024
