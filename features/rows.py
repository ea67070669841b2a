"""From a batch of events to rows: which rows it needs, and what its own events add to them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, overload

import numpy as np

from features.arrays import Bools, Floats, Ints
from features.codec import Entries, StoredRows, decode_rows, join_entries, take_entries
from features.codec_v1 import decode_rows_v1
from features.definition.model import Definition, RowKind, RowSchema
from features.event import EventBatch, hash_ids
from features.keys import Namespace
from features.windows.folded import Folded

RowId: TypeAlias = tuple[str, RowKind]
"""Entity and kind: what tells the row schemas of a definition apart."""

_STRING_HASH_SHIFT = np.uint64(12)


@dataclass(frozen=True, slots=True)
class Rows:
    """All entries that a batch of n events may see in the rows of one schema."""

    entries: Entries
    """Not yet sorted; repeated ones, and late ones below a boundary, included. The batch's own come
    first, then the overlay's."""
    of_event: Ints
    """Shape (n,): the row of each event; -1 where it has none that can be used."""
    own: Ints
    """Shape (n,): where among the entries each event's own stands; -1 for none, and in label rows."""
    folded: Folded | None = None
    """What compaction left of them beside the entries; None where none was compacted."""
    stored_from: int | None = None
    """The entries from here on are row by row as the store gave them; None where that is not known."""


@dataclass(frozen=True, slots=True, eq=False)
class KeyIndex(Sequence[str | None]):
    """The distinct entity keys of a batch; as a sequence, the key of each event."""

    keys: Sequence[str]
    of_event: Ints
    """Shape (n,): place of each event's key in `keys`; -1 where it is missing."""

    def __len__(self) -> int:
        return len(self.of_event)

    def __iter__(self) -> Iterator[str | None]:
        named = [*self.keys, None]
        return iter([named[at] for at in self.of_event.tolist()])

    @overload
    def __getitem__(self, at: int) -> str | None: ...
    @overload
    def __getitem__(self, at: slice) -> "KeyIndex": ...
    def __getitem__(self, at: int | slice) -> "str | KeyIndex | None":
        if isinstance(at, slice):
            return KeyIndex(self.keys, self.of_event[at])
        place = int(self.of_event[at])
        return None if place < 0 else self.keys[place]


@dataclass(frozen=True, slots=True)
class RowRequest:
    """What to read from the store for a batch."""

    indexes: Mapping[str, KeyIndex]
    """By entity."""
    store_keys: Sequence[bytes]
    """Row by row in the order of the definition's schemas, key by key in the order of `indexes`; then the
    same rows in the previous layout, where those are asked for."""
    with_previous: bool = False


def index_keys(keys: Sequence[str | None]) -> KeyIndex:
    """Number the distinct keys in the order of their first event, unless they are numbered already."""
    if isinstance(keys, KeyIndex):
        return keys
    numbers: dict[str | None, int] = {}
    of_event = np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)
    if None not in numbers:
        return KeyIndex([key for key in numbers if key is not None], of_event)
    missing = numbers[None]
    of_event = np.where(of_event == missing, -1, of_event - (of_event > missing))
    return KeyIndex([key for key in numbers if key is not None], of_event)


def request_rows(definition: Definition, events: EventBatch, previous: Namespace | None = None) -> RowRequest:
    """The store keys of every row the definition's windows need for these events.

    previous: where rows of the previous layout are, while they hold what the others do not.
    """
    namespaces = [Namespace.of(definition), *([] if previous is None else [previous])]
    indexes = {entity: index_keys(events.keys[entity]) for entity in {row.entity for row in definition.rows}}
    encoded = {entity: list(map(str.encode, index.keys)) for entity, index in indexes.items()}
    store_keys: list[bytes] = []
    for namespace in namespaces:
        for schema in definition.rows:
            prefix = namespace.row_prefix(schema.entity, schema.kind)
            store_keys += [prefix + key for key in encoded[schema.entity]]
    return RowRequest(indexes, store_keys, previous is not None)


