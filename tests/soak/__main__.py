"""The soak run: score and materialize workers under load and mild faults, for as long as asked.

    make soak SOAK_MINUTES=30 SOAK_RATE=2000

One Kafka broker and one Redis that keeps its data, both on loopback, and two workers that live through all of
it. Every SOAK_FAULT_S seconds something happens, in turn: Redis restarts, a second score worker joins and
leaves, the champion changes, a burst of poison, the broker is killed, a second materializer joins and leaves.
What the two workers take is sampled all along and told every minute; after the warm-up, which each kind of
fault is part of once, its slope is told with its confidence. Writes build/soak.json, prints its summary, and
fails where a record is not answered (or, exactly once, answered twice), where memory is not shown to be flat,
or where file descriptors or threads grow. Nothing is waited for without a limit.
"""

import faulthandler
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.environment import environment
from tests.integration.stage import Stage
from tests.integration.usecase import train
from tests.soak import report
from tests.soak.faults import Faults, score_settings
from tests.soak.load import TEXT, Account, Load
from tests.soak.running import TookTooLong, ending_within
from tests.soak.watch import Watch, Watched
from tools.kafka_server import KafkaServer
from tools.processes import last_lines
from tools.redis_server import RedisServer

SAMPLE_S = 5.0
TELL_S = 60.0
PARTITIONS = 4
MODES = ("at_least_once", "exactly_once")
WARM_SHARE, WARM_S_MAX = 0.2, 600.0
SOON_S = 120.0
STANDSTILL_S = 180.0
"""When no further record was answered for so long, none will be."""
SPARE_S = 900.0
"""A run may take so much longer than asked: for its start, its last fault, and what is left to answer."""
LAST_RESORT_S = 180.0
"""Whoever does not end by then is ended without closing anything."""
STACKS_S, STACKS_LINES = 2.0, 400
BROKER = {"log.retention.ms": "86400000", "log.segment.bytes": "134217728"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run."""

    minutes: float
    rate: int
    fault_s: float
    mode: str
    seed: int

    @classmethod
    def asked(cls, given: Mapping[str, str]) -> "Plan":
        """Raises `SystemExit` for a mode that there is none of."""
        mode = given.get("SOAK_MODE", MODES[0])
        if mode not in MODES:
            raise SystemExit(f"SOAK_MODE={mode}: choose one of {', '.join(MODES)}")
        return cls(
            minutes=float(given.get("SOAK_MINUTES", "30")),
            rate=int(given.get("SOAK_RATE", "2000")),
            fault_s=float(given.get("SOAK_FAULT_S", "30")),
            mode=mode,
            seed=int(given.get("SOAK_SEED", str(time.time_ns() % 2**31))),
        )

    @property
    def limit_s(self) -> float:
        return self.minutes * 60 + SPARE_S


def main() -> int:
    plan = Plan.asked(os.environ)
    faulthandler.dump_traceback_later(plan.limit_s + LAST_RESORT_S, exit=True)
    with ending_within(plan.limit_s), tempfile.TemporaryDirectory(prefix="riverrun-soak-") as name:
        directory = Path(name)
        kafka = KafkaServer(directory / "kafka", BROKER)
        redis = RedisServer(directory / "redis", {"appendonly": "yes", "appendfsync": "everysec"})
        try:
            kafka.start()
            redis.start()
            found = _soak(plan, directory, kafka, redis)
        finally:
            redis.stop()
            kafka.stop()
    Path("build").mkdir(exist_ok=True)
    Path("build/soak.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps({key: value for key, value in found.items() if key != "samples"}, indent=1))
    for failure in found["failures"]:
        print(f"soak: {failure}", file=sys.stderr)
    return 1 if found["failures"] else 0


def _soak(plan: Plan, directory: Path, kafka: KafkaServer, redis: RedisServer) -> dict[str, Any]:
    stage = Stage("soak", kafka.bootstrap, redis.url, directory, PARTITIONS, text=TEXT)
    try:
        stage.trained("v1")
        train(stage.definition, stage.models, "v2", 1)
        return _Run(plan, stage, kafka, redis).result()
    except (AssertionError, TookTooLong):
        for name, text in stage.logs():
            print(f"--- {name}\n{text}", file=sys.stderr)
        print(f"--- Kafka\n{_stacks(kafka)}", file=sys.stderr)
        raise
    finally:
        stage.close()


def _stacks(kafka: KafkaServer) -> str:
    """What a broker's threads are at, with what it said before."""
    if kafka.process is not None and kafka.process.poll() is None:
        kafka.process.send_signal(signal.SIGQUIT)  # a JVM goes on
        time.sleep(STACKS_S)
    return last_lines(kafka.log, STACKS_LINES)


class _Run:
    """From the start of the workers to their end."""

    def __init__(self, plan: Plan, stage: Stage, kafka: KafkaServer, redis: RedisServer) -> None:
        self._plan, self._stage = plan, stage
        score = stage.start("score", *score_settings(plan.mode, "first"))
        materialize = stage.start("materialize")
        self._watched = {
            "score": Watched(score.await_ready(), "events_total"),
            "materialize": Watched(materialize.await_ready(), "materialized_offset"),
        }
        outputs = [stage.topics["predictions"], stage.topics["deadletters"]]
        self._account = Account(kafka.bootstrap, outputs, PARTITIONS)
        self._load = Load(
            kafka.bootstrap, stage.topics["events"], stage.topics["labels"], plan.rate, plan.seed
        )
        self._watch = Watch(list(self._watched.values()), SAMPLE_S)
        self._faults = Faults(stage, kafka, redis, self._load, plan.mode)
        self._answered, self._answered_s = 0, time.monotonic()
        self._told = dict.fromkeys(self._watched, 0)
        """How many samples of each worker were told."""

    def result(self) -> dict[str, Any]:
        """Of the whole run, which goes on until then. Raises `AssertionError` for what makes it pointless."""
        self._under_load()
        self._load.finish(SOON_S)
        ends = [self._load.ends.get(partition, 0) for partition in range(PARTITIONS)]
        drained_s = self._drain(sum(ends))
        self._watch.finish(SOON_S)
        codes = {name: one.worker.terminate() for name, one in self._watched.items()}
        self._account.finish(SOON_S)
        lost, doubled = self._account.lost(ends), self._account.doubled()
        workers = {name: report.summary(one.samples, self._warm_s) for name, one in self._watched.items()}
        failures = [f"{len(lost)} records are lost, the first at {lost[:5]}"] if lost else []
        if doubled and self._plan.mode == "exactly_once":
            failures.append(f"{doubled} records were answered more than once")
        failures += [f"{name} ended with {code}" for name, code in codes.items() if code]
        failures += [text for name, told in workers.items() for text in report.failures(name, told)]
        return {
            "plan": asdict(self._plan),
            "environment": environment(),
            "records": sum(ends),
            "lost": len(lost),
            "doubled": doubled,
            "drained_s": drained_s,
            "faults": len(self._faults.log),
            "failures": failures,
            "workers": workers,
            "happened": self._faults.log,
            "samples": {name: [asdict(s) for s in one.samples] for name, one in self._watched.items()},
        }

    def _under_load(self) -> None:
        for part in (self._account, self._load, self._watch):
            part.start()
        clock_s = self._watch.clock_s
        end_s, fault_s, tell_s = self._plan.minutes * 60, self._plan.fault_s, TELL_S
        print(report.HEADING, flush=True)
        while clock_s() < end_s:
            time.sleep(1)
            self._check()
            assert not self._stands_still, (
                f"nothing was answered for {STANDSTILL_S:g} s: {self._load.sent} events sent, up to "
                f"{self._load.ends} acknowledged, {self._account.answered} records answered"
            )
            if clock_s() >= tell_s:
                self._tell()
                tell_s += TELL_S
            if clock_s() >= fault_s:
                name = self._faults.next(clock_s)
                fault_s = clock_s() + self._plan.fault_s
                print(f"{self._faults.log[-1][0] / 60:>6.1f} {name}", flush=True)

    def _drain(self, records: int) -> float:
        """Until every record is answered, or none more; how long that took, s."""
        began = time.monotonic()
        while self._account.answered < records and not self._stands_still:
            self._check()
            time.sleep(0.5)
        self._tell()
        return round(time.monotonic() - began, 1)

    def _check(self) -> None:
        self._stage.check_workers()
        for part in (self._account, self._load, self._watch):
            part.check()

    @property
    def _stands_still(self) -> bool:
        now, answered = time.monotonic(), self._account.answered
        if answered > self._answered:
            self._answered, self._answered_s = answered, now
        return now - self._answered_s > STANDSTILL_S

    def _tell(self) -> None:
        for name, one in self._watched.items():
            fresh = one.samples[self._told[name] :]
            self._told[name] += len(fresh)
            if fresh:
                print(report.line(name, fresh), flush=True)

    @property
    def _warm_s(self) -> float:
        """When each kind of fault has happened and a share of the time is over; never in too short a run."""
        share_s = min(WARM_SHARE * self._plan.minutes * 60, WARM_S_MAX)
        return max(share_s, self._faults.all_kinds_s or float("inf"))


if __name__ == "__main__":
    sys.exit(main())
