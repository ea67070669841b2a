"""`riverrun score`: everything a score worker is made of, put together."""

import threading
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace

import structlog
from prometheus_client import CollectorRegistry

from features.stores.deadline import DeadlineReader
from features.stores.redis import RedisStore
from stream.clock import monotonic_ms, now_ms
from stream.config import (
    Settings,
    Topics,
    groups_of,
    kafka_connection,
    load_usecase,
    redis_for_reads,
    topics_of,
    transactional_id,
)
from stream.engine.batch import BatchPolicy
from stream.engine.breaker import BreakerPolicy
from stream.engine.filled import RowsReader
from stream.engine.known_lag import KnownLag, heard, lag_seconds
from stream.engine.loop import LoopPolicy, ScoreLoop
from stream.engine.overlay import Overlay
from stream.engine.ownership import Ownership
from stream.engine.publisher import OutputTopics, PlainPublisher, Publisher
from stream.engine.reads import GuardedReads
from stream.engine.rejects import RejectLimit
from stream.engine.scoring import BatchScorer, ScoringPolicy
from stream.engine.transactional import TransactionalPublisher
from stream.errors import ExitCode
from stream.log import configure
from stream.metrics import ScoreMetrics
from stream.pipeline.enrich import FreshnessPolicy
from stream.transport.endpoints import Source
from stream.transport.kafka import KafkaConnection, KafkaSink, KafkaSource, KafkaTransactions
from stream.transport.kafka.limits import TopicLimits
from stream.transport.kafka.topics import KafkaTopics
from stream.workers.deployed import Deployed
from stream.workers.runtime import SPARE_AFTER_MS, Vitals, running

log = structlog.get_logger()

BATCH_EVENTS_MIN = 100
BATCHES_A_POLL = 4
"""At most, when there is lag: all but the first are read from Redis while the one before is scored."""
OBSERVE_EVERY_MS = 500
HEARTBEATS_MISSED = 3
SAY_EVERY_MS = 10_000
APART_MS = 3_000
"""What lies so far apart is not one wait."""


def run(settings: Settings) -> int:
    """Score until told to stop; returns the exit code.

    Raises what stops a worker: `ConfigurationError`, `DefinitionError`, `Fatal`.
    """
    configure(settings.log.level, settings.log.format)
    fallback = load_usecase(settings)
    connection, topics = kafka_connection(settings), topics_of(settings, fallback.name)
    group = groups_of(settings, fallback.name).score
    known_topics = KafkaTopics(connection, group)
    rows = _rows(settings, topics, known_topics)
    deployed = Deployed(settings, fallback, rows.lacking)
    serving = deployed.first()
    registry = CollectorRegistry()
    metrics = ScoreMetrics(registry, fallback.name)
    vitals = Vitals(settings.watchdog.stall_s * 1000)
    reads = _reads(settings, metrics)
    outputs = OutputTopics(topics.predictions, topics.deadletters)
    overlay = Overlay(serving.definition, settings.overlay.bytes_max)
    ownership = Ownership(topics.events, serving.namespace, reads, overlay)
    scorer = BatchScorer(reads, overlay, _scoring(settings), now_ms, metrics.stage)
    rejects = RejectLimit(settings.rejects.share_max, settings.rejects.window)
    drained = True
    # Leaving the group may raise what stopped the worker once more; everything else is closed all the same.
    with (
        running(settings, registry, vitals) as stop,
        closing(deployed),
        closing(reads),
        closing(known_topics),
        closing(rows),
        suppress(StoppedWaiting),
    ):
        waiting = _Waiting(vitals, stop)
        with closing(_sink(settings, connection, group, outputs, waiting, vitals)) as sink:
            drained, waiting.patience_ms = False, settings.drain_s * 1000
            publisher = _publisher(settings, sink, outputs, metrics)
            policy = _looping(settings, waiting, topics.labels)
            loop = ScoreLoop(publisher, scorer, ownership, rejects, metrics, policy, now_ms)
            loop.serve(serving)
            vitals.health = replace(vitals.health, loaded=True)
            watcher = deployed.follow(settings.models, loop, metrics) if settings.models else None
            with closing(_source(settings, connection, topics.events, group, loop)) as source:
                loop.attach(source)
                view = View(source, loop, ownership, overlay, reads, scorer, metrics, vitals)
                if watcher:
                    watcher.start()
                try:
                    while not stop.is_set():
                        view.after(loop.step())
                    vitals.health = replace(vitals.health, draining=True)
                    log.info("draining")
                    drained = loop.drain(settings.drain_s * 1000)
                finally:
                    if watcher:
                        watcher.stop()
    log.info("stopped", drained=drained)
    return ExitCode.OK if drained else ExitCode.FATAL


class StoppedWaiting(Exception):
    """Told to stop, a worker waits no longer."""


class _Waiting:
    """While Kafka takes nothing the worker waits, visibly; waiting is not a stall."""

    def __init__(self, vitals: Vitals, stop: threading.Event) -> None:
        self.patience_ms = 0
        """How long waiting may go on after the worker was told to stop."""
        self._vitals, self._stop = vitals, stop
        self._stopped_ms: int | None = None
        self._since_ms = self._latest_ms = monotonic_ms()

    def __call__(self) -> None:
        """Raises `StoppedWaiting`."""
        now = monotonic_ms()
        self._vitals.progressed()
        if self._stop.is_set():
            self._stopped_ms = now if self._stopped_ms is None else self._stopped_ms
            if now - self._stopped_ms >= self.patience_ms:
                raise StoppedWaiting
        if now - self._latest_ms > APART_MS:
            self._since_ms = now
        self._latest_ms = now
        if now - self._since_ms > SAY_EVERY_MS:
            self._since_ms = now
            log.warning("waiting_for_acknowledgements")


