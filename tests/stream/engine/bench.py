"""Score and materialize workers put together in memory, as the real ones are, on a clock that tests turn."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from prometheus_client import CollectorRegistry

from features.codec import decode_rows
from features.definition import parse_definition
from features.definition.model import Definition, RowKind
from features.keys import Namespace
from features.progress import ALWAYS, Progress, decode_progress
from features.stores.deadline import DeadlineReader
from stream.engine.batch import BatchPolicy
from stream.engine.breaker import BreakerPolicy
from stream.engine.entries import Batch, event_batches, label_batches
from stream.engine.loop import LoopPolicy, ScoreLoop
from stream.engine.materializer import MaterializePolicy, Materializer, Surroundings
from stream.engine.overlay import Overlay
from stream.engine.ownership import Ownership
from stream.engine.publisher import OutputTopics, Publisher
from stream.engine.reads import GuardedReads
from stream.engine.rejects import RejectLimit
from stream.engine.scoring import BatchScorer, ScoringPolicy
from stream.engine.serving import Loaded, Serving, build_serving
from stream.metrics import MaterializeMetrics, ScoreMetrics
from stream.pipeline.enrich import FreshnessPolicy
from stream.records import RecordBatch
from stream.transport.memory import MemoryBroker, MemorySink, MemorySource, StoredRecord
from tests.stream.engine.stores import Connection, StoreServer
from tests.stream.visits import TEXT, Visit

VISITS = parse_definition(TEXT + "output: {features: all}\n", "visits.yaml")
HOUR_MS = 3_600_000
START_MS = 1_000_000
REVOKE_FLUSH_MS = 1_000
EVENTS, LABELS = "visits.events", "visits.labels"
OUTPUTS = OutputTopics("visits.predictions", "visits.deadletters")
SMALL_BATCHES = BatchPolicy(1, 100)
NO_BUNDLES = Loaded(None, None, ())
Origin = tuple[int, int]
"""Partition and offset of an event."""
Rows = dict[tuple[str, str], set[tuple[Any, ...]]]
"""By entity and key: the distinct entries, each (time, id, mark, values)."""


class Clock:
    """A second after the first events."""

    def __init__(self) -> None:
        self.ms = START_MS + 1_000

    def __call__(self) -> int:
        return self.ms


@dataclass
class Materializing:
    """A materialize worker's one half."""

    worker: Materializer
    source: MemorySource
    store: Connection

    def settle(self, records_max: int = 1_000) -> None:
        """Step until nothing is left to do."""
        for _ in range(200):
            idle = self.worker.step(records_max, 0) == 0
            if idle and not self.worker.waiting_for_store and not lag(self.source):
                return
        raise AssertionError("it does not settle")


@dataclass
class Scoring:
    """A score worker."""

    loop: ScoreLoop
    source: MemorySource
    sink: MemorySink
    overlay: Overlay
    ownership: Ownership
    reads: GuardedReads
    registry: CollectorRegistry
    metrics: ScoreMetrics
    waited: list[int]
    """How often the loop waited for acknowledgements, each time the number of batches in flight."""

    def settle(self) -> None:
        """Step until the log's end, and have everything acknowledged and committed."""
        for _ in range(2_000):
            if self.loop.step() == 0 and not lag(self.source) and not self.loop.in_flight:
                return
        raise AssertionError("it does not settle")

    def value(self, name: str, **labels: str) -> float:
        """A metric's value; 0 where there is none."""
        return self.registry.get_sample_value(name, {"use_case": "visits", **labels}) or 0.0