def entry_values(definition: Definition, schema: RowSchema, events: EventBatch) -> Floats:
    """What entries of `schema` keep of these events: shape (n, columns).

    Strings become 52 bits of their BLAKE2b hash, the most that a float64 holds exactly.
    """
    n = len(events)
    values = np.empty((n, len(schema.columns)))
    for at, name in enumerate(schema.columns):
        condition = definition.row_conditions.get(name)
        column = condition.evaluate(events.columns, n) if condition else events.columns[name]
        if column.dtype == object:
            hashed = (hash_ids(["" if v is None else v for v in column]) >> _STRING_HASH_SHIFT).astype(
                np.float64
            )
            column = np.where([v is None for v in column], np.nan, hashed)
        values[:, at] = column
    return values


def own_entries(
    definition: Definition, schema: RowSchema, events: EventBatch, of_event: Ints
) -> tuple[Entries, Ints]:
    """The entries that the batch's events are, and where each event's own stands (-1: it has no row)."""
    index = np.flatnonzero(of_event >= 0)
    own = np.full(len(events), -1)
    own[index] = np.arange(len(index))
    entries = Entries(
        row=of_event[index],
        times=events.times[index],
        ids=events.hashes[index],
        marks=events.positions[index],
        values=entry_values(definition, schema, events)[index],
    )
    return entries, own


def assemble_rows(
    definition: Definition,
    events: EventBatch,
    request: RowRequest,
    stored: Sequence[bytes | None],
    overlay: Mapping[RowId, Entries],
) -> tuple[dict[RowId, Rows], Bools]:
    """Unite what the store holds, the overlay's entries, and the batch itself.

    `stored` answers `request.store_keys`; the overlay's row numbers are those of `request.indexes`.
    Also returns, per event, whether one of its rows was corrupt; that row is then unusable for it.
    """
    rows: dict[RowId, Rows] = {}
    corrupt_events = np.zeros(len(events), dtype=np.bool_)
    at = 0
    half = len(stored) // 2
    for schema in definition.rows:
        index = request.indexes[schema.entity]
        end = at + len(index.keys)
        row_id = (schema.entity, schema.kind)
        first = [overlay[row_id]] if row_id in overlay else []
        own = np.full(len(events), -1)
        if schema.kind is RowKind.EVENTS:
            batch, own = own_entries(definition, schema, events, index.of_event)
            first.insert(0, batch)
        held = decode_rows(schema, stored[at:end], first)
        stored_from: int | None = sum(map(len, first))
        if request.with_previous:
            held, stored_from = _unite(schema, held, stored[half + at : half + end]), None
        at = end
        of_event = index.of_event
        if held.corrupt.any():
            hit = (of_event >= 0) & held.corrupt[of_event]
            corrupt_events |= hit
            of_event, own = np.where(hit, -1, of_event), np.where(hit, -1, own)
        rows[row_id] = Rows(held.entries, of_event, own, held.folded, stored_from)
    return rows, corrupt_events


def rows_of(rows: Rows, index: Ints) -> Rows:
    """The rows of the events at `index` of the batch; those of others are left out."""
    asked = np.zeros(1 + int(max(rows.entries.row.max(initial=-1), rows.of_event.max(initial=-1))), np.bool_)
    asked[rows.of_event[index][rows.of_event[index] >= 0]] = True
    kept = np.flatnonzero(asked[rows.entries.row])
    own = np.full(len(rows.own), -1)
    own[index] = np.where(rows.own[index] >= 0, np.searchsorted(kept, rows.own[index]), -1)
    return Rows(take_entries(rows.entries, kept), rows.of_event, own, rows.folded)


def _unite(schema: RowSchema, held: StoredRows, previous: Sequence[bytes | None]) -> StoredRows:
    """Rows together with what the same rows hold in the previous layout."""
    entries, corrupt = decode_rows_v1(schema, previous)
    return StoredRows(join_entries([held.entries, entries]), held.folded, held.corrupt | corrupt)


def history_rows(
    definition: Definition, events: EventBatch, labels: Mapping[str, Entries]
) -> dict[RowId, Rows]:
    """Rows made of the events alone, for offline use: every event is in its rows, labels come with it.

    labels: label entries by entity, numbered as `index_keys(events.keys[entity])` numbers them.
    """
    rows: dict[RowId, Rows] = {}
    for schema in definition.rows:
        of_event = index_keys(events.keys[schema.entity]).of_event
        if schema.kind is RowKind.EVENTS:
            entries, own = own_entries(definition, schema, events, of_event)
        else:
            entries, own = labels[schema.entity], np.full(len(events), -1)
        rows[schema.entity, schema.kind] = Rows(entries, of_event, own)
    return rows
