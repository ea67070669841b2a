"""What a store needs of the servers that hold its keys, be they one or many."""

from collections.abc import Sequence
from typing import Any, Protocol

from features.stores.redis_commands import Commands
from features.stores.redis_wire import RedisWire

READ_KEYS_MAX = 5_000
"""Keys of one request; Redis serves nobody else meanwhile (about 1 µs a key)."""
REQUEST_BYTES_MAX = 500_000
"""Sent at once: while a server works off one request, the next is on its way."""


class Servers(Protocol):
    """Every method raises as stores do; after that `close` comes before anything else."""

    def open(self) -> None:
        """Connect, unless that is done: at least as far as to know that we may."""
        ...

    def send(self, commands: Commands) -> None:
        """Send commands whose replies the next `receive` returns; once, before that."""
        ...

    def receive(self) -> list[Any]:
        """The commands' replies, in their order. Of refusals only `NOSCRIPT` is returned, not raised."""
        ...

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of at most `READ_KEYS_MAX` keys; None where there is no string."""
        ...

    def masters(self) -> list[RedisWire]:
        """All that there are now, connected."""
        ...

    def close(self) -> None: ...
