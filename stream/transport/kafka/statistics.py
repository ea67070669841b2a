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
"""So many in a row without any broker: while a client begins anew one may be."""
AT_REST = ("INIT", "DOWN")
UNTRIED_US = 15_000_000
EVERY_MS = "5000"
ANEW_AFTER_S = 20.0
"""A client that only asks, and got no answer for so long, may have lost its brokers: another one is made."""


class _Broker(msgspec.Struct):
    source: str
    state: str = ""
    stateage: int = 0
    """Since when, in µs ago."""

    @property
    def is_of_use(self) -> bool:
        """Whether it is connected, or was tried not long ago. While none answers one is, at least every
        second; counts of attempts begin anew whenever the client goes back to the addresses it was given.
        """
        is_of_cluster = self.source in ("configured", "learned")
        return is_of_cluster and not (self.state in AT_REST and self.stateage > UNTRIED_US)


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
        is_lost = not any(broker.is_of_use for broker in told.brokers.values())
        self._without = self._without + 1 if is_lost else 0
        self.connected = any(broker.state == "UP" for broker in told.brokers.values())
        if self._topic in told.topics:
            partitions = told.topics[self._topic].partitions
            self._on_fetched({p: one.next_offset for p, one in partitions.items()})
