"""Health is progress: live means that offsets advanced while there was lag.

Pure: the clock is an argument.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Health:
    """What a worker knows of its own health."""

    progressed_ms: int
    """When it last made progress, or had nothing to do."""
    silent_ms: int = 0
    """For how long a partition has brought nothing though there is lag, whatever others bring."""
    assigned: bool = False
    caught_up: bool = False
    """Whether what must be read again before answering was read."""
    loaded: bool = False
    """Whether a bundle is loaded and warm, or known to be unusable."""
    draining: bool = False


def progressed(health: Health, now_ms: int) -> Health:
    """A batch was passed, or there was nothing to pass."""
    return replace(health, progressed_ms=now_ms)


def stalled(health: Health, now_ms: int, stall_ms: int) -> bool:
    """Whether there was lag and no progress for longer than `stall_ms`, in all or in one partition."""
    return now_ms - health.progressed_ms > stall_ms or health.silent_ms > stall_ms


def not_ready(health: Health) -> list[str]:
    """Why the worker is not ready; empty when it is."""
    reasons = {
        "no bundle was loaded yet": not health.loaded,
        "no partitions are assigned yet": not health.assigned,
        "earlier events are still being read again": not health.caught_up,
        "it is draining": health.draining,
    }
    return [reason for reason, holds in reasons.items() if holds]
