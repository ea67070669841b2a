"""Every metric of riverrun, in one place. `stream.metrics_page` makes docs/metrics.md of them.

Labels are bounded: use case, version, variant, source, decision, cause, reason, stage, topic and
partition. No entity, no text of a record. One registry and one port a process; Prometheus adds the instance.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Literal, TypeVar

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from features.arrays import Ints
from features.progress import NEVER, Progress
from stream.histogram import BatchedHistogram
from stream.pipeline import causes

LATENCY_BUCKETS_S = (
    0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75,
    1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0,
)  # fmt: skip
FRESHNESS_BUCKETS_S = (0.0, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 3600.0, 86400.0)
BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
STAGE_BUCKETS_S = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
_Made = TypeVar("_Made", Counter, Gauge)
BREAKER_STATES = ("closed", "open", "half_open")


@dataclass(frozen=True, slots=True)
class Described:
    """A metric as docs/metrics.md lists it."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    """Without `use_case`, which all have."""
    meaning: str


class ScoreMetrics:
    """What a score worker tells."""

    def __init__(self, registry: CollectorRegistry, use_case: str) -> None:
        self._use_case = use_case
        self._series: set[tuple[str, str, str]] = set()
        make = _Maker(registry, use_case)
        self._events = make.counter("events", "Valid events consumed, scored or not")
        self._predictions = make.counter("predictions", "Predictions made", "version", "source", "decision")
        self._degradations = make.counter("degradations", "Predictions stamped with a cause", "cause")
        self._fallbacks = make.counter("fallbacks", "Predictions not made by the champion", "source", "cause")
        self._dead_letters = make.counter("dead_letters", "Records sent to the dead letters", "reason")
        self._model_errors = make.counter("model_errors", "Batches in which a model raised")
        self._store_errors = make.counter("store_errors", "Reads of the online store that failed", "cause")
        self._commit_failures = make.counter("commit_failures", "Commits that Kafka refused")
        self._refusals = make.counter("bundle_refusals", "Deployed bundles that were refused")
        self._reject_share = make.gauge("reject_share", "Share of rejected records in the window")
        self._lag_records = make.series("lag_records", "Records between position and log end", "partition")
        self._lag_seconds = make.gauge(
            "lag_seconds", "Age of the last polled record while behind; 0 at the log's end"
        )
        self._in_flight = make.gauge("in_flight_batches", "Batches not yet committable")
        self._overlay_bytes = make.gauge("overlay_bytes", "Entries held beyond the materializer's progress")
        self._breaker = make.gauge("breaker_state", "1 for the state the store's breaker is in", "state")
        self._models = make.series(
            "model_info", "1 for the models in force", "version", "digest", "variant", "role"
        )
        self._batch = make.histogram("batch_size", "Records a poll brought", BATCH_BUCKETS)
        self._stage = make.histogram(
            "stage_seconds", "Time a stage took for a batch", STAGE_BUCKETS_S, "stage"
        )
        self.latency = make.batched(
            "latency_seconds", "From the record's timestamp to its acknowledgement", LATENCY_BUCKETS_S
        )
        self.freshness = make.batched(
            "freshness_seconds",
            "How far the rows of a scored event lag; offsets under sequence time",
            FRESHNESS_BUCKETS_S,
        )
        make.build_info()
        self.described = tuple(make.made)

    def polled(self, records: int) -> None:
        self._batch.labels(self._use_case).observe(records)

    def consumed(self, events: int) -> None:
        self._events.labels(self._use_case).inc(events)

    def scored(
        self, versions: Sequence[str], decisions: Sequence[str], sources: Ints, decided: Ints, masks: Ints
    ) -> None:
        """Count a batch. versions: by source. decisions: by place, the last for -1. Arrays of shape (n,)."""
        width = len(decisions)
        pairs, counts = np.unique(sources * width + decided % width, return_counts=True)
        for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
            source, decision = divmod(pair, width)
            series = (versions[source], causes.Source(source).name.lower(), decisions[decision])
            self._series.add(series)
            self._predictions.labels(self._use_case, *series).inc(count)
        for cause in causes.Cause:
            stamped = (masks & int(cause)) != 0
            if stamped.any():
                name = str(cause.name).lower()
                self._degradations.labels(self._use_case, name).inc(int(stamped.sum()))
                for source in (causes.Source.PREVIOUS, causes.Source.RULES):
                    fell = int((stamped & (sources == source)).sum())
                    if fell and cause in causes.FALLBACK_CAUSES:
                        self._fallbacks.labels(self._use_case, source.name.lower(), name).inc(fell)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage of a batch."""
        began = time.perf_counter()
        yield
        self._stage.labels(self._use_case, name).observe(time.perf_counter() - began)

    def rejects(self, share: float) -> None:
        self._reject_share.labels(self._use_case).set(share)

    def dead_letter(self, reason: str) -> None:
        self._dead_letters.labels(self._use_case, reason).inc()

    def model_raised(self, count: int) -> None:
        self._model_errors.labels(self._use_case).inc(count)

    def store_failed(self, cause: str) -> None:
        self._store_errors.labels(self._use_case, cause).inc()

    def commit_failed(self) -> None:
        self._commit_failures.labels(self._use_case).inc()

    def refused(self, count: int) -> None:
        self._refusals.labels(self._use_case).inc(count)

    def lag(self, records: Mapping[int, int], seconds: float) -> None:
        """Lag by partition (those that left are removed), and the age of the last polled record."""
        self._lag_records.show({(str(partition),): count for partition, count in records.items()})
        self._lag_seconds.labels(self._use_case).set(seconds)

    def state(self, in_flight: int, overlay_bytes: int, breaker: str) -> None:
        self._in_flight.labels(self._use_case).set(in_flight)
        self._overlay_bytes.labels(self._use_case).set(overlay_bytes)
        for name in BREAKER_STATES:
            self._breaker.labels(self._use_case, name).set(float(name == breaker))

    def serves(self, models: Sequence[tuple[str, str, str, str]]) -> None:
        """The models in force, as (version, digest, variant, role); series of retired versions go."""
        self._models.show(dict.fromkeys(models, 1))
        versions = {labels[0] for labels in models} | {"rules"}
        for series in [s for s in self._series if s[0] not in versions]:
            self._predictions.remove(self._use_case, *series)
            self._series.discard(series)


