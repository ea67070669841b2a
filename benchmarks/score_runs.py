"""A score worker on a topic that is full already: events a second, CPU and memory, seen from outside.

Measured from the first tenth of the outputs to the last one, by the output topic's end.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec  # not exported to type checkers
from confluent_kafka.cimpl import NewTopic  # the package does not export it to type checkers

from benchmarks.processes import PATIENCE_S, riverrun
from benchmarks.servers import Cores, Servers, cpu_seconds

LOOK_EVERY_S = 0.02
WARM_SHARE = 0.1
SETTLED_SHARE = 0.2
"""Of a long run, after which memory is taken to have reached its level."""


@dataclass(frozen=True, slots=True)
class Run:
    """One worker, once."""

    events: int
    seconds: float
    cpu_seconds: float
    rss_peak_mb: float

    @property
    def events_per_s(self) -> float:
        return self.events / self.seconds

    @property
    def cpu_us_per_event(self) -> float:
        return self.cpu_seconds / self.events * 1e6


class Figures(TypedDict):
    """Of one size: medians of its runs."""

    events_per_s: float
    cpu_us_per_event: float
    cpu_us_per_event_by_round: list[float]
    rss_peak_mb: float
    redis_bytes_per_row: float


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is to do."""

    usecase: Path
    models: Path
    redis_url: str
    events_topic: str
    partitions: int
    events: int


class Outputs:
    """How far the output topic is."""

    def __init__(self, running: Servers, topic: str, partitions: int) -> None:
        self._admin = AdminClient({"bootstrap.servers": running.kafka.bootstrap})
        self._topic, self._partitions = topic, partitions
        self._count = 0

    def create(self, config: Mapping[str, str] | None = None) -> None:
        topic = NewTopic(self._topic, self._partitions, 1, config=dict(config or {}))
        self._admin.create_topics([topic])[self._topic].result(30)

    def delete(self) -> None:
        self._admin.delete_topics([self._topic])[self._topic].result(30)

    def count(self) -> int:
        """As of the last answer: of a topic that was made a moment ago there is none yet."""
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        wanted = {TopicPartition(self._topic, p): latest for p in range(self._partitions)}
        try:
            found = [future.result(30).offset for future in self._admin.list_offsets(wanted).values()]
        except KafkaException:
            return self._count
        self._count = sum(found)
        return self._count


def create_topics(
    running: Servers, events_topic: str, partitions: int, config: Mapping[str, str] | None = None
) -> None:
    """All but the outputs, of which each run has its own."""
    for topic in (events_topic, f"{events_topic}.labels", f"{events_topic}.deadletters"):
        Outputs(running, topic, partitions).create(config)


def score(running: Servers, cores: Cores, job: Job, number: str) -> Run:
    """One worker, in a group and with an output topic of its own."""
    outputs = Outputs(running, f"{job.events_topic}.out-{number}", job.partitions)
    outputs.create()
    settings = settings_of(job, number)
    flags = flags_of(running, job)
    with riverrun(running, "score", cores.measured, flags, settings) as worker:
        pid, marks = worker.process.pid, []
        for wanted in (int(job.events * WARM_SHARE), job.events):
            deadline_s = time.monotonic() + PATIENCE_S
            while (found := outputs.count()) < wanted:
                worker.check()
                if time.monotonic() > deadline_s:
                    raise SystemExit(f"{found} of {wanted} outputs within {PATIENCE_S:g} s")
                time.sleep(LOOK_EVERY_S)
            marks.append((found, time.perf_counter(), cpu_seconds(pid)))
        peak_mb = memory_mb(pid, "VmHWM")
    outputs.delete()
    (first, began_s, cpu_before), (last, ended_s, cpu_after) = marks
    run = Run(last - first, ended_s - began_s, cpu_after - cpu_before, peak_mb)
    print(f"{job.events_topic}: {run.cpu_us_per_event:.1f} µs an event", file=sys.stderr, flush=True)
    return run


def summary(runs: Sequence[Run], row_bytes: float) -> Figures:
    """Medians of one size's runs."""
    return Figures(
        events_per_s=round(float(np.median([run.events_per_s for run in runs])), 1),
        cpu_us_per_event=round(float(np.median([run.cpu_us_per_event for run in runs])), 3),
        cpu_us_per_event_by_round=[round(run.cpu_us_per_event, 2) for run in runs],
        rss_peak_mb=round(float(np.median([run.rss_peak_mb for run in runs])), 1),
        redis_bytes_per_row=round(row_bytes, 1),
    )


def settings_of(job: Job, number: str) -> dict[str, str]:
    return {
        "kafka.group": f"{job.events_topic}.{number}",
        "kafka.topics.events": job.events_topic,
        "kafka.topics.labels": f"{job.events_topic}.labels",
        "kafka.topics.deadletters": f"{job.events_topic}.deadletters",
        "kafka.topics.predictions": f"{job.events_topic}.out-{number}",
    }


def flags_of(running: Servers, job: Job) -> dict[str, str]:
    return {
        "--usecase": str(job.usecase),
        "--models": str(job.models),
        "--kafka": running.kafka.bootstrap,
        "--redis": job.redis_url,
    }


def memory_mb(pid: int, what: str = "VmRSS") -> float:
    """What a process holds, or (VmHWM) held at most."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) / 1024


def slope_mb_per_million(samples: list[tuple[int, float]]) -> float:
    """Of memory over events, by least squares, once a fifth of the events is through."""
    events = np.array([at for at, _ in samples], np.float64)
    held = np.array([mb for _, mb in samples])
    settled = events >= SETTLED_SHARE * events[-1]
    return float(np.polyfit(events[settled] / 1e6, held[settled], 1)[0])
