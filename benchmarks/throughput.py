"""How many events a second one core carries, and at what CPU time each: limits, ours and peers side by side.

The contestants take the same topic by turns, in rounds, each alone on one core; Kafka, Redis and this process
are on another. Before and after each of ours the pass-through runs, which ratios against it are computed
with. Every run's outputs are looked at: plain scores are compared with LightGBM's own, and none may be
degraded. Prints one JSON object; `ratios` and `cpu_ratios` (the same, of CPU time an event) say how many
times as good the first is. `cpu_two_to_one` alone is a cost: CPU time with two processes to that with one.
"""

import argparse
import fnmatch
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.contestants import PASSTHROUGH, Contestant, contestants
from benchmarks.environment import environment
from benchmarks.measuring import ContestantFailed
from benchmarks.outputs import WrongOutputs
from benchmarks.ratios import Round
from benchmarks.servers import PARTITIONS, Cores, servers
from benchmarks.summary import ratios, summary
from benchmarks.track import Track
from benchmarks.usecases import make_world

FAILURES_MAX = 2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="*", help="names with commas; * and ? stand for any")
    parser.add_argument("--list", action="store_true", help="say who can take part, and end")
    parser.add_argument(
        "--beside", type=Path, metavar="DIR", help="another checkout: ours take turns with what it does"
    )
    chosen = parser.parse_args()
    able, left_out = contestants()
    if chosen.list:
        print(json.dumps({"contestants": [one.name for one in able], "left_out": left_out}, indent=2))
        return
    taking_part, unknown = pick(able, chosen.only.split(","))
    if unknown:
        known = ", ".join(one.name for one in able)
        raise SystemExit(
            f"nobody here is called {', '.join(unknown)}; there are {known}; left out: {left_out}"
        )
    if chosen.beside:
        taking_part = with_beside(taking_part, chosen.beside.resolve())
    print(json.dumps(measure(taking_part, left_out, chosen.events, chosen.rounds), indent=2))


def pick(able: Sequence[Contestant], patterns: Sequence[str]) -> tuple[list[Contestant], list[str]]:
    """Those that a pattern names, in their own order; and the patterns that name nobody."""
    wanted = [one for one in able if any(fnmatch.fnmatchcase(one.name, pattern) for pattern in patterns)]
    unknown = [p for p in patterns if not any(fnmatch.fnmatchcase(one.name, p) for one in able)]
    return wanted, unknown


def with_beside(taking_part: Sequence[Contestant], tree: Path) -> list[Contestant]:
    """Each of ours next to the same of another checkout."""
    pairs = ([one, one.of_tree(tree)] if one.kind == "ours" else [one] for one in taking_part)
    return [one for pair in pairs for one in pair]


def measure(
    taking_part: Sequence[Contestant], left_out: dict[str, str], events: int, rounds: int
) -> dict[str, object]:
    """The report. A contestant that failed twice is left out from then on, and the report says so."""
    cores, around = Cores.available(), environment()
    done: list[Round] = []
    failed: dict[str, list[str]] = {}
    say("making events")
    world = make_world(events)
    with servers(cores) as running:
        track = Track(running, cores, world, events)
        say("preparing topics, models and rows")
        track.prepare(taking_part)
        try:
            for number in range(rounds):
                say(f"round {number + 1} of {rounds}")
                done.append(one_round(track, turn(taking_part, number), failed))
        finally:
            track.close()
    return {
        "benchmark": "throughput",
        **ratios(done, taking_part),
        "contestants": summary(done, taking_part),
        "left_out": left_out,
        "failures": failed,
        "events": events,
        "records": len(world.events),
        "bytes_per_record": round(sum(len(value or b"") for _, value in world.events) / len(world.events)),
        "entities": {entity: len(values) for entity, values in world.values.items()},
        "partitions": PARTITIONS,
        "rounds": rounds,
        "cores": asdict(cores),
        "environment": around,
    }


def turn(taking_part: Sequence[Contestant], number: int) -> list[Contestant]:
    """The order of a round, with the pass-through on both sides of each of ours.

    Every second one is backwards, so that nobody always comes after the same one.
    """
    others = [one for one in taking_part if one != PASSTHROUGH]
    if number % 2:
        others.reverse()
    if PASSTHROUGH not in taking_part:
        return others
    order: list[Contestant] = []
    for one in others:
        if one.kind != "ours":
            order.append(one)
        else:
            order += [one, PASSTHROUGH] if order[-1:] == [PASSTHROUGH] else [PASSTHROUGH, one, PASSTHROUGH]
    return order if PASSTHROUGH in order else [PASSTHROUGH, *order]


def one_round(track: Track, order: Sequence[Contestant], failed: dict[str, list[str]]) -> Round:
    """Every contestant once, in this order, but for who failed too often."""
    runs = []
    for one in order:
        if len(failed.get(one.name, [])) == FAILURES_MAX:
            continue
        try:
            run = track.run(one)
        except (ContestantFailed, WrongOutputs) as error:
            failed.setdefault(one.name, []).append(str(error))
            say(f"{one.name} failed: {error}")
            continue
        say(f"  {one.name:<28} {run.events_per_s:>10,.0f}/s {run.cpu_us_per_event:>8.2f} µs")
        runs.append((one.name, run))
    return runs


def say(text: str) -> None:
    """To who waits; the report alone goes to stdout."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
