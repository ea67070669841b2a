"""`riverrun materialize`: events and labels into the online store."""

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import structlog
from prometheus_client import CollectorRegistry

from features.definition.model import Definition, RowKind
from features.event import position_partitions
from features.keys import Namespace
from features.progress import ALWAYS
from features.store import OnlineStore
from features.stores.redis import RedisStore
from models.bundle import BundleRefused, load_bundle
from models.deployment import DeploymentError, read_deployment
from stream.config import (
    Settings,
    groups_of,
    kafka_connection,
    load_usecase,
    redis_for_writes,
    topics_of,
)
from stream.engine.entries import event_chunks, label_chunks
from stream.engine.materializer import Batch, MaterializePolicy, Materializer, Surroundings
from stream.errors import ExitCode
from stream.log import configure
from stream.metrics import MaterializeMetrics
from stream.pipeline.decode import Decoder
from stream.pipeline.labels import LabelDecoder
from stream.records import RecordBatch
from stream.transport.endpoints import Source
from stream.transport.kafka import KafkaSource
from stream.workers.backfill import row_lifetime_ms
from stream.workers.runtime import Vitals, now_ms, running

log = structlog.get_logger()

OBSERVE_EVERY_MS = 500


def run(settings: Settings) -> int:
    """Materialize until told to stop; returns the exit code."""
    configure(settings.log.level, settings.log.format)
    definition = _definition(settings)
    registry = CollectorRegistry()
    metrics = MaterializeMetrics(registry, definition.name)
    vitals = Vitals(settings.watchdog.stall_s * 1000)
    store = RedisStore(redis_for_writes(settings))
    connection = kafka_connection(settings)
    topics, groups = topics_of(settings, definition.name), groups_of(settings, definition.name)
    readers = [(topics.events, groups.materialize, _event_batches(settings, definition))]
    if any(row.kind is RowKind.LABELS for row in definition.rows):
        readers.append(
            (topics.labels, groups.materialize_labels, _label_batches(settings, definition, metrics))
        )
    pairs: list[tuple[Materializer, Source]] = []
    for topic, member_of, to_batch in readers:
        materializer = _materializer(settings, definition, store, metrics, to_batch)
        source = KafkaSource(connection, topic, member_of, materializer, settings.kafka.start)
        materializer.attach(source)
        pairs.append((materializer, source))
    vitals.health = replace(vitals.health, loaded=True, caught_up=True)
    with running(settings, registry, vitals) as stop:
        try:
            _loop(settings, pairs, vitals, stop)
        finally:
            for _, member in pairs:
                member.close()
            store.close()
    log.info("stopped")
    return ExitCode.OK


def _loop(
    settings: Settings, pairs: list[tuple[Materializer, Source]], vitals: Vitals, stop: threading.Event
) -> None:
    observed_ms = 0
    while not stop.is_set():
        passed = 0
        for materializer, _ in pairs:
            wait_ms = settings.batch.wait_ms if not passed else 0
            passed += materializer.step(settings.batch.events_max, wait_ms)
        if passed:
            vitals.progressed()
        now = now_ms()
        if now - observed_ms < OBSERVE_EVERY_MS:
            continue
        observed_ms = now
        waiting = sum(lag.records for _, member in pairs for lag in member.lag().values())
        # A store or a broker that does not answer is waited for; that is no stall of ours.
        if not waiting or any(m.waiting_for_store or not member.reachable for m, member in pairs):
            vitals.progressed()
        vitals.health = replace(vitals.health, assigned=all(m.assigned_partitions for m, _ in pairs))


def _definition(settings: Settings) -> Definition:
    """The champion's definition, as score workers take it; the file's where there is none."""
    definition = load_usecase(settings)
    if settings.models is None:
        return definition
    try:
        champion = read_deployment(settings.models).champion
        return load_bundle(settings.models / champion).definition
    except (DeploymentError, BundleRefused) as error:
        log.warning("definition_from_file", problem=str(error))
        return definition


def _materializer(
    settings: Settings,
    definition: Definition,
    store: OnlineStore,
    metrics: MaterializeMetrics,
    to_batch: Callable[[RecordBatch], Batch],
) -> Materializer:
    since = settings.materialize.complete_since
    policy = MaterializePolicy(
        ttl_ms=row_lifetime_ms(definition, settings.allowed_lag_ms),
        complete_since=ALWAYS if definition.history_none else since,
        heartbeat_ms=settings.freshness.heartbeat_ms,
    )
    around = Surroundings(now_ms, time.sleep, lambda: secrets.token_hex(8))
    return Materializer(Namespace.of(definition), store, to_batch, metrics, policy, around)


def _event_batches(settings: Settings, definition: Definition) -> Callable[[RecordBatch], Batch]:
    decoder = Decoder(definition, future_limit_ms=settings.future_limit_ms)

    def to_batch(records: RecordBatch) -> Batch:
        events = decoder.decode(
            records
        ).events  # what is rejected, the score worker sends to the dead letters
        partitions = position_partitions(events.positions)
        seen = np.unique(partitions).tolist()
        return Batch(
            chunks=event_chunks(definition, events),
            newest={p: int(events.times[partitions == p].max()) for p in seen},
            oldest={p: int(events.times[partitions == p].min()) for p in seen},
        )

    return to_batch


def _label_batches(
    settings: Settings, definition: Definition, metrics: MaterializeMetrics
) -> Callable[[RecordBatch], Batch]:
    decoder = LabelDecoder(definition, future_limit_ms=settings.future_limit_ms)

    def to_batch(records: RecordBatch) -> Batch:
        labels = decoder.decode(records)
        complete = int(labels.complete.sum())
        metrics.labels_decoded(complete, len(labels) - complete, len(labels.rejected))
        return Batch(chunks=label_chunks(definition, labels), newest={}, oldest={})

    return to_batch
