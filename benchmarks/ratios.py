"""From the runs of interleaved rounds to ratios: pure computation.

A ratio is computed in each round and its median taken, so that a machine whose speed wanders from minute to
minute is slow for both. The anchor (the pass-through) runs many times in a round: who is compared with it is
compared with the mean of the nearest before and after. Every ratio of events/s has a ratio of CPU time an
event beside it, turned so that both say the same: twice as good is 2.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from benchmarks.measuring import Run

ANCHOR = "passthrough"
Round: TypeAlias = Sequence[tuple[str, Run]]
"""One after the other, by name; the anchor many times."""
Value: TypeAlias = Callable[[Run], float]


@dataclass(frozen=True, slots=True)
class Compared:
    """A ratio over the rounds that had both sides."""

    events_per_s: float
    cpu: float
    rounds: Sequence[float]
    """The ratios of events/s, in order."""
    of: tuple[str, str]
    """Whose runs they are; of several peers the one that was best most often."""

    @property
    def spread(self) -> tuple[float, float]:
        """The quartiles of the rounds; of fewer than four the extremes."""
        return spread(self.rounds)


def events_per_s(run: Run) -> float:
    """More is better."""
    return run.events_per_s


def events_per_cpu_s(run: Run) -> float:
    """More is better."""
    return 1.0 / run.cpu_us_per_event


def compare(rounds: Sequence[Round], one: str, other: str) -> Compared | None:
    """How many times as good `one` is as `other`; None where no round has both."""
    pairs = [pair for each in rounds if (pair := _pair(each, one, other))]
    if not pairs:
        return None
    found = [[_mean(mine, value) / _mean(theirs, value) for mine, theirs in pairs] for value in VALUES]
    return Compared(statistics.median(found[0]), statistics.median(found[1]), found[0], (one, other))


def compare_with_peers(
    rounds: Sequence[Round], one: str, peers: Mapping[str, Sequence[str]], rank: Callable[[int], int]
) -> Compared | None:
    """How many times as good `one` is as the peer in place `rank(number of peers)`, from the best (0) down.

    peers: by peer its contestants, of which the best of all rounds counts, for each value anew.
    """
    names: dict[str, str] = {}
    ratios: list[list[float]] = []
    for value in VALUES:
        best = [name for of in peers.values() if (name := _best(rounds, of, value))]
        if not best:
            return None
        best.sort(key=lambda name: median_of(rounds, name, value), reverse=True)
        chosen = best[rank(len(best))]
        pairs = [pair for each in rounds if (pair := _pair(each, one, chosen))]
        if not pairs:
            return None
        ratios.append([_mean(mine, value) / _mean(theirs, value) for mine, theirs in pairs])
        names.setdefault("first", chosen)
    medians = [statistics.median(found) for found in ratios]
    return Compared(medians[0], medians[1], ratios[0], (one, names["first"]))


def runs_of(rounds: Sequence[Round], name: str) -> list[Run]:
    """All of a contestant's."""
    return [run for each in rounds for who, run in each if who == name]


def median_of(rounds: Sequence[Round], name: str, value: Value) -> float:
    return statistics.median(value(run) for run in runs_of(rounds, name))


def spread(values: Sequence[float]) -> tuple[float, float]:
    """The quartiles; of fewer than four values the extremes."""
    if len(values) < 4:
        return min(values), max(values)
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, third


def _best(rounds: Sequence[Round], names: Sequence[str], value: Value) -> str | None:
    ran = [name for name in names if runs_of(rounds, name)]
    return max(ran, key=lambda name: median_of(rounds, name, value), default=None)


def _pair(each: Round, one: str, other: str) -> tuple[list[Run], list[Run]] | None:
    """The runs of both sides in a round; of the anchor those beside the other side's."""
    mine, theirs = ([at for at, (name, _) in enumerate(each) if name == who] for who in (one, other))
    if not mine or not theirs:
        return None
    if other == ANCHOR:
        theirs = _neighbours(each, mine)
    elif one == ANCHOR:
        mine = _neighbours(each, theirs)
    return [each[at][1] for at in mine], [each[at][1] for at in theirs]


def _neighbours(each: Round, places: Sequence[int]) -> list[int]:
    """Of the anchor's runs the nearest before and the nearest after each of the places."""
    anchors = [at for at, (name, _) in enumerate(each) if name == ANCHOR]
    found: set[int] = set()
    for place in places:
        found |= {max((at for at in anchors if at < place), default=anchors[0])}
        found |= {min((at for at in anchors if at > place), default=anchors[-1])}
    return sorted(found)


def _mean(runs: Sequence[Run], value: Value) -> float:
    """Of rates the harmonic mean: that of the times they took."""
    return statistics.harmonic_mean([value(run) for run in runs])


VALUES: Sequence[Value] = (events_per_s, events_per_cpu_s)
