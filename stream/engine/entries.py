"""What a batch of events or labels adds to rows: (row key, entry) pairs, ready to append."""

import numpy as np

from features.codec import encode_entries, split_entries
from features.definition.model import Definition, RowKind
from features.event import EventBatch
from features.keys import Namespace
from features.rows import entry_values
from stream.pipeline.labels import DecodedLabels


def event_chunks(definition: Definition, events: EventBatch) -> list[tuple[bytes, bytes]]:
    """What to append for events: (row key, entry) for every entity that keeps event entries."""
    namespace = Namespace.of(definition)
    chunks: list[tuple[bytes, bytes]] = []
    for schema in definition.rows:
        if schema.kind is not RowKind.EVENTS:
            continue
        prefix = namespace.row_prefix(schema.entity, schema.kind)
        values = entry_values(definition, schema, events)
        entries = split_entries(encode_entries(events.times, events.hashes, events.positions, values), schema)
        keys = events.keys[schema.entity]
        chunks += [
            (prefix + k.encode(), entry) for k, entry in zip(keys, entries, strict=True) if k is not None
        ]
    return chunks


def label_chunks(definition: Definition, labels: DecodedLabels) -> list[tuple[bytes, bytes]]:
    """What to append for labels that name their event's time and entities; the monitor completes others."""
    namespace = Namespace.of(definition)
    chunks: list[tuple[bytes, bytes]] = []
    complete = labels.take(np.flatnonzero(labels.complete))
    for schema in definition.rows:
        if schema.kind is not RowKind.LABELS:
            continue
        prefix = namespace.row_prefix(schema.entity, schema.kind)
        marks = complete.observed_at.view(np.uint64)
        data = encode_entries(complete.times, complete.hashes, marks, complete.labels.reshape(-1, 1))
        keys = complete.keys[schema.entity]
        pairs = zip(keys, split_entries(data, schema), strict=True)
        chunks += [(prefix + key.encode(), entry) for key, entry in pairs if key is not None]
    return chunks
