"""What a replay says against what was served. Pure."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from features.arrays import Bools, Floats, Ints
from stream.pipeline.causes import Source
from stream.workers.replaying.served import UNSERVED, Served


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model or the rules said of n events, scored now."""

    scores: Floats
    """Shape (n, outputs)."""
    sources: Ints
    decisions: list[str | None]
    control: Bools


@dataclass(slots=True)
class Difference:
    """Adds up batch by batch."""

    unserved: int = 0
    """Events that no prediction was found of."""
    compared: int = 0
    equal: int = 0
    """To the bit: every score, the decision, and whether the event was let through as control."""
    decisions: Counter[tuple[str | None, str | None]] = field(default_factory=Counter)
    """(served, now)."""
    sources: Counter[tuple[int, int, bool]] = field(default_factory=Counter)
    """(served, now, whether it is equal)."""
    _scores: list[Floats] = field(default_factory=list)

    def add(self, served: Served, numbers: Ints, now: Answers) -> Bools:
        """Compare the events of these numbers; returns which are equal, of those that were served."""
        there = served.sources[numbers] != UNSERVED
        self.unserved += int((~there).sum())
        then = served.scores[numbers]
        # Bit by bit but for NaN, which no score is.
        same: Bools = (then == now.scores).all(axis=1) & (served.control[numbers] == now.control)
        decided = [
            (served.decisions[number], ours)
            for number, ours in zip(numbers.tolist(), now.decisions, strict=True)
        ]
        same &= np.array([before == after for before, after in decided], np.bool_)
        same &= there
        at = np.flatnonzero(there)
        self.compared += len(at)
        self.equal += int(same.sum())
        self.decisions.update(decided[i] for i in at.tolist())
        ways = zip(
            served.sources[numbers][at].tolist(), now.sources[at].tolist(), same[at].tolist(), strict=True
        )
        self.sources.update(ways)
        self._scores.append(np.abs(then[at] - now.scores[at]).max(axis=1))
        return same

    @property
    def changed(self) -> int:
        """How many decisions are others."""
        return sum(count for (before, after), count in self.decisions.items() if before != after)

    def score_differences(self) -> tuple[float, float, float]:
        """Median, 99th percentile and maximum; of classes, the largest difference of their probabilities."""
        found = np.concatenate([np.empty(0), *self._scores])
        found = found[~np.isnan(found)]
        if not len(found):
            return 0.0, 0.0, 0.0
        return float(np.quantile(found, 0.5)), float(np.quantile(found, 0.99)), float(found.max())

    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"compared:  {self.compared:,} predictions with what was served"
        if self.unserved:
            yield f"unserved:  {self.unserved:,} events, of which no prediction was found"
        if not self.compared:
            return
        differ = self.compared - self.equal
        yield f"equal:     {self.equal:,} to the bit, {differ:,} differ"
        median, most, highest = self.score_differences()
        yield f"scores:    differ by {median:.3g} (p50), {most:.3g} (p99), {highest:.3g} (max)"
        yield f"decisions: {self.changed:,} change"
        if self.changed:
            yield from self._confusion()
        yield from self._by_source()

    def _by_source(self) -> Iterator[str]:
        ways = sorted({(then, now) for then, now, _ in self.sources})
        for then, now in ways:
            equal, other = self.sources[then, now, True], self.sources[then, now, False]
            yield f"by source: {_source(then)} then, {_source(now)} now: {equal + other:,}, {other:,} differ"

    def _confusion(self) -> Iterator[str]:
        """A row for each decision that was served, a column for each that is made now."""
        names = sorted({name or "none" for pair in self.decisions for name in pair})
        widths = [max(len(name), 9) for name in names]
        first = max(len("served"), *map(len, names))
        header = "  ".join(f"{name:>{width}}" for name, width in zip(names, widths, strict=True))
        yield f"           {'served':<{first}}  {header}"
        counts = Counter[tuple[str, str]]()
        for (before, after), count in self.decisions.items():
            counts[before or "none", after or "none"] += count
        for before in names:
            cells = "  ".join(
                f"{counts[before, after]:>{width},}" for after, width in zip(names, widths, strict=True)
            )
            yield f"           {before:<{first}}  {cells}"


def _source(number: int) -> str:
    return Source(number).name.lower()
