"""Score and materialize workers put together in memory, as the real ones are, on a clock that tests turn."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry

from features.definition import parse_definition
from features.definition.model import Definition, RowKind
from features.keys import Namespace
from features.progress import ALWAYS, Progress, decode_progress
from features.stores.deadline import DeadlineReader
from stream.engine.batch import BatchPolicy
from stream.engine.breaker import BreakerPolicy
from stream.engine.compaction_plan import growth_of
from stream.engine.compactor import Compactor
from stream.engine.entries import event_batches, label_batches
from stream.engine.loop import LoopPolicy, ScoreLoop
from stream.engine.materializer import Materializer
from stream.engine.overlay import Overlay
from stream.engine.ownership import Ownership
from stream.engine.publisher import OutputTopics, PlainPublisher, Publisher
from stream.engine.reads import GuardedReads
from stream.engine.rejects import RejectLimit
from stream.engine.scoring import BatchScorer, ScoringPolicy
from stream.engine.serving import Loaded, Serving, build_serving
from stream.engine.stored import Stored, StoredState
from stream.engine.surroundings import MaterializePolicy, Surroundings
from stream.engine.transactional import TransactionalPublisher
from stream.metrics import MaterializeMetrics, ScoreMetrics
from stream.pipeline.enrich import FreshnessPolicy
from stream.transport.memory import MemoryBroker, MemorySink, MemorySource, MemoryTransactions, StoredRecord
from tests.stream.engine.contents import EVENTS, Rows, entries_by_row, log_batch
from tests.stream.engine.stores import StoreServer
from tests.stream.engine.workers import NO_COMPACTING, START_MS, Clock, Compacting, Materializing, Scoring
from tests.stream.visits import TEXT, Visit

OUTPUT = "output: {features: all}\n"
VISITS = parse_definition(TEXT + OUTPUT, "visits.yaml")
LABELLED = parse_definition(
    TEXT.replace("{field: bad, delay: 1d}", "{field: bad, delay: 5000ms}").replace(
        "rules:",
        "  - window: {entity: door, spans: [10000ms], delay: 500ms, aggregates: [mean(label)], empty: 0}\n"
        "rules:",
    )
    + OUTPUT,
    "visits.yaml",
)
"""With a window that reads labels."""
HOUR_MS = 3_600_000
HEARTBEAT_MS = 5_000
REWIND_MS = 10_000
REVOKE_FLUSH_MS = 1_000
PATIENCE_MS = 5_000
LABELS = "visits.labels"
OUTPUTS = OutputTopics("visits.predictions", "visits.deadletters")
SMALL_BATCHES = BatchPolicy(1, 100)
NO_BUNDLES = Loaded(None, None, ())
Origin = tuple[int, int]
"""Partition and offset of an event."""


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

    def produce_some(self, count: int, partition: int = 0) -> None:
        """Visits of three persons by turns, a millisecond apart."""
        for _ in range(count):
            n = self.log_end(partition)
            self.produce((START_MS + n, f"p{partition}-{n % 3}", "front", 1.0 + n % 3), partition=partition)

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

    def produce_label(self, event_id: str, value: int, observed_at: int, door: str | None = "front") -> None:
        """door: None for a label that names nothing but its event."""
        record: dict[str, object] = {"event_id": event_id, "label": value, "observed_at": observed_at}
        if door is not None:
            record |= {"event_time": START_MS, "entities": {"door": door}}
        self.broker.append(LABELS, b"front", msgspec.json.encode(record), [], 0)

    def log_end(self, partition: int = 0, topic: str = EVENTS) -> int:
        return self.broker.logs(topic)[partition].high

    # --------------------------------------------------------------------------------------------- workers

    def materializer(
        self,
        group: str = "visits.materialize",
        topic: str = EVENTS,
        complete_since: int | None = ALWAYS,
        has_history: bool = False,
        compacting: Compacting = NO_COMPACTING,
        on_sleep: Callable[[], None] = lambda: None,
    ) -> Materializing:
        registry = CollectorRegistry()
        metrics = MaterializeMetrics(registry, self.definition.name)
        kind = RowKind.EVENTS if topic == EVENTS else RowKind.LABELS
        to_batch = (
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

        store, notices = self.store.connect(), list[str]()
        policy = MaterializePolicy(
            ttl_ms=None,
            heartbeat_ms=HEARTBEAT_MS,
            grace=self.definition.grace,
            complete_since=complete_since,
            by_the_clock=True,
            rewind_ms=REWIND_MS,
            has_history=has_history,
        )
        around = Surroundings(self.clock, sleep_s, new_epoch, lambda event, **_: notices.append(event))
        schemas = [replace(row, exact=compacting.exact) for row in self.definition.rows if row.kind is kind]
        growths = growth_of(self.namespace, schemas)
        compactor = Compactor(store, growths, compacting.compact, metrics, None, compacting.row_grace)
        worker = Materializer(self.namespace, store, to_batch, compactor, metrics, policy, around)
        source = MemorySource(self.broker, topic, group, worker)
        worker.attach(source)
        return Materializing(worker, source, store, registry, metrics, notices)

    def scorer(
        self,
        sink: MemorySink | None = None,
        batch: BatchPolicy = SMALL_BATCHES,
        overlay_bytes: int = 1_000_000,
        rejects: RejectLimit | None = None,
        in_flight_max: int = 4,
        serving: Serving | None = None,
        commit_interval_ms: int = 0,
        events_at_once: int | None = None,
    ) -> Scoring:
        """events_at_once: all of a poll where nothing is said."""
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
        looping = LoopPolicy(
            batch=batch,
            events_at_once=events_at_once or batch.events_max,
            wait_ms=0,
            in_flight_max=in_flight_max,
            commit_interval_ms=commit_interval_ms,
            revoke_flush_ms=REVOKE_FLUSH_MS,
            labels_topic=LABELS,
            waiting=lambda: waited.append(publisher.in_flight),
        )
        publisher: Publisher = PlainPublisher(sink, OUTPUTS, metrics, self.clock)
        if isinstance(sink, MemoryTransactions):
            publisher = TransactionalPublisher(sink, OUTPUTS, metrics, self.clock, PATIENCE_MS)
        answering = BatchScorer(reads, overlay, policy, self.clock, metrics.stage)
        loop = ScoreLoop(
            publisher,
            answering,
            ownership,
            rejects or RejectLimit(0.1, 10_000),
            metrics,
            looping,
            self.clock,
        )
        loop.serve(serving or self.serving())
        in_transactions = isinstance(sink, MemoryTransactions)
        source = MemorySource(self.broker, EVENTS, "visits.score", loop, in_transactions=in_transactions)
        loop.attach(source)
        return Scoring(loop, source, sink, overlay, ownership, reads, registry, metrics, answering, waited)

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

    def events(self) -> list[Origin]:
        """Everything in the log of events."""
        return [(p, offset) for p in range(self.partitions) for offset in range(self.log_end(p))]

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

    def progress_of(self, partition: int = 0) -> Progress:
        """What the store says, where it says something."""
        progress = self.progress(partition)
        assert progress is not None
        return progress

    def state(self) -> Stored:
        """What stands beside the rows."""
        return StoredState(self.namespace, self.store.connect(), self.clock, lambda: "?", None).read("", ())

    def materialized(self, partition: int = 0) -> int:
        """The offset up to which the store says it holds the events."""
        return self.progress_of(partition).offset

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
