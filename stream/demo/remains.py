"""What a run leaves behind on a Redis that is not its own: nothing."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from features.definition.model import Definition
from features.keys import Namespace
from features.store import StoreRejected, StoreUnavailable
from features.stores.redis import RedisOptions, RedisStore
from stream.demo.servers import Servers


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
    store = RedisStore(redis)
    try:
        return store.remove(Namespace.of(definition).prefix)
    finally:
        store.close()
