"""A long run: does the worker's memory grow with the events it has seen?"""

import time

from benchmarks import shapes
from benchmarks.processes import PATIENCE_S, riverrun
from benchmarks.score_runs import (
    Job,
    Outputs,
    create_topics,
    flags_of,
    memory_mb,
    settings_of,
    slope_mb_per_million,
)
from benchmarks.servers import Cores, Servers
from benchmarks.shapes import Shape

CHUNK = 100_000
UNDER_WAY_MAX = 300_000
LOOK_EVERY_S = 0.5
RETAINED = {"retention.bytes": "100000000", "segment.bytes": "50000000"}
"""Of each partition: what was read may go, so that the disk need not hold all of it."""


def endure(running: Servers, cores: Cores, job: Job, shape: Shape) -> tuple[float, list[tuple[int, float]]]:
    """MB a million events, and memory by events; the topic is filled as it is read."""
    create_topics(running, job.events_topic, job.partitions, RETAINED)
    settings = settings_of(job, "long")
    outputs = Outputs(running, settings["kafka.topics.predictions"], job.partitions)
    outputs.create(RETAINED)
    samples: list[tuple[int, float]] = []
    with riverrun(running, "score", cores.measured, flags_of(running, job), settings) as worker:
        worker.await_ready()
        sent = done = 0
        while done < job.events:
            if sent < job.events:
                records = shapes.events_of(shape, min(CHUNK, job.events - sent), sent)
                sent += shapes.send(running.kafka.bootstrap, job.events_topic, records)
            wanted = sent if sent == job.events else sent - UNDER_WAY_MAX
            deadline_s = time.monotonic() + PATIENCE_S
            while (done := outputs.count()) < wanted:
                worker.check()
                if time.monotonic() > deadline_s:
                    raise SystemExit(f"{done} of {sent} outputs within {PATIENCE_S:g} s")
                samples.append((done, round(memory_mb(worker.process.pid), 2)))
                time.sleep(LOOK_EVERY_S)
            samples.append((done, round(memory_mb(worker.process.pid), 2)))
    return slope_mb_per_million(samples), samples
