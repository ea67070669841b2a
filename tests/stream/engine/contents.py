"""What a store and a log of events hold."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from features.codec import decode_rows
from features.definition.model import Definition, RowKind
from features.keys import Namespace
from stream.records import RecordBatch
from stream.transport.memory import MemoryBroker
from tests.stream.engine.stores import StoreServer

EVENTS = "visits.events"
Rows = dict[tuple[str, str], set[tuple[Any, ...]]]
"""By entity and key: the distinct entries, each (time, id, mark, values)."""


def entries_by_row(definition: Definition, namespace: Namespace, server: StoreServer, kind: RowKind) -> Rows:
    rows: Rows = {}
    for schema in (row for row in definition.rows if row.kind is kind):
        prefix = namespace.row_prefix(schema.entity, kind)
        for name in [n for n in server.store._values if n.startswith(prefix)]:
            held = decode_rows(schema, server.store.read([name]))
            assert not held.corrupt.any()
            entries = held.entries
            columns = (entries.times, entries.ids, entries.marks, entries.values)
            lists = [column.tolist() for column in columns]
            rows[schema.entity, name[len(prefix) :].decode()] = {
                (time, event_id, mark, tuple(values))
                for time, event_id, mark, values in zip(*lists, strict=True)
            }
    return rows


def log_batch(broker: MemoryBroker, partitions: int, until: Sequence[int] | None = None) -> RecordBatch:
    """Everything in the log of events, or each partition up to an offset."""
    logged = [
        (partition, record)
        for partition in range(partitions)
        for record in broker.records(EVENTS, partition)[: None if until is None else until[partition]]
    ]
    records = [record for _, record in logged]
    return RecordBatch(
        topic=EVENTS,
        partitions=np.array([partition for partition, _ in logged], np.int64),
        offsets=np.array([record.offset for record in records], np.int64),
        timestamps=np.array([record.timestamp for record in records], np.int64),
        keys=[record.key for record in records],
        values=[record.value for record in records],
        headers=lambda i: records[i].headers,
    )