def _sink(
    settings: Settings,
    connection: KafkaConnection,
    group: str,
    topics: OutputTopics,
    waiting: _Waiting,
    vitals: Vitals,
) -> KafkaSink:
    """Waits until Kafka answers. Raises `Fatal` for an output topic that is not there."""
    limits = TopicLimits(connection, [topics.predictions, topics.deadletters])
    limits.read(waiting)
    if settings.delivery.mode == "at_least_once":
        return KafkaSink(connection, waiting, limits)
    name = transactional_id(settings, group)
    log.info("transactional", id=name)
    timeout_ms = settings.delivery.transaction_timeout_ms
    made = KafkaTransactions(connection, name, timeout_ms, waiting, limits)
    vitals.hangs = made.is_overdue
    return made


def _source(
    settings: Settings, connection: KafkaConnection, topic: str, group: str, loop: ScoreLoop
) -> KafkaSource:
    exactly_once = settings.delivery.mode == "exactly_once"
    return KafkaSource(connection, topic, group, loop, settings.kafka.start, in_transactions=exactly_once)


def _publisher(settings: Settings, sink: KafkaSink, topics: OutputTopics, metrics: ScoreMetrics) -> Publisher:
    if isinstance(sink, KafkaTransactions):
        patience_ms = settings.delivery.transaction_timeout_ms // 2
        return TransactionalPublisher(sink, topics, metrics, now_ms, patience_ms)
    return PlainPublisher(sink, topics, metrics, now_ms)


class View:
    """What the loop tells probes and metrics, twice a second."""

    def __init__(
        self,
        source: Source,
        loop: ScoreLoop,
        ownership: Ownership,
        overlay: Overlay,
        reads: GuardedReads,
        scorer: BatchScorer,
        metrics: ScoreMetrics,
        vitals: Vitals,
    ) -> None:
        self._source = source
        self._loop = loop
        self._ownership = ownership
        self._overlay = overlay
        self._reads = reads
        self._scorer = scorer
        self._metrics = metrics
        self._vitals = vitals
        self._known = KnownLag()
        self._observed_ms = 0
        self._started_ms = monotonic_ms()
        self._state = reads.state
        self._model_errors: tuple[str, ...] = ()

    def after(self, passed: int) -> None:
        """A step of the loop passed so many records."""
        if passed:
            self._vitals.progressed()
        if self._scorer.raised != self._model_errors:
            self._model_errors = self._scorer.raised
            log.error("model_raised", errors=self._model_errors)
        now = self._loop.now_ms
        if now - self._observed_ms < OBSERVE_EVERY_MS:
            return
        self._observed_ms = now
        lags = self._source.lag()
        waiting = sum(lag.records for lag in lags.values())
        if not waiting or not self._source.reachable:
            self._vitals.progressed()
        self._known = heard(self._known, lags, self._loop.is_adrift, self._source.reachable, now)
        caught_up = self._ownership.caught_up(lags)
        # A member beyond the number of partitions gets none, and stands by.
        spare = self._source.reachable and monotonic_ms() - self._started_ms > SPARE_AFTER_MS
        self._vitals.health = replace(
            self._vitals.health,
            silent_ms=int(1000 * max(self._source.silent_s.values(), default=0)),
            assigned=bool(lags) or spare,
            caught_up=caught_up,
        )
        told = {p: lag.records for p, lag in self._known.lags.items()}
        self._metrics.lag(told, lag_seconds(self._known, now))
        self._metrics.state(self._loop.in_flight, self._overlay.size_bytes, self._reads.state.value)
        if self._reads.state is not self._state:
            self._state = self._reads.state
            log.warning("store_breaker", state=self._state.value, error=self._reads.last_error)


def _reads(settings: Settings, metrics: ScoreMetrics) -> GuardedReads:
    options = redis_for_reads(settings)
    breaker = settings.redis.breaker
    return GuardedReads(
        DeadlineReader(lambda: RedisStore.connect(options), settings.redis.deadline_ms),
        BreakerPolicy(breaker.failures_max, breaker.rest_ms),
        monotonic_ms,
        on_failure=lambda cause: metrics.store_failed(str(cause.name).lower()),
    )


def _rows(settings: Settings, topics: Topics, known: KafkaTopics) -> RowsReader:
    """Off the hot path, so it may wait longer, and connect in that time."""
    options = redis_for_reads(settings)
    deadline_ms = settings.redis.connect_timeout_ms + settings.redis.deadline_ms
    reader = DeadlineReader(lambda: RedisStore.connect(options), deadline_ms)
    return RowsReader(topics.events, topics.labels, known.partitions_of, reader, _freshness(settings), now_ms)


def _scoring(settings: Settings) -> ScoringPolicy:
    return ScoringPolicy(_freshness(settings), settings.reasons.top)


def _freshness(settings: Settings) -> FreshnessPolicy:
    return FreshnessPolicy(settings.freshness.limit_ms, HEARTBEATS_MISSED * settings.freshness.heartbeat_ms)


def _looping(settings: Settings, waiting: Callable[[], None], labels_topic: str) -> LoopPolicy:
    events_max, delivery = settings.batch.events_max, settings.delivery
    is_plain = delivery.mode == "at_least_once"
    return LoopPolicy(
        batch=BatchPolicy(min(BATCH_EVENTS_MIN, events_max), BATCHES_A_POLL * events_max),
        events_at_once=events_max,
        wait_ms=settings.batch.wait_ms,
        in_flight_max=settings.batch.in_flight_max,
        commit_interval_ms=settings.commit.interval_ms if is_plain else delivery.transaction_ms,
        revoke_flush_ms=settings.drain_s * 1000,
        labels_topic=labels_topic,
        waiting=waiting,
    )
