"""Clients that lost every broker for good.

A broker that restarts may answer that there are none. librdkafka (its issue 5301, 2.13 and later) then
forgets all it knew, the addresses that it was given too, connects to nothing any more, and says nothing.
"""

from typing import Any

import msgspec

from stream.errors import Fenced

READINGS = 3
"""So many in a row without any broker: while a client begins anew one may be."""
EVERY_MS = "5000"


class _Broker(msgspec.Struct):
    source: str


class _Statistics(msgspec.Struct):
    brokers: dict[str, _Broker]


_decoder = msgspec.json.Decoder(_Statistics)


class Stranded:
    """Of one client, by librdkafka's statistics, which arrive where it is polled."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._without = 0
        """Readings in a row that told of no broker, given or learned."""

    def config(self, given: dict[str, Any]) -> dict[str, Any]:
        """`given`, with what brings the statistics."""
        return {"statistics.interval.ms": EVERY_MS, **given, "stats_cb": self._on_statistics}

    def check(self) -> None:
        """Raises `Fenced`."""
        if self._without >= READINGS:
            raise Fenced(
                f"{self._what}: the client lost all of its brokers, and connects to none: start again"
            )

    def _on_statistics(self, text: str) -> None:
        brokers = _decoder.decode(text).brokers.values()
        known = any(broker.source in ("configured", "learned") for broker in brokers)
        self._without = 0 if known else self._without + 1
