"""What a run leaves behind on a Redis that is not its own: nothing."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from features.definition.model import Definition
from features.keys import Namespace
from features.store import StoreRejected, StoreUnavailable
from features.stores.redis_options import RedisOptions
from features.stores.redis_wire import RedisWire, pack
from stream.demo.servers import Servers

_KEYS_AT_ONCE = 5_000


@contextmanager
def rows_removed(definition: Definition, redis: RedisOptions, servers: Servers) -> Iterator[None]:
    """When the block ends, the rows of the run's use case are gone; a Redis of our own goes as a whole."""
    try:
        yield
    finally:
        if servers.own_redis is None:
            # What cannot be removed now expires; the run's own end is not to be hidden by it.
            with suppress(StoreUnavailable, StoreRejected):
                remove_rows(definition, redis)


def remove_rows(definition: Definition, redis: RedisOptions) -> int:
    """Remove everything in the use case's namespace; returns how many keys. Raises as stores do."""
    wire, removed, cursor = RedisWire(redis), 0, b"0"
    pattern = Namespace.of(definition).prefix + b"*"
    try:
        while True:
            (page,) = wire.exchange(pack("SCAN", cursor, "MATCH", pattern, "COUNT", _KEYS_AT_ONCE), 1)
            cursor, keys = page
            if keys:
                removed += wire.exchange(pack("UNLINK", *keys), 1)[0]
            if cursor == b"0":
                return removed
    finally:
        wire.close()
