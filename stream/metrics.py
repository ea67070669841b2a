"""Every metric of riverrun, in one place. `stream.metrics_page` makes docs/metrics.md of them.

Labels are bounded: use case, state, version, variant, source, decision, cause, reason, stage, topic and
partition. No entity, no text of a record. One registry and one port a process; Prometheus adds the instance.
"""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass

import numpy as np
from prometheus_client import CollectorRegistry

from features.arrays import Ints
from features.progress import ALWAYS, NEVER
from stream.metric_makers import Described, Maker
from stream.pipeline import causes

__all__ = ["BREAKER_STATES", "Described", "MaterializeMetrics", "Materialized", "ScoreMetrics"]

LATENCY_BUCKETS_S = (
    0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75,
    1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0,
)  # fmt: skip
FRESHNESS_BUCKETS_S = (0.0, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 3600.0, 86400.0)
BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
STAGE_BUCKETS_S = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
TRANSACTION_BUCKETS_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
ROW_BYTES_BUCKETS = tuple(4**power for power in range(3, 13))
BREAKER_STATES = ("closed", "open", "half_open")


class ScoreMetrics:
    """What a score worker tells."""

    def __init__(self, registry: CollectorRegistry, use_case: str) -> None:
        self._use_case = use_case
        self._series: set[tuple[str, str, str]] = set()
        make = Maker(registry, use_case)
        self._events = make.counter("events", "Valid events consumed, scored or not")
        self._predictions = make.counter("predictions", "Predictions made", "version", "source", "decision")
        self._degradations = make.counter("degradations", "Predictions stamped with a cause", "cause")
        self._fallbacks = make.counter("fallbacks", "Predictions not made by the champion", "source", "cause")
        self._dead_letters = make.counter("dead_letters", "Records sent to the dead letters", "reason")
        self._model_errors = make.counter("model_errors", "Batches in which a model raised")
        self._store_errors = make.counter("store_errors", "Reads of the online store that failed", "cause")
        self._commit_failures = make.counter("commit_failures", "Commits that Kafka refused")
        self._transactions = make.counter("transactions", "Transactions that stand, with their offsets")
        self._aborts = make.counter(
            "transactions_aborted",
            "Transactions of which nothing stands; all is passed again",
            "cause",
        )
        self._transaction_s = make.histogram(
            "transaction_seconds", "From a transaction's first batch until it stands", TRANSACTION_BUCKETS_S
        )
        self._refusals = make.counter("bundle_refusals", "Deployed bundles that were refused")
        self._reject_share = make.gauge("reject_share", "Share of rejected records in the window")
        self._lag_records = make.series(
            "lag_records", "Records between position and log end, as last known", "partition"
        )
        self._lag_seconds = make.gauge(
            "lag_seconds",
            "No unread record is older than this; 0 at the log's end, as long as brokers say where that is",
        )
        self._in_flight = make.gauge("in_flight_batches", "Batches not yet committable")
        self._overlay_bytes = make.gauge("overlay_bytes", "Entries held beyond the materializer's progress")
        self._breaker = make.gauge("breaker_state", "1 for the state the store's breaker is in", "state")
        self._models = make.series(
            "model_info", "1 for the models in force", "version", "digest", "variant", "role"
        )
        self._compiled = make.series("model_compiled", "1 where a model in force is compiled", "version")
        self._waiting = make.series(
            "waiting_for_rows", "1 for a deployed version whose rows are not whole yet", "version"
        )
        self._waiting_records = make.series(
            "waiting_for_rows_records", "Records that the rows of a waiting version lack so far", "version"
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

    def commits_failed(self, count: int) -> None:
        self._commit_failures.labels(self._use_case).inc(count)

    def transaction_committed(self, seconds: float) -> None:
        self._transactions.labels(self._use_case).inc()
        self._transaction_s.labels(self._use_case).observe(seconds)

    def transaction_aborted(self, cause: str) -> None:
        self._aborts.labels(self._use_case, cause).inc()

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

    def waits(self, lacking: Mapping[str, int]) -> None:
        """By version that waits for its rows, the records that those lack."""
        self._waiting.show({(version,): 1 for version in lacking})
        self._waiting_records.show({(version,): count for version, count in lacking.items()})

    def serves(self, models: Sequence[tuple[str, str, str, str]], compiled: Collection[str] = ()) -> None:
        """The models in force, as (version, digest, variant, role); series of retired versions go."""
        self._models.show(dict.fromkeys(models, 1))
        self._compiled.show({(labels[0],): labels[0] in compiled for labels in models})
        versions = {labels[0] for labels in models} | {"rules"}
        for series in [s for s in self._series if s[0] not in versions]:
            self._predictions.remove(self._use_case, *series)
            self._series.discard(series)


@dataclass(frozen=True, slots=True)
class Materialized:
    """How far a partition is in the rows."""

    offset: int
    log_end: int
    event_time: int
    arrived: int | None
    """The newest timestamp, ms, of its records that are in the rows; None before any."""
    complete_since: int


class MaterializeMetrics:
    """What a materialize worker tells."""

    def __init__(self, registry: CollectorRegistry, use_case: str) -> None:
        self._use_case = use_case
        make = Maker(registry, use_case)
        place = ("topic", "partition", "state")
        self._entries = make.counter("entries_appended", "Entries appended to rows")
        self._late = make.counter(
            "late_entries", "Entries left out because their time was folded when they came"
        )
        self._compactions = make.counter(
            "compactions", "Long rows looked at, by what became of them", "outcome"
        )
        self._setbacks = make.counter(
            "rebuilds", "Partitions materialized again because the store lost some, or may have", "cause"
        )
        self._store_errors = make.counter("store_errors", "Writes to the online store that failed", "cause")
        self._commit_failures = make.counter("commit_failures", "Commits that Kafka refused")
        self._labels = make.counter("labels", "Label records by what became of them", "outcome")
        self._claims = make.counter("history_claims", "Histories that were loaded by this worker")
        self._row_bytes = make.batched("row_bytes", "Length of a row after an append", ROW_BYTES_BUCKETS)
        self._offset = make.series("materialized_offset", "Next offset to materialize", *place)
        self._time = make.series(
            "materialized_event_time", "Largest event time materialized, in the time unit", *place
        )
        self._arrived = make.series(
            "materialized_arrival_seconds", "Largest record timestamp materialized, since the epoch", *place
        )
        self._since = make.series(
            "materialized_complete_since", "Event time from which on the rows hold every event", *place
        )
        self._backlog = make.series("materialize_backlog_records", "Records not yet materialized", *place)
        self._behind = make.series(
            "materialize_backlog_seconds",
            "Age of the last record materialized while others wait; 0 at the log's end",
            *place,
        )
        self._gaps = make.series(
            "history_gap", "Event time between a loaded history's end and the log; 0 for no gap", *place
        )
        self._state = ""
        self._known: dict[tuple[str, str], Mapping[int, Materialized]] = {}
        self._lacking: dict[tuple[str, str], Mapping[int, int]] = {}
        make.build_info()
        self.described = tuple(make.made)

    def of_state(self, state: str) -> "MaterializeMetrics":
        """The same metrics; what is told of partitions there, is told of the rows of this state."""
        told = copy(self)
        told._state = state
        return told

    def entries_appended(self, count: int) -> None:
        self._entries.labels(self._use_case).inc(count)

    def rows_grew(self, lengths: Ints) -> None:
        """Bytes of each row after an append: shape (rows,)."""
        self._row_bytes.observe(lengths.astype(np.float64))

    def compacted(self, outcome: str) -> None:
        self._compactions.labels(self._use_case, outcome).inc()

    def late(self, count: int) -> None:
        self._late.labels(self._use_case).inc(count)

    def set_back(self, rebuilt: int, rewound: int) -> None:
        """So many partitions lost their state, or their last writes."""
        for cause, count in (("lost", rebuilt), ("restarted", rewound)):
            self._setbacks.labels(self._use_case, cause).inc(count)

    def history_loaded(self) -> None:
        self._claims.labels(self._use_case).inc()

    def store_failed(self) -> None:
        self._store_errors.labels(self._use_case, "store_down").inc()

    def commits_failed(self, count: int) -> None:
        self._commit_failures.labels(self._use_case).inc(count)

    def labels_decoded(self, appended: int, incomplete: int, rejected: int) -> None:
        for outcome, count in (("appended", appended), ("incomplete", incomplete), ("rejected", rejected)):
            self._labels.labels(self._use_case, outcome).inc(count)

    def progress(self, topic: str, partitions: Mapping[int, Materialized], now_ms: int) -> None:
        """By partition of one topic; partitions that left are removed."""
        self._known[topic, self._state] = partitions
        known = {(t, str(p), state): one for (t, state), of in self._known.items() for p, one in of.items()}
        backlog = {place: one.log_end - one.offset for place, one in known.items()}
        arrived = {place: one.arrived for place, one in known.items() if one.arrived is not None}
        self._offset.show({place: one.offset for place, one in known.items()})
        self._backlog.show(backlog)
        self._arrived.show({place: came / 1000 for place, came in arrived.items()})
        self._behind.show(
            {place: max(now_ms - came, 0) / 1000 if backlog[place] else 0 for place, came in arrived.items()}
        )
        self._time.show({place: one.event_time for place, one in known.items() if one.event_time != NEVER})
        dated = {place: one.complete_since for place, one in known.items()}
        self._since.show({place: since for place, since in dated.items() if ALWAYS < since < -ALWAYS})

    def history(self, topic: str, gaps: Mapping[int, int]) -> None:
        """By partition of one topic, the event time that neither a loaded history nor the log holds."""
        self._lacking[topic, self._state] = gaps
        self._gaps.show(
            {(t, str(p), state): gap for (t, state), of in self._lacking.items() for p, gap in of.items()}
        )