@dataclass
class Bench:
    """Everything that workers share."""

    definition: Definition = VISITS
    partitions: int = 1
    clock: Clock = field(default_factory=Clock)
    epochs: int = 0

    def __post_init__(self) -> None:
        self.broker = MemoryBroker(self.clock)
        for topic in (EVENTS, LABELS, OUTPUTS.predictions, OUTPUTS.deadletters):
            self.broker.create_topic(topic, self.partitions)
        self.store = StoreServer(self.clock)
        self.namespace = Namespace.of(self.definition)
        self._opened: list[GuardedReads] = []

    # --------------------------------------------------------------------------------------------- records

    def produce(self, *visits: tuple[int, str, str | None, float], partition: int = 0) -> None:
        """Visits as (time, person, door, weight); their ids are their positions."""
        for time, person, door, weight in visits:
            offset = self.log_end(partition)
            self.produce_visit((partition, offset, time, person, door, weight))

    def produce_visit(self, visit: Visit, visit_id: str | None = None) -> None:
        partition, offset, time, person, door, weight = visit
        event = {
            "visit": visit_id or f"{partition}-{offset}",
            "at": time,
            "person": person,
            "door": door,
            "weight": weight,
        }
        self.broker.append(EVENTS, person.encode(), msgspec.json.encode(event), [], partition)

    def produce_again(self, partition: int, offset: int) -> None:
        """The same bytes once more, as a producer that is not idempotent does."""
        record = self.broker.records(EVENTS, partition)[offset]
        self.broker.append(EVENTS, record.key, record.value, [], partition)

    def log_end(self, partition: int = 0, topic: str = EVENTS) -> int:
        return self.broker.logs(topic)[partition].high

    # --------------------------------------------------------------------------------------------- workers

    def materializer(
        self,
        group: str = "visits.materialize",
        topic: str = EVENTS,
        complete_since: int | None = ALWAYS,
        on_sleep: Callable[[], None] = lambda: None,
    ) -> Materializing:
        metrics = MaterializeMetrics(CollectorRegistry(), self.definition.name)
        to_batch: Callable[[RecordBatch], Batch] = (
            event_batches(self.definition, HOUR_MS)
            if topic == EVENTS
            else label_batches(self.definition, HOUR_MS, metrics)
        )

        def sleep_s(seconds: float) -> None:
            self.clock.ms += int(seconds * 1000)
            on_sleep()

        def new_epoch() -> str:
            self.epochs += 1
            return f"epoch-{self.epochs}"

        store = self.store.connect()
        policy = MaterializePolicy(
            ttl_ms=None, complete_since=complete_since, heartbeat_ms=5_000, by_the_clock=True
        )
        around = Surroundings(self.clock, sleep_s, new_epoch)
        worker = Materializer(self.namespace, store, to_batch, metrics, policy, around)
        source = MemorySource(self.broker, topic, group, worker)
        worker.attach(source)
        return Materializing(worker, source, store)

    def scorer(
        self,
        sink: MemorySink | None = None,
        batch: BatchPolicy = SMALL_BATCHES,
        overlay_bytes: int = 1_000_000,
        rejects: RejectLimit | None = None,
        in_flight_max: int = 4,
        serving: Serving | None = None,
    ) -> Scoring:
        registry = CollectorRegistry()
        metrics = ScoreMetrics(registry, self.definition.name)
        sink = sink or MemorySink(self.broker)
        # The deadline is there and never missed: what a missed one does, tests of the reader say.
        reader = DeadlineReader(self.store.connect, 60_000)
        failures = BreakerPolicy(failures_max=3, rest_ms=1_000)
        reads = GuardedReads(
            reader, failures, self.clock, lambda cause: metrics.store_failed(str(cause.name).lower())
        )
        self._opened.append(reads)
        overlay = Overlay(self.definition, overlay_bytes)
        ownership = Ownership(EVENTS, self.namespace, reads, overlay)
        policy = ScoringPolicy(FreshnessPolicy(limit=10_000, heartbeat_ms=15_000), reasons_top=2)
        waited: list[int] = []
        reads_labels = any(row.kind is RowKind.LABELS for row in self.definition.rows)
        looping = LoopPolicy(
            batch=batch,
            wait_ms=0,
            in_flight_max=in_flight_max,
            commit_interval_ms=0,
            revoke_flush_ms=REVOKE_FLUSH_MS,
            labels_topic=LABELS if reads_labels else None,
            waiting=lambda: waited.append(publisher.in_flight),
        )
        publisher = Publisher(sink, OUTPUTS, metrics, self.clock)
        loop = ScoreLoop(
            publisher,
            BatchScorer(reads, overlay, policy, self.clock, metrics.stage),
            ownership,
            rejects or RejectLimit(0.1, 10_000),
            metrics,
            looping,
            self.clock,
        )
        loop.serve(serving or self.serving())
        source = MemorySource(self.broker, EVENTS, "visits.score", loop)
        loop.attach(source)
        return Scoring(loop, source, sink, overlay, ownership, reads, registry, metrics, waited)

    def serving(self, loaded: Loaded = NO_BUNDLES) -> Serving:
        return build_serving(loaded, self.definition, future_limit_ms=HOUR_MS, message_bytes_max=100_000)

    def close(self) -> None:
        for reads in self._opened:
            reads.close()

    # --------------------------------------------------------------------------------------------- outcomes

    def predictions(self) -> list[dict[str, Any]]:
        """Every prediction, partition by partition in the order of the log."""
        logged = [
            record for p in range(self.partitions) for record in self.broker.records(OUTPUTS.predictions, p)
        ]
        return [msgspec.json.decode(record.value or b"") for record in logged]

    def predicted(self) -> list[Origin]:
        """What was predicted, in order of position; one that was predicted twice stands there twice."""
        return sorted((p["origin"]["partition"], p["origin"]["offset"]) for p in self.predictions())

    def dead_letters(self) -> list[StoredRecord]:
        partitions = range(self.partitions)
        return [record for p in partitions for record in self.broker.records(OUTPUTS.deadletters, p)]

    def committed(self, group: str = "visits.score", topic: str = EVENTS) -> dict[int, int]:
        return dict(self.broker.committed(topic, group))

    def progress(self, partition: int = 0, topic: str = EVENTS) -> Progress | None:
        """What the store says."""
        epoch, value = self.store.store.read(
            [self.namespace.epoch(), self.namespace.progress(topic, partition)]
        )
        return None if epoch is None else decode_progress(value, epoch.decode())

    def rows(self, kind: RowKind = RowKind.EVENTS) -> Rows:
        """Every row the store holds, as sets of entries."""
        return entries_by_row(self.definition, self.namespace, self.store, kind)

    def wanted_rows(self, until: Sequence[int] | None = None) -> Rows:
        """What rows of events hold once the log is materialized, or each partition up to an offset."""
        server = StoreServer(self.clock)
        to_batch = event_batches(self.definition, HOUR_MS)
        batch = to_batch(log_batch(self.broker, self.partitions, until))
        server.connect().append(batch.chunks, None)
        return entries_by_row(self.definition, self.namespace, server, RowKind.EVENTS)