class MaterializeMetrics:
    """What a materialize worker tells."""

    def __init__(self, registry: CollectorRegistry, use_case: str) -> None:
        self._use_case = use_case
        make = _Maker(registry, use_case)
        self._entries = make.counter("entries_appended", "Entries appended to rows")
        self._store_errors = make.counter("store_errors", "Writes to the online store that failed", "cause")
        self._commit_failures = make.counter("commit_failures", "Commits that Kafka refused")
        self._labels = make.counter("labels", "Label records by what became of them", "outcome")
        self._offset = make.series("materialized_offset", "Next offset to materialize", "topic", "partition")
        self._time = make.series(
            "materialized_event_time",
            "Largest event time materialized, in the time unit",
            "topic",
            "partition",
        )
        self._backlog = make.series(
            "materialize_backlog_records", "Records not yet materialized", "topic", "partition"
        )
        self._known: dict[str, dict[int, Progress]] = {}
        make.build_info()
        self.described = tuple(make.made)

    def entries_appended(self, count: int) -> None:
        self._entries.labels(self._use_case).inc(count)

    def store_failed(self) -> None:
        self._store_errors.labels(self._use_case, "store_down").inc()

    def commit_failed(self) -> None:
        self._commit_failures.labels(self._use_case).inc()

    def labels_decoded(self, appended: int, incomplete: int, rejected: int) -> None:
        for outcome, count in (("appended", appended), ("incomplete", incomplete), ("rejected", rejected)):
            self._labels.labels(self._use_case, outcome).inc(count)

    def progress(self, topic: str, progress: Mapping[int, Progress]) -> None:
        """By partition of one topic; partitions that left are removed."""
        self._known[topic] = dict(progress)
        everything = {(t, str(p)): known for t, of in self._known.items() for p, known in of.items()}
        self._offset.show({place: known.offset for place, known in everything.items()})
        self._backlog.show({place: known.log_end - known.offset for place, known in everything.items()})
        dated = {place: known for place, known in everything.items() if known.event_time != NEVER}
        self._time.show({place: known.event_time for place, known in dated.items()})


class _Series:
    """The series of a gauge that come and go with what they speak of; a scrape never finds them all gone."""

    def __init__(self, gauge: Gauge, use_case: str) -> None:
        self._gauge = gauge
        self._use_case = use_case
        self._shown: set[tuple[str, ...]] = set()

    def show(self, values: Mapping[tuple[str, ...], float]) -> None:
        """By labels; series of other labels are removed."""
        for labels, value in values.items():
            self._gauge.labels(self._use_case, *labels).set(value)
        for labels in self._shown - values.keys():
            self._gauge.remove(self._use_case, *labels)
        self._shown = set(values)


class _Maker:
    """Makes metrics named ``riverrun_…`` whose first label is the use case, and keeps a list of them."""

    def __init__(self, registry: CollectorRegistry, use_case: str) -> None:
        self._registry = registry
        self._use_case = use_case
        self.made: list[Described] = []

    def counter(self, name: str, meaning: str, *labels: str) -> Counter:
        self.made.append(Described(f"riverrun_{name}_total", "counter", labels, meaning))
        made = Counter(f"riverrun_{name}", meaning, ["use_case", *labels], registry=self._registry)
        return self._shown(made, labels)

    def gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        self.made.append(Described(f"riverrun_{name}", "gauge", labels, meaning))
        made = Gauge(f"riverrun_{name}", meaning, ["use_case", *labels], registry=self._registry)
        return self._shown(made, labels)

    def series(self, name: str, meaning: str, *labels: str) -> _Series:
        return _Series(self.gauge(name, meaning, *labels), self._use_case)

    def histogram(self, name: str, meaning: str, bounds: Sequence[float], *labels: str) -> Histogram:
        self.made.append(Described(f"riverrun_{name}", "histogram", labels, meaning))
        names = ["use_case", *labels]
        return Histogram(f"riverrun_{name}", meaning, names, buckets=bounds, registry=self._registry)

    def batched(self, name: str, meaning: str, bounds: Sequence[float]) -> BatchedHistogram:
        self.made.append(Described(f"riverrun_{name}", "histogram", (), meaning))
        made = BatchedHistogram(f"riverrun_{name}", meaning, self._use_case, bounds)
        self._registry.register(made)
        return made

    def build_info(self) -> None:
        info = self.gauge("build_info", "1 for this build", "version", "python")
        info.labels(self._use_case, _installed_version(), python_version()).set(1)

    def _shown(self, made: _Made, labels: tuple[str, ...]) -> _Made:
        """A metric without further labels stands at 0 from the start, so that rates have a beginning."""
        if not labels:
            made.labels(self._use_case)
        return made


def _installed_version() -> str:
    try:
        return version("riverrun")
    except PackageNotFoundError:
        return "checkout"
