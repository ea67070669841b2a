"""`riverrun materialize`: events and labels into the online store."""

import secrets
import threading
import time
from dataclasses import replace

import structlog
from prometheus_client import CollectorRegistry

from features.definition.model import Definition, RowKind
from features.keys import Namespace
from features.progress import ALWAYS
from features.store import OnlineStore
from features.stores.redis import RedisStore
from stream.config import (
    Settings,
    groups_of,
    kafka_connection,
    load_usecase,
    redis_for_writes,
    topics_of,
)
from stream.engine.deployments import read_and_load
from stream.engine.entries import event_batches, label_batches
from stream.engine.materializer import MaterializePolicy, Materializer, Surroundings
from stream.errors import ExitCode
from stream.log import configure
from stream.metrics import MaterializeMetrics
from stream.transport.endpoints import Source
from stream.transport.kafka import KafkaSource
from stream.workers.backfill import row_lifetime_ms
from stream.workers.runtime import SPARE_AFTER_MS, Vitals, monotonic_ms, now_ms, running

log = structlog.get_logger()

OBSERVE_EVERY_MS = 500


def run(settings: Settings) -> int:
    """Materialize until told to stop; returns the exit code."""
    configure(settings.log.level, settings.log.format)
    definition = _definition(settings)
    registry = CollectorRegistry()
    metrics = MaterializeMetrics(registry, definition.name)
    vitals = Vitals(settings.watchdog.stall_s * 1000)
    connection = kafka_connection(settings)
    topics, groups = topics_of(settings, definition.name), groups_of(settings, definition.name)
    limit_ms = settings.future_limit_ms
    readers = [(topics.events, groups.materialize, event_batches(definition, limit_ms))]
    if any(row.kind is RowKind.LABELS for row in definition.rows):
        readers.append(
            (topics.labels, groups.materialize_labels, label_batches(definition, limit_ms, metrics))
        )
    around = _surroundings(vitals)
    stores: list[OnlineStore] = []
    pairs: list[tuple[Materializer, Source]] = []
    for topic, member_of, to_batch in readers:
        store = RedisStore(redis_for_writes(settings))
        policy = _policy(settings, definition)
        materializer = Materializer(Namespace.of(definition), store, to_batch, metrics, policy, around)
        source = KafkaSource(connection, topic, member_of, materializer, settings.kafka.start)
        materializer.attach(source)
        stores.append(store)
        pairs.append((materializer, source))
    vitals.health = replace(vitals.health, loaded=True, caught_up=True)
    with running(settings, registry, vitals) as stop:
        try:
            _loop(settings, pairs, vitals, stop)
        finally:
            for _, member in pairs:
                member.close()
            for opened in stores:
                opened.close()
    log.info("stopped")
    return ExitCode.OK


def _loop(
    settings: Settings, pairs: list[tuple[Materializer, Source]], vitals: Vitals, stop: threading.Event
) -> None:
    observed_ms, started_ms = 0, monotonic_ms()
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
        # A member beyond the number of partitions gets none, and stands by.
        spare = monotonic_ms() - started_ms > SPARE_AFTER_MS and all(member.reachable for _, member in pairs)
        assigned = all(m.assigned_partitions for m, _ in pairs)
        vitals.health = replace(vitals.health, assigned=assigned or spare)


def _definition(settings: Settings) -> Definition:
    """As score workers choose it: the champion's, the previous champion's, or the file's."""
    definition = load_usecase(settings)
    if settings.models is None:
        return definition
    change = read_and_load(settings.models)
    for problem in change.problems:
        log.warning("bundle_refused", problem=problem)
    bundle = (change.loaded.champion or change.loaded.previous) if change.loaded else None
    return bundle.definition if bundle else definition


def _policy(settings: Settings, definition: Definition) -> MaterializePolicy:
    since = settings.materialize.complete_since
    return MaterializePolicy(
        ttl_ms=row_lifetime_ms(definition, settings.allowed_lag_ms),
        complete_since=ALWAYS if definition.history_none else since,
        heartbeat_ms=settings.freshness.heartbeat_ms,
        by_the_clock=not definition.time.is_sequence,
    )


def _surroundings(vitals: Vitals) -> Surroundings:
    def sleep_s(seconds: float) -> None:
        """Only the store is waited for like this, and waiting is not a stall."""
        vitals.progressed()
        time.sleep(seconds)

    return Surroundings(now_ms, sleep_s, lambda: secrets.token_hex(8))