@contextmanager
def bench(definition: Definition = VISITS, partitions: int = 1) -> Iterator[Bench]:
    made = Bench(definition, partitions)
    try:
        yield made
    finally:
        made.close()


def lag(source: MemorySource) -> int:
    return sum(of.records for of in source.lag().values())


def entries_by_row(definition: Definition, namespace: Namespace, server: StoreServer, kind: RowKind) -> Rows:
    rows: Rows = {}
    for schema in (row for row in definition.rows if row.kind is kind):
        prefix = namespace.row_prefix(schema.entity, kind)
        for name in [n for n in server.store._values if n.startswith(prefix)]:
            entries, corrupt = decode_rows(schema, server.store.read([name]))
            assert not corrupt.any()
            columns = (entries.times, entries.ids, entries.marks, entries.values)
            lists = [column.tolist() for column in columns]
            rows[schema.entity, name[len(prefix) :].decode()] = {
                (time, event_id, mark, tuple(values))
                for time, event_id, mark, values in zip(*lists, strict=True)
            }
    return rows


def log_batch(broker: MemoryBroker, partitions: int, until: Sequence[int] | None = None) -> RecordBatch:
    """Everything in the log of events, or each partition up to an offset."""
    logged = [
        (partition, record)
        for partition in range(partitions)
        for record in broker.records(EVENTS, partition)[: None if until is None else until[partition]]
    ]
    records = [record for _, record in logged]
    return RecordBatch(
        topic=EVENTS,
        partitions=np.array([partition for partition, _ in logged], np.int64),
        offsets=np.array([record.offset for record in records], np.int64),
        timestamps=np.array([record.timestamp for record in records], np.int64),
        keys=[record.key for record in records],
        values=[record.value for record in records],
        headers=lambda i: records[i].headers,
    )
