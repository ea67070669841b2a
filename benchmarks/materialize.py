"""How fast the materialize worker is on one core, against the least that a Kafka client can do there.

`riverrun materialize` (two entities, as examples/fraud has them) and a bare consume-and-produce take the
same topic by turns, each alone on one core; Kafka, Redis and this process are on another. Medians of the
rounds. `materialize_to_passthrough` is the quotient of their events per second. What each process does
while it starts, and its first tenth of the events, is left out.
"""

import argparse
import json
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass

from benchmarks.environment import environment
from benchmarks.passthrough import WARM_SHARE
from benchmarks.servers import PARTITIONS, Cores, Servers, cpu_seconds, on_core, servers
from benchmarks.workers import PATIENCE_S, Materializing, card_messages, definition, materializing
from features.definition.model import RowKind
from features.keys import Namespace


@dataclass(frozen=True, slots=True)
class Run:
    """One process, once, from a tenth of the events to the last."""

    events: int
    seconds: float
    cpu_seconds: float
    redis_cpu_seconds: float = 0.0

    @property
    def events_per_s(self) -> float:
        return self.events / self.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    cores, around = Cores.available(), environment()
    name = definition().name
    topic = f"{name}.events"
    with servers(cores) as running:
        for each in (topic, f"{name}.labels"):
            running.create_topic(each)
        events = running.fill(topic, card_messages(chosen.events).events)
        ours: list[Run] = []
        bare: list[Run] = []
        for number in range(chosen.rounds):
            bare.append(pass_through(running, cores, topic, number, events))
            ours.append(materialize(running, cores, topic, number, events))
        rows = rows_by_entity(running)
    report = {
        "benchmark": "materialize",
        "materialize_to_passthrough": round(_rate(ours) / _rate(bare), 3),
        "materialize": _summary(ours)
        | {
            "redis_cpu_us_per_event": _median([r.redis_cpu_seconds / r.events * 1e6 for r in ours]),
            "redis_cpu_share": _median([r.redis_cpu_seconds / r.seconds for r in ours]),
        },
        "passthrough": _summary(bare),
        "rows": rows,
        "events": events,
        "partitions": PARTITIONS,
        "rounds": chosen.rounds,
        "cores": asdict(cores),
        "environment": around,
    }
    print(json.dumps(report, indent=2))


def pass_through(running: Servers, cores: Cores, topic: str, number: int, events: int) -> Run:
    sink = f"passed-{number}"
    running.create_topic(sink)
    arguments = (running.kafka.bootstrap, topic, sink, str(PARTITIONS), str(events))
    with on_core(cores.measured):
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.passthrough", *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE_S,
        )
    running.delete_topic(sink)
    return Run(**json.loads(done.stdout))


def materialize(running: Servers, cores: Cores, topic: str, number: int, events: int) -> Run:
    """Into an empty Redis, in the name of a new group."""
    running.client.flushall()
    with materializing(running, cores.measured, f"bench-{number}") as worker:
        warm, *before = _mark(worker, topic, int(events * WARM_SHARE))
        done, *after = _mark(worker, topic, events)
    return Run(int(done - warm), *(end - start for start, end in zip(before, after, strict=True)))


def _mark(worker: Materializing, topic: str, count: int) -> tuple[int, float, float, float]:
    """Once so many events are in the rows: how many are, when, and the CPU time of worker and Redis."""
    when = worker.wait_until(lambda: worker.passed(topic) >= count, f"{count} events in the rows")
    store = worker.running.redis.process
    assert store is not None
    return worker.passed(topic), when, cpu_seconds(worker.process.pid), cpu_seconds(store.pid)


def rows_by_entity(running: Servers) -> dict[str, object]:
    """What a row takes on average, by itself and in Redis, its key included."""
    namespace, client = Namespace.of(definition()), running.client
    found: dict[str, object] = {}
    for schema in definition().rows:
        prefix = namespace.row_prefix(schema.entity, schema.kind)
        keys = list(client.scan_iter(match=prefix + b"*", count=10_000))
        if not keys:
            continue
        with client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.strlen(key)
                pipe.memory_usage(key)
            answers = pipe.execute()
        kind = " labels" if schema.kind is RowKind.LABELS else ""
        found[f"{schema.entity}{kind}"] = {
            "rows": len(keys),
            "bytes_per_entity": round(statistics.mean(answers[::2]), 1),
            "redis_bytes_per_entity": round(statistics.mean(answers[1::2]), 1),
        }
    return found


def _summary(runs: list[Run]) -> dict[str, float | list[float]]:
    return {
        "events_per_s": _rate(runs),
        "cpu_us_per_event": _median([run.cpu_seconds / run.events * 1e6 for run in runs]),
        "cpu_share": _median([run.cpu_seconds / run.seconds for run in runs]),
        "events_per_s_by_round": [round(run.events_per_s, 1) for run in runs],
    }


def _rate(runs: list[Run]) -> float:
    return _median([run.events_per_s for run in runs])


def _median(values: list[float]) -> float:
    return round(statistics.median(values), 3)


if __name__ == "__main__":
    main()
