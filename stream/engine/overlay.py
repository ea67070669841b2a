"""Read-your-writes: entries of events this worker has seen and the materializer may not have appended yet."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from features.arrays import Bools, Ints
from features.codec import Entries, entry_bytes, join_entries, take_entries
from features.definition.model import Definition, RowKind, RowSchema
from features.event import EventBatch, position_offsets, position_partitions
from features.rows import RowId, RowRequest, entry_values

_KEYS_SPARE = 10_000
_KEY_BYTES = 150
"""What a key takes besides its characters: the text's head, its number, its place in the dict."""
_NO_OFFSET = 1 << 62


@dataclass(slots=True)
class _Held:
    """The entries of one schema; their row numbers are places in `keys`."""

    entries: Entries
    keys: dict[str, int] = field(default_factory=dict)
    characters: int = 0
    """Of the keys."""


class Overlay:
    """Entries beyond the materializer's progress, bounded in bytes.

    When full, the oldest entries go. What went is truncated until progress is past it, which is nothing
    new for entries that were materialized, unless the store comes back with an older state than it had.
    Not safe for threads; the score loop owns it.
    """

    def __init__(self, definition: Definition, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self.begin(definition)

    def begin(self, definition: Definition) -> None:
        """Hold nothing yet, for the rows of this definition."""
        self._definition = definition
        self._schemas = [row for row in definition.rows if row.kind is RowKind.EVENTS]
        self._held = {schema.entity: _Held(_no_entries(schema)) for schema in self._schemas}
        self._dropped_until: dict[int, int] = {}

    @property
    def size_bytes(self) -> int:
        """Of entries and keys."""
        return sum(self._bytes_of(schema) for schema in self._schemas)

    @property
    def _is_filled(self) -> bool:
        return any(len(held.entries) for held in self._held.values())

    def _bytes_of(self, schema: RowSchema) -> int:
        held = self._held[schema.entity]
        return len(held.entries) * entry_bytes(schema) + len(held.keys) * _KEY_BYTES + held.characters

    def add(self, events: EventBatch) -> None:
        """Hold the entries of these events; the oldest held go if they no longer fit."""
        for schema in self._schemas:
            held = self._held[schema.entity]
            numbers, known = held.keys, len(held.keys)
            row = np.array(
                [
                    -1 if key is None else numbers.setdefault(key, len(numbers))
                    for key in events.keys[schema.entity]
                ],
                dtype=np.int64,
            )
            held.characters += sum(map(len, islice(reversed(numbers), len(numbers) - known)))
            added = Entries(
                row,
                events.times,
                events.hashes,
                events.positions,
                entry_values(self._definition, schema, events),
            )
            held.entries = join_entries([held.entries, take_entries(added, row >= 0)])
        while self._is_filled and (excess := self.size_bytes - self._bytes_max) > 0:
            self._drop_oldest(excess)

    def trim(self, progress: Mapping[int, int]) -> None:
        """Forget what is materialized: entries of partition p with an offset below `progress[p]`."""
        for partition, offset in progress.items():
            self.mark_missing(partition, offset)
        if progress:
            self._keep(lambda entries: ~_below(entries, progress))

    def revoke(self, partitions: set[int]) -> None:
        """Forget everything of partitions that went to another worker."""
        for partition in partitions:
            self._dropped_until.pop(partition, None)
        gone = np.array(sorted(partitions))
        self._keep(lambda entries: ~np.isin(position_partitions(entries.marks), gone))

    def drop_from(self, offsets: Mapping[int, int]) -> None:
        """Forget entries of partition p with an offset of `offsets[p]` or more: they will be added again."""
        self._keep(lambda entries: _below(entries, offsets, otherwise=_NO_OFFSET))

    def mark_missing(self, partition: int, until: int) -> None:
        """Entries of this partition below offset `until` may be missing here."""
        self._dropped_until[partition] = max(until, self._dropped_until.get(partition, 0))

    def truncated(self, progress: Mapping[int, int]) -> set[int]:
        """Partitions of which entries may be missing here that by `progress` the store does not hold."""
        return {p for p, until in self._dropped_until.items() if progress.get(p, 0) < until}

    def entries(self, request: RowRequest) -> dict[RowId, Entries]:
        """What is held of the entities in `request`, its rows numbered as the request numbers them."""
        found: dict[RowId, Entries] = {}
        for schema in self._schemas:
            held = self._held[schema.entity]
            if not len(held.entries):
                continue
            row_of = np.full(len(held.keys), -1)
            for at, key in enumerate(request.indexes[schema.entity].keys):
                number = held.keys.get(key)
                if number is not None:
                    row_of[number] = at
            row = row_of[held.entries.row]
            hit = row >= 0
            e = held.entries
            found[schema.entity, schema.kind] = Entries(
                row[hit], e.times[hit], e.ids[hit], e.marks[hit], e.values[hit]
            )
        return found

    def _keep(self, wanted: Callable[[Entries], Bools]) -> None:
        for schema in self._schemas:
            held = self._held[schema.entity]
            kept = wanted(held.entries)
            if not kept.all():
                self._retain(held, kept)

    def _drop_oldest(self, excess: int) -> None:
        """Drop from the front, where the earliest seen stand, a tenth more than needed so that it is rare."""
        share = min(1.0, 1.1 * excess / max(self.size_bytes, 1))
        for schema in self._schemas:
            held = self._held[schema.entity]
            count = int(np.ceil(share * len(held.entries)))
            partitions = position_partitions(held.entries.marks[:count])
            offsets = position_offsets(held.entries.marks[:count])
            for partition in np.unique(partitions).tolist():
                self.mark_missing(partition, int(offsets[partitions == partition].max()) + 1)
            self._retain(held, np.arange(len(held.entries)) >= count, spare=0)

    @staticmethod
    def _retain(held: _Held, kept: Bools, spare: int = _KEYS_SPARE) -> None:
        """Keep these entries; keys without any go once there are too many of them (`spare` 0: all)."""
        held.entries = e = take_entries(held.entries, kept)
        if len(held.keys) <= (2 * len(e) + spare if spare else 0):
            return
        used = np.unique(e.row)
        names = list(held.keys)
        held.keys = {names[number]: at for at, number in enumerate(used.tolist())}
        held.characters = sum(map(len, held.keys))
        held.entries = Entries(np.searchsorted(used, e.row), e.times, e.ids, e.marks, e.values)


def _below(entries: Entries, progress: Mapping[int, int], otherwise: int = 0) -> Bools:
    """Which entries lie before `progress` of their partition; before `otherwise` where it names none."""
    partitions = position_partitions(entries.marks)
    reached = np.full(max(int(partitions.max(initial=0)), *progress) + 1, otherwise, np.int64)
    for partition, offset in progress.items():
        reached[partition] = offset
    return position_offsets(entries.marks) < reached[partitions]


def _no_entries(schema: RowSchema) -> Entries:
    none: Ints = np.empty(0, np.int64)
    return Entries(none, none, none.view(np.uint64), none.view(np.uint64), np.empty((0, len(schema.columns))))
