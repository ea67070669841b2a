"""From what was sent and read to the figures of a latency benchmark."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.openloop import Outcome, Sent
from features.arrays import Bools, Floats, Ints

WARM_S = 1.0
WARM_SHARE = 0.25
"""Of each slot, at most, left out of the figures and not of the count of lost events."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One contestant at one rate, once. Latencies of n events in ms."""

    name: str
    rate: int
    latency_ms: Floats
    lost: int
    doubled: int
    by_model: float
    """The share of outputs that a model answered."""
    idle: float
    """The share of the machine's time that nobody used meanwhile: near 0, others are measured too."""
    sender_late_ms: float
    """p99 of how late the sender itself was; it is part of the latencies."""
    own_ms: Floats
    """Shape (n,): from the return of the poll until the producer had the batch; empty where unknown."""
    batches: Ints
    """How many outputs each of its batches had."""
    batch_cpu_ms: Floats
    """CPU time of the worker's own thread for each batch, from poll to producer."""

    @property
    def p99_ms(self) -> float:
        return quantile(self.latency_ms, 0.99)


def figures(name: str, rate: int, found: Outcome, sent: Sent, idle: float = 1.0) -> Turn:
    """Lost events have no latency: they are counted, and no figure means anything where there are any."""
    timed = warmed(found.due_ns)
    latency_ms = found.latency_ms[timed]
    return Turn(
        name=name,
        rate=rate,
        latency_ms=latency_ms[~np.isnan(latency_ms)],
        lost=found.lost,
        doubled=found.doubled,
        by_model=found.by_model / max(len(found.due_ns), 1),
        idle=idle,
        sender_late_ms=quantile(sent.late_ns[timed] / 1e6, 0.99),
        own_ms=np.empty(0),
        batches=np.empty(0, np.int64),
        batch_cpu_ms=np.empty(0),
    )


def own_ms(turn: Turn, clock: Ints, sent: Sent) -> Turn:
    """The turn with the worker's own times. clock: shape (batches, 4), as `benchmarks.timed_score` writes."""
    timed = sent.due_ns[warmed(sent.due_ns)]
    returned, ended, outputs, cpu_ns = clock.T
    here = (returned >= timed[0]) & (returned <= timed[-1])
    took_ms = (ended - returned)[here] / 1e6
    batches = outputs[here]
    return replace(
        turn,
        own_ms=np.repeat(took_ms, batches),
        batches=batches,
        batch_cpu_ms=cpu_ns[here] / 1e6,
    )


def warmed(due_ns: Ints) -> Bools:
    """Which of n events count."""
    span_s = (due_ns[-1] - due_ns[0]) / 1e9
    found: Bools = due_ns >= due_ns[0] + int(1e9 * min(WARM_S, WARM_SHARE * span_s))
    return found


def report(turns: Sequence[Turn], bare: str, ours: str) -> dict[str, object]:
    """Every contestant at every rate, and the ratios of each to `bare`."""
    rates, names = sorted({turn.rate for turn in turns}), dict.fromkeys(turn.name for turn in turns)
    by = {
        name: {rate: [t for t in turns if (t.name, t.rate) == (name, rate)] for rate in rates}
        for name in names
    }
    ratios: dict[str, object] = {
        f"p99_to_passthrough_{rate}": _ratio(by[ours][rate], by[bare][rate]) for rate in rates
    }
    ratios["own_p99_ms"] = _median([quantile(turn.own_ms, 0.99) for turn in by[ours][rates[0]]])
    return {
        "ratios": ratios,
        "p99_to_passthrough_of_others": {
            name: {str(rate): _ratio(by[name][rate], by[bare][rate]) for rate in rates}
            for name in names
            if name not in (ours, bare)
        },
        "added_ms": {
            str(rate): {
                f"p{q * 100:g}": _median([quantile(t.latency_ms, q) for t in by[ours][rate]])
                - _median([quantile(t.latency_ms, q) for t in by[bare][rate]])
                for q in (0.5, 0.99)
            }
            for rate in rates
        },
        "latency_ms": {
            name: {str(rate): summary(found) for rate, found in of_rate.items()}
            for name, of_rate in by.items()
        },
    }


def summary(turns: Sequence[Turn]) -> dict[str, object]:
    """Medians over turns, with what they are medians of; p99.9 is of all turns' events together."""
    p99s = [round(turn.p99_ms, 2) for turn in turns]
    found: dict[str, object] = {
        "p50": _median([quantile(turn.latency_ms, 0.5) for turn in turns]),
        "p99": _median(p99s),
        "p99.9": round(quantile(np.concatenate([turn.latency_ms for turn in turns]), 0.999), 3),
        "p99_by_turn": p99s,
        "sender_late_p99": _median([turn.sender_late_ms for turn in turns]),
        "idle_by_turn": [round(turn.idle, 2) for turn in turns],
        "events": int(sum(len(turn.latency_ms) for turn in turns)),
        "lost": sum(turn.lost for turn in turns),
        "doubled": sum(turn.doubled for turn in turns),
    }
    if all(len(turn.own_ms) for turn in turns):
        found["answered_by_model"] = _median([turn.by_model for turn in turns])
        found["batch_median"] = _median([float(np.median(turn.batches)) for turn in turns])
        found["batch_cpu_ms_median"] = _median([float(np.median(turn.batch_cpu_ms)) for turn in turns])
        for q in (0.5, 0.99):
            found[f"own_p{q * 100:g}"] = _median([quantile(turn.own_ms, q) for turn in turns])
    return found


def quantile(values: Floats, q: float) -> float:
    """The value that a share q of them does not exceed; NaN of none."""
    return float(np.quantile(values, q, method="inverted_cdf")) if len(values) else float("nan")


def _ratio(ours: Sequence[Turn], bare: Sequence[Turn]) -> float:
    return round(_median([t.p99_ms for t in ours]) / _median([t.p99_ms for t in bare]), 3)


def _median(values: Sequence[float]) -> float:
    return round(float(np.median(values)), 3)
