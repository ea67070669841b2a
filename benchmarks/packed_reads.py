"""Our side of `benchmarks.feature_reads`: packed lookups, read as the score worker reads them.

worker: from the keys of a batch to its feature columns, under the deadline and the breaker of its reads.
store: the same without these two, which Feast's read has no counterpart of.
"""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from redis import Redis

from benchmarks.peers.reads import ENTITIES, FEATURES, Way, feature_values, serve
from features.definition import parse_definition
from features.event import EventBatch, hash_ids, pack_positions
from features.lookup.codec import encode_lookups, lookup_prefix
from features.lookup.request import LookedUp, assemble_lookups, request_lookups
from features.stores.deadline import DeadlineReader
from features.stores.redis import RedisOptions, RedisStore
from stream.clock import monotonic_ms
from stream.engine.breaker import BreakerPolicy
from stream.engine.reads import GuardedReads

NAMES = [f"f{at}" for at in range(FEATURES)]
TIME_MS = 1_735_689_600_000
DEFINITION = parse_definition(
    f"""
name: bench
task: binary
event:
  id: event_id
  time: {{field: event_time, unit: ms}}
  timezone: UTC
  fields: {{event_id: string, event_time: timestamp, customer_id: string}}
entities: {{customer: customer_id}}
label: {{field: is_fraud, delay: 7d}}
features:
  - lookup: {{entity: customer, fields: [{", ".join(NAMES)}], max_age: 30d}}
rules: [{{otherwise: 0.01}}]
decisions: [{{otherwise: approve}}]
""",
    "bench.yaml",
)


def main(url: str) -> None:
    """url: of a Redis, into which it writes its values first."""
    with Redis.from_url(url) as client:
        fields, prefix = DEFINITION.lookups["customer"], lookup_prefix(DEFINITION.name, "customer")
        values = encode_lookups(fields, np.full(ENTITIES, TIME_MS), feature_values())
        client.mset({prefix + b"%d" % at: value for at, value in enumerate(values)})
    options = RedisOptions(url, reconnect_silently=False)
    store = RedisStore(options)
    reader = DeadlineReader(lambda: RedisStore.connect(options), deadline_ms=1_000)
    guarded = GuardedReads(reader, BreakerPolicy(3, 1_000), monotonic_ms)

    def through_store(events: EventBatch) -> LookedUp:
        request = request_lookups(DEFINITION, events, {})
        return assemble_lookups(request, store.read(request.store_keys), events.times)

    def through_worker(events: EventBatch) -> LookedUp:
        request = request_lookups(DEFINITION, events, {})
        stored = guarded.read(request.store_keys)
        assert isinstance(stored, list), stored
        return assemble_lookups(request, stored, events.times)

    serve({"worker": Way(batch, through_worker, columns), "store": Way(batch, through_store, columns)})
    guarded.close()


def batch(keys: Sequence[str]) -> EventBatch:
    """One decoded event for each key."""
    n = len(keys)
    return EventBatch(
        ids=keys,
        hashes=hash_ids(keys),
        times=np.full(n, TIME_MS),
        positions=pack_positions(np.zeros(n, np.int64), np.arange(n)),
        columns={},
        keys={"customer": keys},
    )


def columns(found: LookedUp) -> list[Any]:
    """In model order."""
    return [found.columns[feature.name] for feature in DEFINITION.lookups["customer"]]


if __name__ == "__main__":
    main(sys.argv[1])
