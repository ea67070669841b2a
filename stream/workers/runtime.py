"""What every worker process needs around its loop: signals, probes, metrics over HTTP, the watchdog."""

import gc
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import structlog
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from stream.clock import monotonic_ms
from stream.config import Settings
from stream.engine.health import Health, not_ready, progressed, stalled
from stream.engine.http import HealthServer
from stream.engine.watchdog import Watchdog
from stream.errors import ConfigurationError, ExitCode, SettingProblem
from stream.workers.memory import GivingBack

log = structlog.get_logger()

SPARE_AFTER_MS = 30_000
"""A member of a group that got no partitions for so long stands by, and is ready for when it does."""


class Vitals:
    """The worker's health, written by its loop and read by probes and watchdog."""

    def __init__(self, stall_ms: int, clock_ms: Callable[[], int] = monotonic_ms) -> None:
        self._stall_ms = stall_ms
        self._clock_ms = clock_ms
        self.health = Health(progressed_ms=clock_ms())
        """Replaced as a whole, so that readers in other threads see one state."""
        self.hangs: Callable[[], bool] = lambda: False
        """Whether a library keeps a call beyond the time that it was given."""

    def progressed(self) -> None:
        self.health = progressed(self.health, self._clock_ms())

    def is_stalled(self) -> bool:
        return self.hangs() or stalled(self.health, self._clock_ms(), self._stall_ms)

    def live(self) -> list[str]:
        return ["there is lag and no progress"] if self.is_stalled() else []

    def ready(self) -> list[str]:
        return not_ready(self.health)


@contextmanager
def running(settings: Settings, registry: CollectorRegistry, vitals: Vitals) -> Iterator[threading.Event]:
    """Serve probes and watch until the block ends; yields what SIGTERM and SIGINT set."""
    stop = threading.Event()

    def on_signal(_: int, __: FrameType | None) -> None:
        stop.set()

    for one in (ProcessCollector, PlatformCollector, GCCollector):
        one(registry=registry)
    server = _serve(settings, registry, vitals)
    watchdog, giving_back = Watchdog(vitals.is_stalled, ExitCode.STALLED), GivingBack()
    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    server.start()
    watchdog.start()
    giving_back.start()
    log.info("listening", host=settings.http.host, port=server.port)
    # What is loaded by now stays: the collector need not look through it again and again.
    gc.collect()
    gc.freeze()
    try:
        yield stop
    finally:
        giving_back.stop()
        watchdog.stop()
        server.stop()
        for number, handler in before.items():
            signal.signal(number, handler)


def _serve(settings: Settings, registry: CollectorRegistry, vitals: Vitals) -> HealthServer:
    host, port = settings.http.host, settings.http.port
    try:
        return HealthServer(host, port, vitals.live, vitals.ready, registry)
    except OSError as error:
        mend = "choose another port, or 0 for any free one"
        problem = SettingProblem(
            "http.port", settings.origin("http.port"), f"{host}:{port}: {error.strerror}", mend
        )
        raise ConfigurationError([problem]) from None
