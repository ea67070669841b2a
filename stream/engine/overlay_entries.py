"""The entries of one kind of row that an overlay holds, in the order in which they were seen.

Adding a batch, and finding what is held of its entities, cost as much as the batch has and finds, however
much is held: arrays grow by doubling, what goes mostly goes from the front, and entries are found by an index
over all but the latest, which is made anew when those are too many to be looked through.
"""

from collections.abc import Sequence
from itertools import islice, repeat

import numpy as np

from features.arrays import Bools, Ints
from features.codec import Entries, take_entries
from features.definition.model import RowSchema
from features.windows.axis import ragged_arange

_CAPACITY_MIN = 1_024
_UNINDEXED_MIN = 4_096
_UNINDEXED_SHARE = 8
"""At most one of so many entries is not in the index, but `_UNINDEXED_MIN` may be."""


class HeldEntries:
    """Row numbers are places in `keys`."""

    def __init__(self, schema: RowSchema) -> None:
        self.keys: dict[str, int] = {}
        self.characters = 0
        """Of the keys."""
        self._held = _room_for(0, len(schema.columns))
        self._begin = self._end = self._indexed = 0
        self._forget_index()

    @property
    def entries(self) -> Entries:
        return take_entries(self._held, slice(self._begin, self._end))

    def __len__(self) -> int:
        return self._end - self._begin

    def numbers(self, keys: Sequence[str | None]) -> Ints:
        """The numbers of keys, old and new; -1 for None."""
        known, numbers = len(self.keys), self.keys
        found = [-1 if key is None else numbers.setdefault(key, len(numbers)) for key in keys]
        self.characters += sum(map(len, islice(reversed(numbers), len(numbers) - known)))
        return np.array(found, np.int64)

    def append(self, entries: Entries) -> None:
        end = self._end + len(entries)
        if end > len(self._held):
            self._move_to(
                _room_for(max(2 * (len(self) + len(entries)), _CAPACITY_MIN), entries.values.shape[1])
            )
            end = self._end + len(entries)
        _write(self._held, slice(self._end, end), entries)
        self._end = end

    def drop_first(self, count: int) -> None:
        self._begin += count

    def keep(self, kept: Bools) -> None:
        """Of all entries those of the mask."""
        left = take_entries(self.entries, kept)
        self._begin, self._end = 0, len(left)
        _write(self._held, slice(self._end), left)
        self._forget_index()

    def forget_keys(self) -> None:
        """Those without an entry."""
        row = self._held.row[self._begin : self._end]
        used = np.unique(row)
        names = list(self.keys)
        self.keys = {names[number]: at for at, number in enumerate(used.tolist())}
        self.characters = sum(map(len, self.keys))
        row[:] = np.searchsorted(used, row)
        self._forget_index()

    def find(self, keys: Sequence[str]) -> Entries:
        """The entries of distinct keys, whose rows they get the places of."""
        numbers = np.array(list(map(self.keys.get, keys, repeat(-1))), np.int64)
        place = np.flatnonzero(numbers >= 0)
        place = place[np.argsort(numbers[place])]
        numbers = numbers[place]
        (early, of_early), (late, of_late) = self._in_index(numbers, place), self._after_index(numbers, place)
        found = take_entries(self._held, np.concatenate([early, late]))
        row = np.concatenate([of_early, of_late])
        return Entries(row, found.times, found.ids, found.marks, found.values)

    def _in_index(self, numbers: Ints, place: Ints) -> tuple[Ints, Ints]:
        """Where entries of these rows are, as far as the index goes, and the places of their rows."""
        latest = self._end - max(self._indexed, self._begin)
        if latest > max(_UNINDEXED_MIN, len(self) // _UNINDEXED_SHARE):
            row = self._held.row[self._begin : self._end]
            order = np.argsort(row, kind="stable")
            self._order, self._rows, self._indexed = order + self._begin, row[order], self._end
        starts = np.searchsorted(self._rows, numbers, side="left")
        lengths = np.searchsorted(self._rows, numbers, side="right") - starts
        at = self._order[ragged_arange(starts, lengths)]
        left = at >= self._begin
        return at[left], np.repeat(place, lengths)[left]

    def _after_index(self, numbers: Ints, place: Ints) -> tuple[Ints, Ints]:
        """The same of the others."""
        begin = max(self._indexed, self._begin)
        row = self._held.row[begin : self._end]
        asked, place_of = np.zeros(len(self.keys), np.bool_), np.empty(len(self.keys), np.int64)
        asked[numbers], place_of[numbers] = True, place
        at = np.flatnonzero(asked[row])
        return begin + at, place_of[row[at]]

    def _move_to(self, room: Entries) -> None:
        entries = self.entries
        _write(room, slice(len(entries)), entries)
        self._held, self._begin, self._end = room, 0, len(entries)
        self._forget_index()

    def _forget_index(self) -> None:
        none: Ints = np.empty(0, np.int64)
        self._order, self._rows, self._indexed = none, none, 0


def _room_for(count: int, columns: int) -> Entries:
    times, ids = np.empty(count, np.int64), np.empty(count, np.uint64)
    return Entries(np.empty_like(times), times, ids, np.empty_like(ids), np.empty((count, columns)))


def _write(entries: Entries, where: slice, new: Entries) -> None:
    entries.row[where], entries.times[where], entries.ids[where] = new.row, new.times, new.ids
    entries.marks[where], entries.values[where] = new.marks, new.values
