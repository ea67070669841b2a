"""Throughput and memory as things grow: entities, features, trees, partitions, windows' rows, and time.

Plain rows (values of two entities, looked up; LightGBM with 31 leaves a tree) at-least-once, unless a part
says otherwise: `riverrun score` with its defaults, alone on one core, takes a topic that is full already.
All sizes of a part take turns, round after round; what stands here are medians. Every size has a Redis of
its own, on the other core with Kafka and this process.

`cost_1e7_to_1e3_entities` is CPU time an event with ten million rows over that with a thousand, where both
are among --entities: events name them evenly, so that nearly every read finds another row.
`rss_slope_mb_per_million`: what the worker's memory grows by in a long run, per million events, fitted once
a fifth of it is over.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from redis import Redis

from benchmarks import shapes, window_rows
from benchmarks.endurance import endure
from benchmarks.environment import environment
from benchmarks.score_runs import Figures, Job, Run, create_topics, score, summary
from benchmarks.servers import Cores, Servers, servers
from benchmarks.shapes import Shape
from tools.redis_server import RedisServer

FEW, MANY = 1_000, 10_000_000
DEFAULTS: Mapping[str, str] = {
    "entities": "1e3,1e4,1e5,1e6,1e7",
    "features": "10,20,50,100,300,1000",
    "trees": "10,50,200,500,1000,2000",
    "partitions": "1,4,16,64",
    "windows": "1e3,1e4,1e5,1e6",
}
BASE = Shape()


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the command line says."""

    events: int
    rounds: int
    sizes: Mapping[str, Sequence[int]]
    """By part."""
    memory_events: int
    """0 leaves the long run out."""


def main() -> None:
    chosen, cores, around = _chosen(), Cores.available(), environment()
    found: dict[str, object] = {}
    ratios: dict[str, float] = {}
    with servers(cores) as running:
        bundles = Bundles(running.directory)
        for part, sizes in chosen.sizes.items():
            if part == "windows":
                rounds = (chosen.events, chosen.rounds)
                found[part] = window_rows.measure(running, cores, sizes, *rounds)
                continue
            by_size = measure(
                running, cores, bundles, part, [replace(BASE, **{part: n}) for n in sizes], chosen
            )
            found[part] = by_size
            if part == "entities" and {str(FEW), str(MANY)} <= by_size.keys():
                few, many = (by_size[str(n)]["cpu_us_per_event"] for n in (FEW, MANY))
                ratios["cost_1e7_to_1e3_entities"] = round(many / few, 3)
        if chosen.memory_events:
            slope, samples = remember(running, cores, bundles, chosen.memory_events)
            ratios["rss_slope_mb_per_million"] = round(slope, 3)
            found["memory"] = {"events": chosen.memory_events, "rss_mb_by_events": samples}
    report = {
        "benchmark": "growth",
        "ratios": ratios,
        **found,
        "base": asdict(BASE),
        "events": chosen.events,
        "rounds": chosen.rounds,
        "cores": asdict(cores),
        "environment": around,
    }
    print(json.dumps(report, indent=2))


class Bundles:
    """Trained once for each shape of model."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made: dict[tuple[int, int], tuple[Path, Path]] = {}

    def of(self, shape: Shape) -> tuple[Path, Path]:
        """The use case file and the models directory."""
        if shape.model not in self._made:
            name = f"bundle-{shape.features}-{shape.trees}"
            self._made[shape.model] = shapes.train(shape, self._directory / name)
        return self._made[shape.model]


@contextmanager
def plain_redis(running: Servers, name: str, shape: Shape) -> Iterator[tuple[RedisServer, float]]:
    """A Redis with the rows of a shape, and how many bytes a row takes in it."""
    store = RedisServer(running.directory / f"redis-{name}")
    store.start()
    try:
        with Redis.from_url(store.url) as client:
            row_bytes = shapes.write_rows(client, shape)
        yield store, row_bytes
    finally:
        store.stop()


def measure(
    running: Servers, cores: Cores, bundles: Bundles, part: str, sizes: Sequence[Shape], chosen: Chosen
) -> dict[str, Figures]:
    """By size. The stores of all sizes are there at once, so that they can take turns."""
    runs: dict[str, list[Run]] = {}
    jobs: dict[str, tuple[Job, float]] = {}
    with ExitStack() as stack:
        for shape in sizes:
            size = str(getattr(shape, part))
            name = f"{part}-{size}"
            store, row_bytes = stack.enter_context(plain_redis(running, name, shape))
            create_topics(running, name, shape.partitions)
            shapes.send(running.kafka.bootstrap, name, shapes.events_of(shape, chosen.events))
            job = Job(*bundles.of(shape), store.url, name, shape.partitions, chosen.events)
            jobs[size] = job, row_bytes
        for number in range(chosen.rounds):
            for size, (job, _) in jobs.items():
                runs.setdefault(size, []).append(score(running, cores, job, str(number)))
    return {size: summary(runs[size], row_bytes) for size, (_, row_bytes) in jobs.items()}


def remember(
    running: Servers, cores: Cores, bundles: Bundles, events: int
) -> tuple[float, list[tuple[int, float]]]:
    """The long run: MB a million events, and memory by events."""
    with plain_redis(running, "memory", BASE) as (store, _):
        job = Job(*bundles.of(BASE), store.url, "memory", BASE.partitions, events)
        return endure(running, cores, job, BASE)


def _chosen() -> Chosen:
    parser = argparse.ArgumentParser(description=__doc__)
    parts = (*DEFAULTS, "memory")
    parser.add_argument("--only", choices=parts, action="append", help="one part; repeatable")
    parser.add_argument("--events", type=int, default=300_000, help="in each run")
    parser.add_argument("--rounds", type=int, default=5)
    for part, sizes in DEFAULTS.items():
        parser.add_argument(f"--{part}", type=shapes.sizes, default=shapes.sizes(sizes), metavar="N,...")
    parser.add_argument("--memory-events", type=lambda text: int(float(text)), default=10_000_000)
    given = parser.parse_args()
    wanted = given.only or parts
    return Chosen(
        events=given.events,
        rounds=given.rounds,
        sizes={part: getattr(given, part) for part in DEFAULTS if part in wanted},
        memory_events=given.memory_events if "memory" in wanted else 0,
    )


if __name__ == "__main__":
    main()
