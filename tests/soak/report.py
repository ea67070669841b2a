"""What a soak run says: a line a minute while it goes on, and for each worker what it comes to."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tests.soak.slope import floor, has_grown, theil_sen, verdict
from tests.soak.watch import Sample

GROWTH_MAX = 0.1
"""Of what is resident, per hour. Memory counts as flat where its slope is less with 97.5 % confidence."""
BLOCK_S = 60.0
NONE = "-"
HEADING = (
    f"{'minute':>6} {'worker':<11} {'events':>10} {'lag':>7} {'rss MB':>7} {'own MB':>7} "
    f"{'fds':>4} {'threads':>7} {'p50 ms':>7} {'p99 ms':>7}"
)


def line(name: str, minute: Sequence[Sample]) -> str:
    """Of the samples of a minute: where it ended, and the median of its latencies."""
    last = minute[-1]
    latencies = [_median([s.latency_ms.get(q) for s in minute]) for q in ("p50", "p99")]
    p50, p99 = (NONE if value is None else f"{value:.0f}" for value in latencies)
    return (
        f"{last.at_s / 60:>6.1f} {name:<11} {last.events:>10,} {last.lag:>7,} {last.rss_mb:>7.1f} "
        f"{last.own_mb:>7.1f} {last.fds:>4} {last.threads:>7} {p50:>7} {p99:>7}"
    )


def summary(samples: Sequence[Sample], warm_s: float) -> dict[str, Any]:
    """Of one worker: growth and latency after the warm-up. Memory is judged by the floor of each minute."""
    warm = [sample for sample in samples if sample.at_s >= warm_s]
    memory = {name: _memory(warm, [getattr(s, name) for s in warm]) for name in ("rss_mb", "own_mb")}
    latency = {
        name: [value for s in warm if (value := s.latency_ms.get(name)) is not None]
        for name in ("p50", "p95", "p99")
    }
    counts = {"fds": [s.fds for s in warm], "threads": [s.threads for s in warm]}
    return {
        "samples": len(warm),
        "warm_up_s": _rounded(warm_s),
        **memory,
        **{name: _range(some) for name, some in counts.items()},
        "grew": [name for name, some in counts.items() if has_grown(some)],
        "latency_ms_median": {name: _median(some) for name, some in latency.items()},
        "latency_ms_max": {name: max(some, default=None) for name, some in latency.items()},
    }


def failures(name: str, told: dict[str, Any]) -> list[str]:
    """What a summary says that must not be."""
    found = [f"{what} of {name} grew" for what in told["grew"]]
    memory = told["rss_mb"]
    slope = memory["per_hour"]
    between = f"between {slope['low']} and {slope['high']} MB an hour, {memory['per_hour_max']} may be"
    if memory["verdict"] == "grows":
        found.append(f"memory of {name} grows: {between}")
    if memory["verdict"] == "unknown":
        found.append(f"memory of {name} is not shown to be flat: {between}. A longer run tells")
    return found


def _memory(samples: Sequence[Sample], mb: Sequence[float]) -> dict[str, Any]:
    lowest_at, lowest = floor([s.at_s for s in samples], mb, BLOCK_S)
    per_hour = theil_sen([at / 3600 for at in lowest_at], lowest)
    limit = GROWTH_MAX * statistics.median(mb) if mb else math.nan
    events = {s.at_s: s.events for s in samples}
    per_event = theil_sen([events[at] for at in lowest_at], [value * 2**20 for value in lowest])
    return {
        **_range(mb),
        "median": statistics.median(mb) if mb else None,
        "minutes": len(lowest),
        "per_hour": {key: _rounded(value) for key, value in asdict(per_hour).items()},
        "per_hour_max": _rounded(limit),
        "verdict": verdict(per_hour, len(lowest), limit),
        "bytes_per_event": {key: _rounded(value) for key, value in asdict(per_event).items()},
    }


def _range(values: Sequence[float]) -> dict[str, float | None]:
    if not values:
        return dict.fromkeys(("first", "min", "max", "last"))
    return {"first": values[0], "min": min(values), "max": max(values), "last": values[-1]}


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _rounded(value: float) -> float | None:
    return round(value, 2) if math.isfinite(value) else None
