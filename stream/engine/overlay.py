"""Read-your-writes: entries of events this worker has seen and the materializer may not have appended yet."""

from collections.abc import Callable, Mapping

import numpy as np

from features.arrays import Bools, UInts
from features.codec import Entries, entry_bytes, take_entries
from features.definition.model import Definition, RowKind, RowSchema
from features.event import EventBatch, position_offsets, position_partitions
from features.rows import RowId, RowRequest, entry_values
from stream.engine.overlay_entries import HeldEntries

_KEYS_SPARE = 10_000
_KEY_BYTES = 150
"""What a key takes besides its characters: the text's head, its number, its place in the dict."""
_NO_OFFSET = 1 << 62
_AT_ONCE = 1_024


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
        self._held = {schema.entity: HeldEntries(schema) for schema in self._schemas}
        self._materialized: dict[int, int] = {}
        """By partition, as of the last `trim`."""
        self._dropped_until: dict[int, int] = {}

    @property
    def size_bytes(self) -> int:
        """Of entries and keys."""
        return sum(self._bytes_of(schema) for schema in self._schemas)

    @property
    def _is_filled(self) -> bool:
        return any(len(held) for held in self._held.values())

    def _bytes_of(self, schema: RowSchema) -> int:
        held = self._held[schema.entity]
        return len(held) * entry_bytes(schema) + len(held.keys) * _KEY_BYTES + held.characters

    def add(self, events: EventBatch) -> None:
        """Hold the entries of these events; the oldest held go if they no longer fit."""
        for schema in self._schemas:
            held = self._held[schema.entity]
            row = held.numbers(events.keys[schema.entity])
            values = entry_values(self._definition, schema, events)
            added = Entries(row, events.times, events.hashes, events.positions, values)
            held.append(added if (row >= 0).all() else take_entries(added, row >= 0))
        if self.size_bytes > self._bytes_max and self._materialized:
            self._keep(lambda entries: ~_below(entries.marks, self._materialized))
        while self._is_filled and (excess := self.size_bytes - self._bytes_max) > 0:
            self._drop_oldest(excess)

    def trim(self, progress: Mapping[int, int]) -> None:
        """Forget what is materialized: entries of partition p with an offset below `progress[p]`.

        Only from the front, as far as all of it is: the rest is not found any more, and goes when its turn,
        or room, comes.
        """
        for partition, offset in progress.items():
            self.mark_missing(partition, offset)
        self._materialized = dict(progress)
        if not progress:
            return
        for held in self._held.values():
            while len(held):
                left = ~_below(held.entries.marks[:_AT_ONCE], progress)
                held.drop_first(int(left.argmax()) if left.any() else len(left))
                if left.any():
                    break
            self._spare_keys(held)

    def revoke(self, partitions: set[int]) -> None:
        """Forget everything of partitions that went to another worker."""
        for partition in partitions:
            self._dropped_until.pop(partition, None)
            self._materialized.pop(partition, None)
        gone = np.array(sorted(partitions))
        self._keep(lambda entries: ~np.isin(position_partitions(entries.marks), gone))

    def drop_from(self, offsets: Mapping[int, int]) -> None:
        """Forget entries of partition p with an offset of `offsets[p]` or more: they will be added again."""
        self._keep(lambda entries: _below(entries.marks, offsets, otherwise=_NO_OFFSET))

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
            if not len(held):
                continue
            hits = held.find(request.indexes[schema.entity].keys)
            if self._materialized:
                hits = take_entries(hits, ~_below(hits.marks, self._materialized))
            found[schema.entity, schema.kind] = hits
        return found

    def _keep(self, wanted: Callable[[Entries], Bools]) -> None:
        for held in self._held.values():
            kept = wanted(held.entries)
            if not kept.all():
                held.keep(kept)
                self._spare_keys(held)

    def _drop_oldest(self, excess: int) -> None:
        """Drop from the front, where the earliest seen stand, a tenth more than needed so that it is rare."""
        share = min(1.0, 1.1 * excess / max(self.size_bytes, 1))
        for held in self._held.values():
            count = int(np.ceil(share * len(held)))
            marks = held.entries.marks[:count]
            partitions, offsets = position_partitions(marks), position_offsets(marks)
            for partition in np.unique(partitions).tolist():
                self.mark_missing(partition, int(offsets[partitions == partition].max()) + 1)
            held.drop_first(count)
            held.forget_keys()

    @staticmethod
    def _spare_keys(held: HeldEntries) -> None:
        """Keys without any entry go once there are too many of them."""
        if len(held.keys) > 2 * len(held) + _KEYS_SPARE:
            held.forget_keys()


def _below(marks: UInts, progress: Mapping[int, int], otherwise: int = 0) -> Bools:
    """Which positions lie before `progress` of their partition; before `otherwise` where it names none."""
    partitions = position_partitions(marks)
    reached = np.full(max(int(partitions.max(initial=0)), *progress) + 1, otherwise, np.int64)
    for partition, offset in progress.items():
        reached[partition] = offset
    return position_offsets(marks) < reached[partitions]
