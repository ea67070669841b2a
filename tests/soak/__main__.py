"""The soak run: score and materialize workers under load and mild faults, for as long as asked.

    make soak SOAK_MINUTES=30 SOAK_RATE=2000

One Kafka broker and one Redis that keeps its data, both on loopback, and two workers that live through all of
it. Every SOAK_FAULT_S seconds something happens, in turn: Redis restarts, a second score worker joins and
leaves, the champion changes, a burst of poison, the broker restarts, a second materializer joins and leaves.
What the two workers take is sampled all along, and its slope after the warm-up told with its confidence.
Writes build/soak.json, prints its summary, and fails where a record is not answered or where file descriptors
or threads grow.
"""

import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.environment import environment
from tests.integration.stage import Stage
from tests.integration.usecase import train
from tests.soak.load import TEXT, Account, Load
from tests.soak.slope import has_grown, theil_sen
from tests.soak.watch import Sample, Watched
from tools.kafka_server import KafkaServer
from tools.redis_server import RedisServer

SAMPLE_S = 5.0
PARTITIONS = 4
PATIENCE_S = 300.0
WARM_SHARE, WARM_S_MAX = 0.2, 600.0
BROKER = {"log.retention.ms": "3600000", "log.segment.bytes": "134217728"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run."""

    minutes: float
    rate: int
    fault_s: float
    mode: str
    seed: int

    @classmethod
    def asked(cls) -> "Plan":
        given = os.environ
        minutes = float(given.get("SOAK_MINUTES", "30"))
        return cls(
            minutes=minutes,
            rate=int(given.get("SOAK_RATE", "2000")),
            fault_s=float(given.get("SOAK_FAULT_S", "30")),
            mode=given.get("SOAK_MODE", "at_least_once"),
            seed=int(given.get("SOAK_SEED", str(time.time_ns() % 2**31))),
        )


class Faults:
    """What happens, in turn."""

    def __init__(
        self, stage: Stage, kafka: KafkaServer, redis: RedisServer, load: Load, delivery: str
    ) -> None:
        self._stage, self._kafka, self._redis, self._load = stage, kafka, redis, load
        self._delivery = delivery
        self._turn = 0
        self._champions = ["v1", "v2"]
        self.log: list[tuple[float, str]] = []

    def next(self, at_s: float) -> None:
        """One of them; returns when it is over, or under way where that is the fault."""
        happen: list[tuple[str, Callable[[], None]]] = [
            ("Redis restarts", self._redis.restart),
            ("a second score worker", self._score_joins),
            ("another champion", self._swap),
            ("poison", self._poison),
            ("Kafka restarts", self._kafka.restart),
            ("a second materializer", self._materialize_joins),
        ]
        name, happens = happen[self._turn % len(happen)]
        self._turn += 1
        self.log.append((round(at_s, 1), name))
        happens()

    def _score_joins(self) -> None:
        self._stage.start("score", self._delivery).await_ready().terminate()

    def _materialize_joins(self) -> None:
        self._stage.start("materialize").await_ready().terminate()

    def _swap(self) -> None:
        champion, previous = self._champions
        self._champions = [previous, champion]
        self._stage.deploy(previous, previous=champion)

    def _poison(self) -> None:
        self._load.poison(50)


def main() -> int:
    plan = Plan.asked()
    with tempfile.TemporaryDirectory(prefix="riverrun-soak-") as name:
        directory = Path(name)
        kafka = KafkaServer(directory / "kafka", BROKER)
        redis = RedisServer(directory / "redis", {"appendonly": "yes", "appendfsync": "everysec"})
        try:
            kafka.start()
            redis.start()
            report = _soak(plan, directory, kafka, redis)
        finally:
            redis.stop()
            kafka.stop()
    Path("build").mkdir(exist_ok=True)
    Path("build/soak.json").write_text(json.dumps(report, indent=1) + "\n")
    print(
        json.dumps(
            {key: value for key, value in report.items() if key not in ("samples", "happened")}, indent=1
        )
    )
    return 1 if report["failures"] else 0


def _soak(plan: Plan, directory: Path, kafka: KafkaServer, redis: RedisServer) -> dict[str, Any]:
    stage = Stage("soak", kafka.bootstrap, redis.url, directory, PARTITIONS, text=TEXT)
    try:
        stage.trained("v1")
        train(stage.definition, stage.models, "v2", 1)
        return _run(plan, stage, kafka, redis)
    except BaseException:
        for name, text in stage.logs():
            print(f"--- {name}\n{text}", file=sys.stderr)
        raise
    finally:
        stage.close()


def _run(plan: Plan, stage: Stage, kafka: KafkaServer, redis: RedisServer) -> dict[str, Any]:
    delivery = f"delivery.mode={plan.mode}"
    score, materialize = stage.start("score", delivery), stage.start("materialize")
    watched = {
        "score": Watched(score.await_ready(), "events_total"),
        "materialize": Watched(materialize.await_ready(), "materialized_offset"),
    }
    account = Account(kafka.bootstrap, [stage.topics["predictions"], stage.topics["deadletters"]], PARTITIONS)
    load = Load(kafka.bootstrap, stage.topics["events"], stage.topics["labels"], plan.rate, plan.seed)
    faults = Faults(stage, kafka, redis, load, delivery)
    account.start()
    load.start()
    began = time.monotonic()
    next_fault = plan.fault_s
    while (passed := time.monotonic() - began) < plan.minutes * 60:
        for one in watched.values():
            one.look(began)
        stage.check_workers()
        if passed >= next_fault:
            faults.next(passed)
            next_fault = time.monotonic() - began + plan.fault_s
        time.sleep(SAMPLE_S)
    load.finish()
    ends = account.ends(stage.topics["events"])
    deadline = time.monotonic() + PATIENCE_S
    while account.answered < sum(ends) and time.monotonic() < deadline:
        stage.check_workers()
        time.sleep(1)
    for one in watched.values():
        one.look(began)
    codes = {name: one.worker.terminate() for name, one in watched.items()}
    account.finish()
    lost, samples = account.lost(ends), {name: one.samples for name, one in watched.items()}
    failures = [f"{lost} records are lost"] if lost else []
    failures += [f"{name} ended with {code}" for name, code in codes.items() if code]
    summary = {name: _summary(found, plan) for name, found in samples.items()}
    failures += [f"{what} of {name} grew" for name, told in summary.items() for what in told["grew"]]
    return {
        "plan": asdict(plan),
        "environment": environment(),
        "records": sum(ends),
        "lost": lost,
        "doubled": account.doubled(),
        "faults": len(faults.log),
        "failures": failures,
        "workers": summary,
        "happened": faults.log,
        "samples": {name: [asdict(sample) for sample in found] for name, found in samples.items()},
    }


def _summary(samples: Sequence[Sample], plan: Plan) -> dict[str, Any]:
    """What is told of a worker: growth after the warm-up, and latency over all of it."""
    warm_s = min(WARM_SHARE * plan.minutes * 60, WARM_S_MAX)
    warm = [sample for sample in samples if sample.at_s >= warm_s]
    rss, hours = [s.rss_mb for s in warm], [s.at_s / 3600 for s in warm]
    slopes = {
        "rss_mb_per_hour": theil_sen(hours, rss),
        "rss_mb_per_million_events": theil_sen([s.events / 1e6 for s in warm], rss),
    }
    latency = {
        name: [value for s in warm if (value := s.latency_ms.get(name)) is not None]
        for name in ("p50", "p95", "p99")
    }
    counts = {"fds": [s.fds for s in warm], "threads": [s.threads for s in warm]}
    return {
        "samples": len(warm),
        "warm_up_s": round(warm_s),
        **{name: {k: _rounded(v) for k, v in asdict(slope).items()} for name, slope in slopes.items()},
        "rss_mb": {"first": rss[0], "median": statistics.median(rss), "max": max(rss), "last": rss[-1]},
        **{name: {"min": min(some), "max": max(some), "last": some[-1]} for name, some in counts.items()},
        "grew": [name for name, some in counts.items() if has_grown(some)],
        "latency_ms_median": {
            name: statistics.median(some) if some else None for name, some in latency.items()
        },
        "latency_ms_max": {name: max(some, default=None) for name, some in latency.items()},
    }


def _rounded(value: float) -> float | None:
    return round(value, 2) if math.isfinite(value) else None


if __name__ == "__main__":
    sys.exit(main())
