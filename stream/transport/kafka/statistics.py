"""What librdkafka tells of a client every few seconds, and nowhere else: that it has no brokers left.

A broker that restarts may answer that there are none. librdkafka (its issue 5301, 2.13 and later) then
forgets all it knew, the addresses that it was given too, connects to nothing any more, and says nothing.
Brokers that it gave up may stay listed, for good, while requests to them are under way.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from stream.errors import Fenced

READINGS = 3
"""So many in a row without any broker that is tried: while a client begins anew one may be. As long as it
knows of one, it tries at least one a second while none answers.
"""
AT_REST = ("INIT", "DOWN")
EVERY_MS = "5000"
ANEW_AFTER_S = 20.0
"""A client that only asks, and got no answer for so long, may have lost its brokers: another one is made."""


class _Broker(msgspec.Struct):
    source: str
    state: str = ""
    connects: int = 0
    """Attempts so far."""


class _Partition(msgspec.Struct):
    next_offset: int = -1


class _Topic(msgspec.Struct):
    partitions: dict[int, _Partition] = {}


class _Told(msgspec.Struct):
    brokers: dict[str, _Broker]
    topics: dict[str, _Topic] = {}


_decoder = msgspec.json.Decoder(_Told)


class Statistics:
    """Of one client; they arrive where it is polled."""

    def __init__(
        self, what: str, topic: str = "", on_fetched: Callable[[Mapping[int, int]], None] = lambda _: None
    ) -> None:
        """what: the client, for the words of errors. topic: which it consumes. on_fetched: is told, by
        partition of that, the offset that the fetcher asks for next.
        """
        self._what, self._topic, self._on_fetched = what, topic, on_fetched
        self._without = 0
        """Readings in a row that told of no broker, given or learned, that is connected or tried."""
        self._connects = 0
        self.connected = False
        """Whether some broker answers."""

    def config(self, given: dict[str, Any]) -> dict[str, Any]:
        """`given`, with what brings the statistics."""
        return {"statistics.interval.ms": EVERY_MS, **given, "stats_cb": self._on_told}

    def check(self) -> None:
        """Raises `Fenced` for a client without brokers."""
        if self._without >= READINGS:
            raise Fenced(
                f"{self._what}: the client lost all of its brokers, and connects to none: start again"
            )

    def _on_told(self, text: str) -> None:
        told = _decoder.decode(text)
        known = [b for b in told.brokers.values() if b.source in ("configured", "learned")]
        connects = sum(broker.connects for broker in known)
        is_trying = connects > self._connects or any(broker.state not in AT_REST for broker in known)
        self._connects = connects
        self._without = 0 if is_trying else self._without + 1
        self.connected = any(broker.state == "UP" for broker in told.brokers.values())
        if self._topic in told.topics:
            partitions = told.topics[self._topic].partitions
            self._on_fetched({p: one.next_offset for p, one in partitions.items()})
