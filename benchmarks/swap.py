"""How soon a score worker is ready, and what a champion swap under load costs whoever waits for predictions.

The Handbook's use case (examples/fraud) at-least-once with riverrun's defaults; the worker alone on its core.

`ready_s`: from the start of the process until /readyz says 200, median; its bundle is deployed, its group is
new, rows are there, and events wait for nobody.

`swap_added_p99_ms`: while events come at a fixed rate, another version becomes the champion, again and
again. p99 of the events due from the deployment until a second after the first prediction of the new
version, less p99 of as long a time before; median over swaps. Events are matched by id: `lost` must be 0.
"""

import argparse
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from benchmarks import cards
from benchmarks.environment import environment
from benchmarks.latency_report import quantile
from benchmarks.latency_turns import Feed
from benchmarks.openloop import Outcome, Reader, Sender, Sent, outcome, reading
from benchmarks.processes import riverrun
from benchmarks.servers import PARTITIONS, Cores, Servers, servers
from models.deployment import deploy

VERSIONS = ("first", "second")
BEFORE_S, AFTER_S = 4.0, 4.0
"""How long load goes on before and after a deployment."""
LINGER_MS = 5.0
"""The sender's; librdkafka's own default."""
TAIL_NS = 1_000_000_000
TAKE_S = 60.0


@dataclass(frozen=True, slots=True)
class Swap:
    """One champion for another."""

    before_p99_ms: float
    around_p99_ms: float
    around_max_ms: float
    taken_s: float
    """From the deployment to when the first event was due that the new version answered."""
    lost: int
    doubled: int


def main() -> None:
    chosen, cores, around = _chosen(), Cores.available(), environment()
    per_swap = int(chosen.rate * (BEFORE_S + AFTER_S))
    with servers(cores) as running:
        events = max(1, (chosen.swaps + 1) * per_swap)
        feed = Feed(cards.prepare(running.directory, events, VERSIONS))
        cards.create_topics(running)
        cards.load_rows(running, feed.cards)
        with cards.materializer(running, feed.cards, cores.servers):
            ready = [start(running, cores, feed, number) for number in range(chosen.starts)]
            swaps = swap_all(running, cores, feed, chosen.rate, chosen.swaps) if chosen.swaps else []
    print(json.dumps(report(ready, swaps) | conditions(chosen, cores, around), indent=2))


def start(running: Servers, cores: Cores, feed: Feed, number: int) -> float:
    """Seconds until a worker of a group of its own is ready."""
    settings = {"kafka.group": f"start-{number}", "kafka.start": "latest"}
    flags = cards.flags_of(running, feed.cards.models)
    with riverrun(running, "score", cores.measured, flags, settings) as worker:
        return worker.await_ready()


def swap_all(running: Servers, cores: Cores, feed: Feed, rate: int, count: int) -> list[Swap]:
    """One worker, so many swaps. What comes before the first is left out: it warms everything up."""
    flags = cards.flags_of(running, feed.cards.models)
    sender = Sender(running.kafka.bootstrap, LINGER_MS)
    settings = {"kafka.group": "swaps", "kafka.start": "latest"}
    with (
        riverrun(running, "score", cores.measured, flags, settings) as worker,
        reading(running.kafka.bootstrap, cards.output_topic(), PARTITIONS) as reader,
    ):
        worker.await_ready()
        swaps = [swap(feed, sender, reader, rate, number) for number in range(count + 1)]
        worker.check()
    return swaps[1:]


def swap(feed: Feed, sender: Sender, reader: Reader, rate: int, number: int) -> Swap:
    """Deploy the version that is not in force, in the midst of the load."""
    version = VERSIONS[(number + 1) % len(VERSIONS)]
    deployed_ns: list[int] = []

    def deploy_it() -> None:
        deployed_ns.append(time.monotonic_ns())
        deploy(feed.cards.models, version)

    timer = threading.Timer(BEFORE_S, deploy_it)
    ids, events = feed.take(int(rate * (BEFORE_S + AFTER_S)))
    timer.start()
    sent: Sent = sender.send(cards.events_topic(), ids, events, rate)
    timer.join()
    return judge(outcome(sent, reader.take(len(ids), TAKE_S)), deployed_ns[0], version)


def judge(found: Outcome, deployed_ns: int, version: str) -> Swap:
    """p99 before and around. Raises SystemExit where the new version never answered."""
    answered = np.array([one == version for one in found.versions])
    if not answered.any():
        raise SystemExit(f"version {version} was deployed, and never answered")
    due_ns = found.due_ns
    first_ns = int(due_ns[answered].min())
    until_ns = max(first_ns, deployed_ns) + TAIL_NS
    around = (due_ns >= deployed_ns) & (due_ns < until_ns)
    before = (due_ns >= 2 * deployed_ns - until_ns) & (due_ns < deployed_ns)
    latencies = found.latency_ms
    return Swap(
        before_p99_ms=quantile(latencies[before & ~np.isnan(latencies)], 0.99),
        around_p99_ms=quantile(latencies[around & ~np.isnan(latencies)], 0.99),
        around_max_ms=quantile(latencies[around & ~np.isnan(latencies)], 1.0),
        taken_s=(first_ns - deployed_ns) / 1e9,
        lost=found.lost,
        doubled=found.doubled,
    )


def report(ready: Sequence[float], swaps: Sequence[Swap]) -> dict[str, object]:
    added = [one.around_p99_ms - one.before_p99_ms for one in swaps]
    ratios: dict[str, object] = {}
    if ready:
        ratios["ready_s"] = round(float(np.median(ready)), 3)
    if swaps:
        ratios["swap_added_p99_ms"] = round(float(np.median(added)), 3)
    return {
        "benchmark": "swap",
        "ratios": ratios,
        "ready_s_by_start": [round(one, 3) for one in ready],
        "swap": {
            "lost": sum(one.lost for one in swaps),
            "doubled": sum(one.doubled for one in swaps),
            "added_p99_ms_by_swap": [round(one, 2) for one in added],
            "before_p99_ms_by_swap": [round(one.before_p99_ms, 2) for one in swaps],
            "around_max_ms_by_swap": [round(one.around_max_ms, 2) for one in swaps],
            "taken_s_by_swap": [round(one.taken_s, 3) for one in swaps],
        },
    }


def conditions(chosen: argparse.Namespace, cores: Cores, around: dict[str, object]) -> dict[str, object]:
    return {
        "rate": chosen.rate,
        "partitions": PARTITIONS,
        "cores": asdict(cores),
        "environment": around,
    }


def _chosen() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=7)
    parser.add_argument("--swaps", type=int, default=7)
    parser.add_argument("--rate", type=int, default=1_000, help="events/s while champions are swapped")
    return parser.parse_args()


if __name__ == "__main__":
    main()
