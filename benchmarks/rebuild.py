"""How long it takes until the rows are whole again after Redis lost everything: a million entries.

A materialize worker has filled the rows of examples/fraud from its topics (an event gives an entry for its
customer and one for its terminal, its label another) and stands by. Then Redis is emptied, or killed and
started without data, and the worker fills the rows anew. Time runs from the loss until the store says of
every partition that it is whole. The worker is alone on one core; Kafka, Redis and this process are on
another. Medians of the rounds.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict

from benchmarks.environment import environment
from benchmarks.servers import PARTITIONS, Cores, Servers, servers
from benchmarks.workers import Materializing, card_messages, definition, materializing
from features.definition.model import RowKind

LOSSES: dict[str, Callable[[Servers], None]] = {
    "flushed": lambda running: running.forget(),
    "killed_and_started_empty": lambda running: running.kill_redis(),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    cores, around = Cores.available(), environment()
    rows = definition().rows
    made = card_messages(chosen.entries // len(rows) + 1)
    labels = [label for label in made.labels if label is not None]
    topics = {f"{definition().name}.events": made.events, f"{definition().name}.labels": labels}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in LOSSES}
    with servers(cores) as running:
        for topic, records in topics.items():
            running.create_topic(topic)
            running.fill(topic, records)
        ends = {topic: len(records) for topic, records in topics.items()}
        with materializing(running, cores.measured, "rebuild") as worker:
            worker.wait_until(lambda: is_whole(worker, ends), "whole")
            rows_before = running.client.dbsize()
            for _ in range(chosen.rounds):
                for name, lose in LOSSES.items():
                    times[name].append(rebuild(worker, ends, lose))
                    assert running.client.dbsize() == rows_before
    of_events = sum(row.kind is RowKind.EVENTS for row in rows)
    report = {
        "benchmark": "rebuild",
        "seconds_until_whole": {name: _median([whole for whole, _ in of]) for name, of in times.items()},
        "seconds_until_noticed": {name: _median([seen for _, seen in of]) for name, of in times.items()},
        "entries": len(made.events) * of_events + len(labels) * (len(rows) - of_events),
        "keys": rows_before,
        "partitions": PARTITIONS,
        "rounds": chosen.rounds,
        "seconds_by_round": {name: [round(whole, 3) for whole, _ in of] for name, of in times.items()},
        "cores": asdict(cores),
        "environment": around,
    }
    print(json.dumps(report, indent=2))


def rebuild(
    worker: Materializing, ends: dict[str, int], lose: Callable[[Servers], None]
) -> tuple[float, float]:
    """Seconds from the loss until everything is whole, and until the worker began to fill."""
    started = time.perf_counter()
    lose(worker.running)
    seen = worker.wait_until(lambda: any(worker.progress(topic) for topic in ends), "noticed")
    whole = worker.wait_until(lambda: is_whole(worker, ends), "whole")
    return whole - started, seen - started


def is_whole(worker: Materializing, ends: dict[str, int]) -> bool:
    """Whether every record of both topics is in the rows, and the store says so."""
    for topic, end in ends.items():
        known = worker.progress(topic).values()
        if sum(one.offset for one in known) < end or any(one.rebuilding for one in known):
            return False
    return True


def _median(values: list[float]) -> float:
    return round(statistics.median(values), 3)


if __name__ == "__main__":
    main()
