"""History straight into the online store: entries for events and labels, without going through Kafka."""

from collections.abc import Callable, Iterator

import numpy as np

from features.codec import Entries, encode_entries, entry_bytes, take_entries
from features.definition.model import Definition, RowKind, RowSchema
from features.history import History
from features.keys import Namespace
from features.rows import index_keys, own_entries
from features.store import OnlineStore

CHUNK_BYTES = 4_000_000


def row_lifetime_ms(definition: Definition, allowed_lag_ms: int) -> int:
    """How long a row outlives its last entry: longest span + delay + grace + lag, or `idle`."""
    if definition.idle is not None:
        return definition.idle
    return definition.retention + definition.grace + allowed_lag_ms


def backfill(
    store: OnlineStore,
    definition: Definition,
    history: History,
    ttl_ms: int | None,
    advance: Callable[[int, int], None],
) -> int:
    """Append every event and every known label of `history` to its rows; returns how many entries.

    Safe to repeat: rows are sets, an entry that is already there counts once. `advance(done, total)` is
    told the entries written. Raises what the store raises.
    """
    namespace = Namespace.of(definition)
    parts = [(schema, *_entries(definition, schema, history)) for schema in definition.rows]
    total = sum(len(entries) for _, entries, _ in parts)
    done = 0
    for schema, entries, keys in parts:
        prefix = namespace.row_prefix(schema.entity, schema.kind)
        chunks: list[tuple[bytes, bytes]] = []
        held = 0
        for number, data in _by_row(schema, entries):
            chunks.append((prefix + keys[number].encode(), data))
            held += len(data)
            if held >= CHUNK_BYTES:
                store.append(chunks, ttl_ms)
                done += held // entry_bytes(schema)
                advance(done, total)
                chunks, held = [], 0
        store.append(chunks, ttl_ms)
        done += held // entry_bytes(schema)
        advance(done, total)
    return done


def _entries(definition: Definition, schema: RowSchema, history: History) -> tuple[Entries, list[str]]:
    index = index_keys(history.events.keys[schema.entity])
    if schema.kind is RowKind.LABELS:
        return history.label_entries(schema.entity), list(index.keys)
    entries, _ = own_entries(definition, schema, history.events, index.of_event)
    return entries, list(index.keys)


def _by_row(schema: RowSchema, entries: Entries) -> Iterator[tuple[int, bytes]]:
    """The bytes of each row's entries, in their order."""
    sorted_entries = take_entries(entries, np.argsort(entries.row, kind="stable"))
    times, ids, marks = sorted_entries.times, sorted_entries.ids, sorted_entries.marks
    data = encode_entries(times, ids, marks, sorted_entries.values)
    size = entry_bytes(schema)
    numbers, starts = np.unique(sorted_entries.row, return_index=True)
    ends = np.append(starts, len(entries))[1:]
    for number, start, end in zip(numbers.tolist(), starts.tolist(), ends.tolist(), strict=True):
        yield number, data[start * size : end * size]
