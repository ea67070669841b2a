"""What a batch of records adds to rows: (row key, entry) pairs, ready to append."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from features.codec import encode_entries, split_entries
from features.definition.model import Definition, RowKind
from features.event import EventBatch, position_partitions
from features.keys import Namespace
from features.rows import entry_values
from stream.engine.completeness import Reach
from stream.metrics import MaterializeMetrics
from stream.pipeline.decode import Decoder
from stream.pipeline.labels import DecodedLabels, LabelDecoder
from stream.records import RecordBatch


@dataclass(frozen=True, slots=True)
class Batch:
    """What a batch of records adds to the store."""

    chunks: Sequence[tuple[bytes, bytes]]
    """(row key, entry) pairs."""
    newest: Mapping[int, int]
    """By partition the largest event time, or `observed_at` of labels; without those that brought none."""


ToBatch: TypeAlias = Callable[[RecordBatch], Batch]


def event_batches(definition: Definition, future_limit_ms: int) -> ToBatch:
    """For the events topic. What is rejected is passed over: the score worker dead-letters it."""
    decoder = Decoder(definition, future_limit_ms=future_limit_ms)

    def to_batch(records: RecordBatch) -> Batch:
        decoded = decoder.decode(records)
        events, came = decoded.events, records.timestamps[decoded.index]
        # How far the rows are is told by the events' times, but not by those dated ahead.
        dated_ahead = (came >= 0) & (events.times > came) & (not definition.time.is_sequence)
        reached = np.where(dated_ahead, came, events.times)
        partitions = position_partitions(events.positions)
        times = {p: reached[partitions == p] for p in np.unique(partitions).tolist()}
        return Batch(
            chunks=event_chunks(definition, events),
            newest={p: int(of.max()) for p, of in times.items()},
        )

    return to_batch


def label_batches(definition: Definition, future_limit_ms: int, metrics: MaterializeMetrics) -> ToBatch:
    """For the labels topic."""
    decoder = LabelDecoder(definition, future_limit_ms=future_limit_ms)

    def to_batch(records: RecordBatch) -> Batch:
        labels = decoder.decode(records)
        complete = int(labels.complete.sum())
        metrics.labels_decoded(complete, len(labels) - complete, len(labels.rejected))
        partitions = records.partitions[labels.index]
        seen = {p: labels.observed_at[partitions == p] for p in np.unique(partitions).tolist()}
        return Batch(
            chunks=label_chunks(definition, labels),
            newest={p: int(of.max()) for p, of in seen.items()},
        )

    return to_batch


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


def reaches(records: RecordBatch, batch: Batch) -> dict[int, Reach]:
    """How far a batch of records goes, by partition."""
    offsets, partitions = next_offsets(records), records.partitions
    return {
        p: Reach(offset, batch.newest.get(p), int(records.timestamps[partitions == p].max()))
        for p, offset in offsets.items()
    }


def next_offsets(records: RecordBatch) -> dict[int, int]:
    """The offset after the last record of each partition in a batch."""
    partitions = records.partitions
    return {p: int(records.offsets[partitions == p].max()) + 1 for p in np.unique(partitions).tolist()}
