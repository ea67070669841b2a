"""History straight into the online store: entries for events and labels, without going through Kafka."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np

from features.codec import Entries, encode_entries, entry_bytes, take_entries
from features.definition.model import Definition, RowKind, RowSchema
from features.keys import Namespace
from features.past.history import History
from features.rows import index_keys, own_entries
from features.store import OnlineStore
from stream.engine.history_loader import Piece

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
    parts = _parts(definition, history)
    total = sum(len(entries) for _, entries, _ in parts)
    done = 0
    for chunks, entries in _chunks(Namespace.of(definition), parts):
        store.append(chunks, ttl_ms)
        done += entries
        advance(done, total)
    return done


def pieces(definition: Definition, history: History, done: int) -> Iterator[Piece]:
    """A part of a history, ready to append; `done` rows of its files end with it."""
    if not len(history):
        return
    times = history.events.times
    for chunks, entries in _chunks(Namespace.of(definition), _parts(definition, history)):
        yield Piece(chunks, entries, int(times.min()), int(times.max()), done)


_Part: TypeAlias = tuple[RowSchema, Entries, list[str]]
"""The entries of one schema, and the keys that number their rows."""


def _parts(definition: Definition, history: History) -> list[_Part]:
    return [(schema, *_entries(definition, schema, history)) for schema in definition.rows]


def _chunks(namespace: Namespace, parts: Sequence[_Part]) -> Iterator[tuple[list[tuple[bytes, bytes]], int]]:
    """What to append, about `CHUNK_BYTES` at a time, with the number of entries in it."""
    for schema, entries, keys in parts:
        prefix, size = namespace.row_prefix(schema.entity, schema.kind), entry_bytes(schema)
        chunks: list[tuple[bytes, bytes]] = []
        held = 0
        for number, data in _by_row(schema, entries):
            chunks.append((prefix + keys[number].encode(), data))
            held += len(data)
            if held >= CHUNK_BYTES:
                yield chunks, held // size
                chunks, held = [], 0
        if chunks:
            yield chunks, held // size


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
