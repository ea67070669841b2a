"""What a batch costs whatever is in it: CPU time of the score worker's loop, by batch size and by stage.

The Handbook's use case (examples/fraud) with a trained bundle and its rows, in this process: memory stands
for Kafka and for Redis, so that nothing is timed but what the worker itself does from poll to produce. CPU
time of its thread, not the clock: a busy machine makes that half as much again, and not ten times as much.
The sizes take turns. `fixed_ms` is the cost of a batch of one event.
"""

import argparse
import gc
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.threads import use_one_thread

use_one_thread()  # before anything imports LightGBM

import numpy as np  # noqa: E402
from prometheus_client import CollectorRegistry  # noqa: E402

from benchmarks import cards  # noqa: E402
from benchmarks.cards import Cards  # noqa: E402
from benchmarks.environment import environment  # noqa: E402
from benchmarks.servers import PARTITIONS  # noqa: E402
from features.keys import Namespace  # noqa: E402
from features.progress import Progress, encode_progress  # noqa: E402
from features.stores.deadline import DeadlineReader  # noqa: E402
from features.stores.memory import MemoryStore  # noqa: E402
from models.deployment import read_deployment  # noqa: E402
from stream.clock import monotonic_ms, now_ms  # noqa: E402
from stream.config import Settings  # noqa: E402
from stream.engine.batch import BatchPolicy  # noqa: E402
from stream.engine.breaker import BreakerPolicy  # noqa: E402
from stream.engine.loop import LoopPolicy, ScoreLoop  # noqa: E402
from stream.engine.overlay import Overlay  # noqa: E402
from stream.engine.ownership import Ownership  # noqa: E402
from stream.engine.publisher import OutputTopics, PlainPublisher  # noqa: E402
from stream.engine.reads import GuardedReads  # noqa: E402
from stream.engine.rejects import RejectLimit  # noqa: E402
from stream.engine.scoring import BatchScorer, ScoringPolicy  # noqa: E402
from stream.engine.serving import build_serving, load_deployed  # noqa: E402
from stream.metrics import ScoreMetrics  # noqa: E402
from stream.pipeline.enrich import FreshnessPolicy  # noqa: E402
from stream.records import Headers  # noqa: E402
from stream.transport.memory import MemoryBroker, MemorySink, MemorySource  # noqa: E402
from stream.workers.backfill import backfill  # noqa: E402

HEADERS: Headers = [("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
TOPICS = ("events", "labels", "predictions", "deadletters")
HOUR_MS = 3_600_000
PATIENCE_MS = 60_000
WARM_BATCHES = 30
MESSAGE_BYTES_MAX = 900_000


class StageTimes(ScoreMetrics):
    """CPU time by stage; a stage within another counts in both."""

    def __init__(self) -> None:
        super().__init__(CollectorRegistry(), "fraud")
        self.ms: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        with super().stage(name):
            began_ns = time.thread_time_ns()
            yield
            self.ms[name].append((time.thread_time_ns() - began_ns) / 1e6)


class Worker:
    """A score worker's loop, and events to give to it."""

    def __init__(self, made: Cards) -> None:
        self._made, self._next = made, 0
        name, namespace = made.definition.name, Namespace.of(made.definition)
        self.broker, self.metrics, store = MemoryBroker(now_ms), StageTimes(), _store(made, namespace)
        for topic in TOPICS:
            self.broker.create_topic(f"{name}.{topic}", PARTITIONS)
        self.reads = GuardedReads(
            DeadlineReader(lambda: store, PATIENCE_MS), BreakerPolicy(3, 1_000), monotonic_ms
        )
        settings, events = Settings(), f"{name}.events"
        overlay = Overlay(made.definition, settings.overlay.bytes_max)
        policy = ScoringPolicy(FreshnessPolicy(settings.freshness.limit_ms, HOUR_MS), settings.reasons.top)
        outputs = OutputTopics(f"{name}.predictions", f"{name}.deadletters")
        most = settings.batch.events_max
        self.loop = ScoreLoop(
            PlainPublisher(MemorySink(self.broker), outputs, self.metrics, now_ms),
            BatchScorer(self.reads, overlay, policy, now_ms, self.metrics.stage),
            Ownership(events, namespace, self.reads, overlay),
            RejectLimit(settings.rejects.share_max, settings.rejects.window),
            self.metrics,
            LoopPolicy(BatchPolicy(most, most), most, 0, 16, 200, 1_000, f"{name}.labels", lambda: None),
            now_ms,
        )
        loaded = load_deployed(made.models, read_deployment(made.models))
        self.loop.serve(
            build_serving(
                loaded, made.definition, future_limit_ms=HOUR_MS, message_bytes_max=MESSAGE_BYTES_MAX
            )
        )
        self._events = events
        self.loop.attach(MemorySource(self.broker, events, f"{name}.score", self.loop))

    def batch(self, size: int) -> float:
        """CPU time, ms, of one step that answers so many new events."""
        for key, value in self._made.events[self._next : self._next + size]:
            self.broker.append(self._events, key, value, HEADERS, int(key or b"0") % PARTITIONS)
        self._next += size
        began_ns = time.thread_time_ns()
        passed = self.loop.step()
        took_ns = time.thread_time_ns() - began_ns
        assert passed == size, f"{passed} of {size} came at once"
        return took_ns / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=200, help="of each size")
    parser.add_argument("--sizes", type=int, nargs="*", default=[1, 5, 10, 50, 200])
    chosen, around = parser.parse_args(), environment()
    with tempfile.TemporaryDirectory() as name:
        needed = chosen.batches * sum(chosen.sizes) + WARM_BATCHES * max(chosen.sizes)
        worker = Worker(cards.prepare(Path(name), needed, ("first",)))
        gc.collect()
        gc.freeze()
        for _ in range(WARM_BATCHES):
            worker.batch(max(chosen.sizes))
        found: dict[int, list[float]] = defaultdict(list)
        stages: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for _ in range(chosen.batches):
            for size in chosen.sizes:
                worker.metrics.ms.clear()
                found[size].append(worker.batch(size))
                for stage, times in worker.metrics.ms.items():
                    stages[size][stage].append(sum(times))
        worker.reads.close()
    report = {
        "benchmark": "small_batches",
        "fixed_ms": _quantiles(found[min(chosen.sizes)])["p50"],
        "batch_cpu_ms": {str(size): _quantiles(times) for size, times in found.items()},
        "stage_cpu_ms_p50": {
            str(size): {stage: _quantiles(times)["p50"] for stage, times in by.items()}
            for size, by in stages.items()
        },
        "environment": around,
    }
    print(json.dumps(report, indent=2))


def _store(made: Cards, namespace: Namespace) -> MemoryStore:
    """With the rows of what is known, and a materializer's word that there is no more."""
    store = MemoryStore(now_ms)
    backfill(store, made.definition, made.known, None, lambda *_: None)
    progress = Progress(
        epoch=store.put_if_absent(namespace.epoch(), b"bench").decode(),
        offset=0,
        log_end=0,
        event_time=int(made.known.events.times.max()),
        complete_since=made.complete_since,
        written_at=now_ms() + HOUR_MS,
    )
    for topic in ("events", "labels"):
        for partition in range(PARTITIONS):
            key = namespace.progress(f"{made.definition.name}.{topic}", partition)
            store.advance(key, encode_progress(progress))
    return store


def _quantiles(times: list[float]) -> dict[str, float]:
    return {f"p{q:g}": round(float(np.quantile(times, q / 100)), 3) for q in (5, 50, 99)}


if __name__ == "__main__":
    main()
