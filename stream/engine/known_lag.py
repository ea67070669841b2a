"""The lag that a worker tells: what it reads, or what it knew last of partitions that it lost.

A member that hears no broker for longer than its session gives its partitions up. Told as no lag at all, an
outage would look like nothing to do, and whoever scales workers by lag would take them all away. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from stream.transport.endpoints import PartitionLag

SETTLE_MS = 120_000
"""For how long, with brokers there, lost partitions may be our own again: a group misses its dead first."""


@dataclass(frozen=True, slots=True)
class KnownLag:
    lags: Mapping[int, PartitionLag] = field(default_factory=dict)
    """By partition, in hand or lost."""
    is_current: bool = True
    at_ms: int = 0
    """When partitions were in hand, or no broker answered, for the last time."""


def heard(
    known: KnownLag, lags: Mapping[int, PartitionLag], adrift: bool, reachable: bool, now_ms: int
) -> KnownLag:
    """lags: of the partitions in hand. adrift: whether some were lost, and none came since."""
    if lags or not adrift:
        return KnownLag(lags, reachable, now_ms)
    if not reachable:
        return replace(known, is_current=False, at_ms=now_ms)
    if now_ms - known.at_ms > SETTLE_MS:
        return KnownLag({}, True, now_ms)
    return replace(known, is_current=False)


def lag_seconds(known: KnownLag, now_ms: int) -> float:
    """No unread record is older; 0 at the log's end, as long as brokers say where that is."""
    since = [lag.unread_since_ms for lag in known.lags.values() if lag.unread_since_ms >= 0]
    if not known.is_current:
        since += [lag.end_at_ms for lag in known.lags.values() if lag.end_at_ms is not None]
    return max(now_ms - min(since), 0) / 1000 if since else 0.0
