"""What the view shows: counts and the last seconds, noted by the reader and looked at by the view."""

import threading
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stream.demo.ledger import percentiles
from stream.pipeline.causes import Cause, names

RECENT_S = 5.0
ALERTS_KEPT = 6
FALLBACKS = frozenset(
    names(
        Cause.STORE_TIMEOUT
        | Cause.STORE_DOWN
        | Cause.REBUILDING
        | Cause.NO_MODEL
        | Cause.MODEL_ERROR
        | Cause.MODEL_NAN
        | Cause.PREVIOUS_FAILED
    )
)
"""Causes for which the previous champion or the rules answer; the others only cost features."""


@dataclass(frozen=True, slots=True)
class Alert:
    """A prediction that somebody should look at."""

    event_id: str
    included: Mapping[str, object]
    """The event's fields that the prediction carries, personal ones masked."""
    decision: str
    score: str
    source: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The board at one moment."""

    events: int
    """Valid events to be sent in all."""
    sent: int
    answered: int
    """Valid events with a prediction."""
    duplicates: int
    dead_letters: int
    rate: float
    """Predictions a second over the last seconds."""
    p50_ms: float
    p99_ms: float
    decisions: Mapping[str, int]
    sources: Mapping[str, int]
    causes: Mapping[str, int]
    """Every degradation stamped."""
    fallbacks: Mapping[str, int]
    """Those of them for which another than the champion answered."""
    alerts: Sequence[Alert]


class Board:
    """Thread-safe; every method is one step. Times are seconds of any clock that never goes back."""

    def __init__(self, events: int) -> None:
        self._events = events
        self._lock = threading.Lock()
        self._sent = 0
        self._answered = 0
        self._duplicates = 0
        self._dead_letters = 0
        self._recent: deque[tuple[float, float]] = deque()
        self._decisions: Counter[str] = Counter()
        self._sources: Counter[str] = Counter()
        self._causes: Counter[str] = Counter()
        self._fallbacks: Counter[str] = Counter()
        self._alerts: deque[Alert] = deque(maxlen=ALERTS_KEPT)

    def sent(self, events: int) -> None:
        with self._lock:
            self._sent += events

    def dead_letter(self) -> None:
        with self._lock:
            self._dead_letters += 1

    def predicted(
        self,
        *,
        first: bool,
        now_s: float,
        latency_ms: float,
        decision: str | None,
        source: str,
        causes: Sequence[str],
    ) -> None:
        """Note a prediction; one that repeats an answer (not `first`) is only counted as such."""
        with self._lock:
            if not first:
                self._duplicates += 1
                return
            self._answered += 1
            self._recent.append((now_s, latency_ms))
            self._sources[source] += 1
            self._causes.update(causes)
            self._fallbacks.update(FALLBACKS.intersection(causes))
            if decision is not None:
                self._decisions[decision] += 1

    def alert(self, alert: Alert) -> None:
        with self._lock:
            self._alerts.appendleft(alert)

    def snapshot(self, now_s: float) -> Snapshot:
        with self._lock:
            while self._recent and self._recent[0][0] < now_s - RECENT_S:
                self._recent.popleft()
            latencies = [latency for _, latency in self._recent]
            since = min(RECENT_S, now_s - self._recent[0][0]) if self._recent else 0.0
            p50, p99 = percentiles(latencies, (50, 99))
            return Snapshot(
                events=self._events,
                sent=self._sent,
                answered=self._answered,
                duplicates=self._duplicates,
                dead_letters=self._dead_letters,
                rate=len(latencies) / max(since, 1.0) if latencies else 0.0,
                p50_ms=p50,
                p99_ms=p99,
                decisions=dict(self._decisions),
                sources=dict(self._sources),
                causes=dict(self._causes),
                fallbacks=dict(self._fallbacks),
                alerts=tuple(self._alerts),
            )
