"""How long an event takes from when it was due to when a reader has its prediction, and our share of that.

`riverrun score` with the Handbook's use case (examples/fraud, at-least-once, its own defaults) and a
pass-through take the same topic by turns, many short turns of one run. In each turn a process starts on its
core, and events come at fixed rates (`benchmarks.openloop`); the start of each rate is left out. Kafka,
Redis, the sender, the reader and a materialize worker that keeps the rows fresh are on the other core, in
the turns of both.

`p99_to_passthrough_RATE` is the quotient of the medians, over turns, of p99. `own_p99_ms` is what the worker
itself adds at the lowest rate: from the return of the poll that brought an event until its batch is handed
to the producer, by the worker's own clock, p99 over events, median over turns. The highest rate is the one
up to which the pass-through's p99 stays under 20 ms, found first.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks import cards
from benchmarks.environment import environment
from benchmarks.latency_report import Turn, report
from benchmarks.latency_turns import PASSED_ON, WARM_EVENTS, Bench, Contestant, Feed
from benchmarks.openloop import Sender
from benchmarks.servers import PARTITIONS, Cores, servers

RATES = (1_000, 5_000)
LADDER = (7_000, 10_000, 14_000, 20_000, 28_000, 40_000, 56_000, 80_000)
"""Rates at which the pass-through is tried."""
P99_MAX_MS = 20.0
SLOT_EVENTS_MAX = 20_000
"""A higher rate has shorter slots."""
TRIES, TRY_S = 3, 2.0
PASSTHROUGH, OURS = "passthrough", "riverrun"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the command line says."""

    rounds: int
    seconds: float
    rates: Sequence[int]
    find_highest: bool
    linger_ms: float
    idle_least: float
    variants: Sequence[Contestant]


def main() -> None:
    chosen, cores, around = _chosen(), Cores.available(), environment()
    contestants = [Contestant(PASSTHROUGH, wait_ms=0), Contestant(OURS), *chosen.variants]
    with servers(cores) as running:
        events = events_needed(chosen, len(contestants))
        feed = Feed(cards.prepare(running.directory, events, ("first",)))
        cards.create_topics(running)
        running.create_topic(PASSED_ON)
        cards.load_rows(running, feed.cards)
        with cards.materializer(running, feed.cards, cores.servers):
            sender = Sender(running.kafka.bootstrap, chosen.linger_ms)
            bench = Bench(running, cores, feed, sender, chosen.idle_least)
            highest = find_highest(bench, contestants[0]) if chosen.find_highest else None
            rates = sorted({*chosen.rates, *([highest] if highest else [])})
            slots = [(rate, slot_events(rate, chosen.seconds)) for rate in rates]
            turns: list[Turn] = []
            for number in range(chosen.rounds):
                for contestant in contestants if number % 2 == 0 else contestants[::-1]:
                    turns += bench.turn(contestant, number, slots)
                    say(turns[-len(slots) :])
    print(
        json.dumps(
            {
                "benchmark": "latency",
                **report(turns, PASSTHROUGH, OURS),
                "highest_rate": highest,
                "rounds": chosen.rounds,
                "seconds": chosen.seconds,
                "generator_linger_ms": chosen.linger_ms,
                "partitions": PARTITIONS,
                "cores": asdict(cores),
                "environment": around,
            },
            indent=2,
        )
    )


def slot_events(rate: int, seconds: float) -> int:
    return min(int(rate * seconds), SLOT_EVENTS_MAX)


def events_needed(chosen: Chosen, contestants: int) -> int:
    """No event is sent twice."""
    rates = [*chosen.rates, *([LADDER[-1]] if chosen.find_highest else [])]
    turns = chosen.rounds * contestants
    found = turns * (WARM_EVENTS + sum(slot_events(rate, chosen.seconds) for rate in rates))
    if chosen.find_highest:
        found += sum(WARM_EVENTS + TRIES * slot_events(rate, TRY_S) for rate in LADDER)
    return found


def find_highest(bench: Bench, bare: Contestant) -> int | None:
    """The last of `LADDER` up to which the pass-through's p99, median of some slots, stays in its bound."""
    found = None
    for number, rate in enumerate(LADDER):
        tried = bench.turn(bare, number, [(rate, slot_events(rate, TRY_S))] * TRIES)
        say(tried)
        if float(np.median([one.p99_ms for one in tried])) >= P99_MAX_MS:
            break
        found = rate
    return found


def say(turns: Sequence[Turn]) -> None:
    """How it goes, for who waits."""
    for one in turns:
        print(
            f"{one.name} {one.rate}/s: p99 {one.p99_ms:.1f} ms, {one.lost} lost", file=sys.stderr, flush=True
        )


def _chosen() -> Chosen:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each rate in each turn")
    parser.add_argument("--rates", type=int, nargs="*", default=list(RATES))
    parser.add_argument("--no-highest", action="store_true", help="leave out the highest rate")
    parser.add_argument("--generator-linger-ms", type=float, default=5.0, help="as librdkafka's own default")
    parser.add_argument("--idle-percent", type=float, default=0.0, help="wait for a machine so quiet")
    parser.add_argument("--passthrough-wait-ms", type=int, help="also a pass-through that waits for batches")
    parser.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="NAME[,KEY=VALUE]...",
        help="also `riverrun score` with these settings; checkout=DIR runs the code of another checkout",
    )
    given = parser.parse_args()
    variants = [_variant(text) for text in given.variant]
    if given.passthrough_wait_ms:
        variants.append(Contestant("passthrough_batched", wait_ms=given.passthrough_wait_ms))
    return Chosen(
        rounds=given.rounds,
        seconds=given.seconds,
        rates=given.rates,
        find_highest=not given.no_highest,
        linger_ms=given.generator_linger_ms,
        idle_least=given.idle_percent / 100,
        variants=variants,
    )


def _variant(text: str) -> Contestant:
    name, *pairs = text.split(",")
    settings = dict(pair.split("=", 1) for pair in pairs)
    checkout = settings.pop("checkout", None)
    return Contestant(name, settings=settings, checkout=Path(checkout) if checkout else None)


if __name__ == "__main__":
    main()
