"""What materializes one state: the topic of events, that of labels where windows read them, and history."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from features.compaction import compact_row
from features.definition.model import Definition, RowKind
from features.keys import Namespace
from features.progress import ALWAYS
from features.store import OnlineStore
from features.stores.redis import RedisStore
from stream.clock import monotonic_ms
from stream.config import Settings, groups_of, kafka_connection, redis_for_writes, topics_of
from stream.engine.compaction_plan import growth_of
from stream.engine.compactor import Compactor
from stream.engine.entries import ToBatch, event_batches, label_batches
from stream.engine.materializer import Materializer
from stream.engine.surroundings import MaterializePolicy, Surroundings
from stream.metrics import MaterializeMetrics
from stream.transport.endpoints import Source
from stream.transport.kafka import KafkaSource
from stream.workers.backfill import row_lifetime_ms
from stream.workers.history_files import HistoryFiles
from stream.workers.load_history import BESIDE_ROWS, BesideLive, history_loader
from stream.workers.preflight import look


@dataclass(frozen=True, slots=True)
class Half:
    """What materializes one topic into the rows of one definition."""

    materializer: Materializer
    source: Source
    store: OnlineStore


class StateRows:
    """The rows of one state: `stream.engine.states.Rows`."""

    def __init__(
        self, halves: Sequence[Half], beside: BesideLive | None, metrics: MaterializeMetrics
    ) -> None:
        self._halves = halves
        self._beside = beside
        self._metrics = metrics

    @property
    def records_waiting(self) -> int | None:
        lags = [half.source.lag() for half in self._halves]
        return sum(lag.records for of in lags for lag in of.values()) if all(lags) else None

    @property
    def silent_s(self) -> float:
        """For how long a partition has brought nothing though there is lag; 0 where none is silent."""
        return max((s for half in self._halves for s in half.source.silent_s.values()), default=0)

    @property
    def is_held_up(self) -> bool:
        """Whether the store or a broker does not answer."""
        return any(half.materializer.waiting_for_store or not half.source.reachable for half in self._halves)

    @property
    def reachable(self) -> bool:
        return all(half.source.reachable for half in self._halves)

    @property
    def assigned(self) -> bool:
        return all(half.materializer.assigned_partitions for half in self._halves)

    def step(self, events_max: int, wait_ms: int) -> int:
        passed = 0
        if self._beside is not None and any(half.materializer.awaits_history for half in self._halves):
            passed += self._beside.step()
        for half in self._halves:
            passed += half.materializer.step(events_max, 0 if passed else wait_ms)
            wait_ms = 0
        return passed

    def close(self) -> None:
        """Everything, whatever closing some of it raises."""
        with ExitStack() as stack:
            if self._beside is not None:
                stack.callback(self._beside.close)
            for half in self._halves:
                stack.callback(half.store.close)
            for half in self._halves:
                stack.callback(self._metrics.progress, half.source.topic, {}, 0)
                stack.callback(half.source.close)


def begin_state(
    settings: Settings,
    definition: Definition,
    is_alone: bool,
    metrics: MaterializeMetrics,
    around: Surroundings,
) -> StateRows:
    """is_alone: what settings say of the rows there are, they say of the only ones. Raises `HistoryError`."""
    told = metrics.of_state(definition.fingerprints.state[:12])
    beside = _history(settings, definition, told)
    opening = _Opening(settings, definition, told, _policy(settings, definition, is_alone), around)
    topics, groups = topics_of(settings, definition.name), groups_of(settings, definition.name)
    limit_ms = settings.future_limit_ms
    to_batch = event_batches(definition, limit_ms)
    halves = [opening.half(topics.events, groups.events_of(definition), RowKind.EVENTS, to_batch)]
    if any(row.kind is RowKind.LABELS for row in definition.rows):
        to_batch = label_batches(definition, limit_ms, told)
        halves.append(opening.half(topics.labels, groups.labels_of(definition), RowKind.LABELS, to_batch))
    return StateRows(halves, beside, told)


@dataclass(frozen=True, slots=True)
class _Opening:
    """What the halves of a state have in common."""

    settings: Settings
    definition: Definition
    metrics: MaterializeMetrics
    policy: MaterializePolicy
    around: Surroundings

    def half(self, topic: str, group: str, kind: RowKind, to_batch: ToBatch) -> Half:
        settings, metrics, policy = self.settings, self.metrics, self.policy
        namespace = Namespace.of(self.definition)
        store = RedisStore(redis_for_writes(settings))
        growths = growth_of(namespace, [row for row in self.definition.rows if row.kind is kind])
        row_grace = None if policy.by_the_clock else policy.grace
        compactor = Compactor(store, growths, compact_row, metrics, policy.ttl_ms, row_grace)
        materializer = Materializer(namespace, store, to_batch, compactor, metrics, policy, self.around)
        source = KafkaSource(kafka_connection(settings), topic, group, materializer, settings.kafka.start)
        materializer.attach(source)
        return Half(materializer, source, store)


def _history(settings: Settings, definition: Definition, metrics: MaterializeMetrics) -> BesideLive | None:
    """What fills a store that came up empty; says so where nothing could. Raises `HistoryError`."""
    paths = settings.materialize.history
    files = HistoryFiles.open(definition, paths) if paths else None
    look(settings, definition, files)
    if files is None:
        return None
    store = RedisStore(redis_for_writes(settings))
    loader = history_loader(settings, definition, store, files, BESIDE_ROWS)
    return BesideLive(loader, store, files.rows, metrics, monotonic_ms)


def _policy(settings: Settings, definition: Definition, is_alone: bool) -> MaterializePolicy:
    since = settings.materialize.complete_since if is_alone else None
    return MaterializePolicy(
        ttl_ms=row_lifetime_ms(definition, settings.allowed_lag_ms),
        heartbeat_ms=settings.freshness.heartbeat_ms,
        grace=definition.grace,
        complete_since=ALWAYS if definition.history_none else since,
        by_the_clock=not definition.time.is_sequence,
        rewind_ms=1_000 * settings.materialize.rewind_s,
        has_history=bool(settings.materialize.history),
    )
