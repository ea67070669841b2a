"""What worker processes take, sampled while they run."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.processes import Metrics, Worker
from tests.soak.running import Part

QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Taken:
    """Of one process."""

    rss_mb: float
    """Resident, shared libraries and all."""
    own_mb: float
    """Of that, what it wrote itself: only the process can give it back."""
    fds: int
    threads: int


def taken(pid: int) -> Taken:
    """What a process has now."""
    folder = Path(f"/proc/{pid}")
    lines = (folder / "smaps_rollup").read_text().splitlines()[1:]
    kb = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return Taken(
        round(kb["Rss"] / 1024, 2),
        round(kb["Private_Dirty"] / 1024, 2),
        len(list((folder / "fd").iterdir())),
        len(list((folder / "task").iterdir())),
    )


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment of one worker."""

    at_s: float
    events: int
    """That it has passed so far."""
    rss_mb: float
    own_mb: float
    fds: int
    threads: int
    lag: int
    latency_ms: dict[str, float | None]
    """Of what was acknowledged since the sample before, by percentile."""


@dataclass(slots=True)
class Watched:
    """One worker and its samples."""

    worker: Worker
    counter: str
    """The metric that counts what it passed."""
    samples: list[Sample] = field(default_factory=list)
    _buckets: dict[float, float] = field(default_factory=dict)

    def look(self, at_s: float) -> None:
        """Take a sample; a worker that does not answer now is asked the next time."""
        status, text = self.worker.get("/metrics")
        if status != 200:
            return
        metrics, have = Metrics(text), taken(self.worker.pid)
        buckets = {float(le): n for le, n in metrics.by("latency_seconds_bucket", "le").items()}
        since = {le: n - self._buckets.get(le, 0.0) for le, n in sorted(buckets.items())}
        self._buckets = buckets
        self.samples.append(
            Sample(
                at_s=round(at_s, 1),
                events=int(metrics.total(self.counter)),
                rss_mb=have.rss_mb,
                own_mb=have.own_mb,
                fds=have.fds,
                threads=have.threads,
                lag=int(metrics.total("lag_records")),
                latency_ms={f"p{q * 100:g}": quantile_ms(since, q) for q in QUANTILES if since},
            )
        )


class Watch(Part):
    """Looks at workers all along, also while a fault takes its time."""

    def __init__(self, watched: Sequence[Watched], every_s: float) -> None:
        super().__init__("watch")
        self._watched, self._every_s = watched, every_s
        self._began = time.monotonic()

    def clock_s(self) -> float:
        """Since it was made."""
        return time.monotonic() - self._began

    def work(self) -> None:
        while not self._asked_to_end.wait(self._every_s):
            for one in self._watched:
                one.look(self.clock_s())


def quantile_ms(buckets: dict[float, float], quantile: float) -> float | None:
    """The upper bound of the bucket that holds the quantile, ms; buckets are cumulative, by bound in s."""
    total = max(buckets.values(), default=0.0)
    if total <= 0:
        return None
    bound = next(le for le, n in sorted(buckets.items()) if n >= quantile * total)
    return bound * 1000 if math.isfinite(bound) else None
