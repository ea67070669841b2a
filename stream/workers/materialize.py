"""`riverrun materialize`: events and labels into the online store, for every state that is deployed."""

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import structlog
from prometheus_client import CollectorRegistry

from features.definition.model import Definition
from features.past.history import HistoryError
from stream.clock import monotonic_ms, now_ms
from stream.config import Settings, load_usecase
from stream.engine.states import States
from stream.engine.surroundings import Surroundings
from stream.errors import ExitCode, Fatal
from stream.log import configure
from stream.metrics import MaterializeMetrics
from stream.workers.one_state import StateRows, begin_state
from stream.workers.runtime import SPARE_AFTER_MS, Vitals, running
from stream.workers.states import DeployedStates

log = structlog.get_logger()

OBSERVE_EVERY_MS = 500


def run(settings: Settings) -> int:
    """Materialize until told to stop; returns the exit code."""
    configure(settings.log.level, settings.log.format)
    fallback = load_usecase(settings)
    deployed = DeployedStates(settings, fallback)
    registry = CollectorRegistry()
    metrics = MaterializeMetrics(registry, fallback.name)
    vitals = Vitals(settings.watchdog.stall_s * 1000)
    begin = _beginning(settings, metrics, surroundings(vitals))
    states = States(
        deployed.first(), begin, settings.batch.events_max, settings.batch.wait_ms, monotonic_ms, log.info
    )
    watcher = deployed.follow(states.want)
    vitals.health = replace(vitals.health, loaded=True, caught_up=True)
    with running(settings, registry, vitals) as stop:
        if watcher:
            watcher.start()
        try:
            watch_over(states, vitals, stop)
        finally:
            if watcher:
                watcher.stop()
            states.close()
    log.info("stopped")
    return ExitCode.OK


def watch_over(states: States[StateRows], vitals: Vitals, stop: threading.Event) -> None:
    observed_ms, started_ms = 0, monotonic_ms()
    while not stop.is_set():
        if states.step():
            vitals.progressed()
        now = now_ms()
        if now - observed_ms < OBSERVE_EVERY_MS:
            continue
        observed_ms = now
        kept = states.kept
        # A store or a broker that does not answer is waited for; that is no stall of ours.
        if not any(rows.records_waiting for rows in kept) or any(rows.is_held_up for rows in kept):
            vitals.progressed()
        # A member beyond the number of partitions gets none, and stands by.
        spare = monotonic_ms() - started_ms > SPARE_AFTER_MS and all(rows.reachable for rows in kept)
        # What is live stands first, where anything is.
        silent_ms = int(1000 * max(rows.silent_s for rows in kept))
        vitals.health = replace(vitals.health, silent_ms=silent_ms, assigned=kept[0].assigned or spare)


def _beginning(
    settings: Settings, metrics: MaterializeMetrics, around: Surroundings
) -> Callable[[Definition, bool], StateRows]:
    def begin(definition: Definition, is_alone: bool) -> StateRows:
        try:
            return begin_state(settings, definition, is_alone, metrics, around)
        except HistoryError as error:
            if is_alone:
                raise
            raise Fatal(f"history cannot be loaded into the rows of {definition.name}: {error}") from None

    return begin


def surroundings(vitals: Vitals) -> Surroundings:
    def sleep_s(seconds: float) -> None:
        """Only the store is waited for like this, and waiting is not a stall."""
        vitals.progressed()
        time.sleep(seconds)

    return Surroundings(now_ms, sleep_s, lambda: secrets.token_hex(8), log.warning)
