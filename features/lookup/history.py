"""What keys of one entity held over time, and what that was at the time of each event of the past."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from features.arrays import Floats, Ints
from features.lookup.codec import NEVER, Fields, Lookups
from features.lookup.request import lookups_of_events
from features.rows import index_keys


@dataclass(frozen=True, slots=True)
class LookupTable:
    """m rows as a file has them: what a key holds from some time on."""

    fields: Fields
    keys: Sequence[str]
    written_at: Ints | None
    """Shape (m,), ms; None where the file does not say."""
    values: Floats
    """Shape (m, fields); texts hashed, NaN missing."""
    texts: Mapping[float, str]
    """What the hashes were made of."""

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class LookupHistory:
    """m rows sorted by (key, time); of the same key and time the file's last stands last."""

    fields: Fields
    texts: Mapping[float, str]
    """What the hashes among the values were made of."""
    numbers: Mapping[str, int]
    """The number of each key."""
    key: Ints
    """Shape (m,): the number of each row's key."""
    held: Lookups

    def columns(self, keys: Sequence[str | None], times: Ints) -> dict[str, Floats]:
        """By feature, what each key held at its time: the newest value that was not written after it."""
        of_event = self._newest(keys, times)
        values, _ = lookups_of_events(self.fields, self.held, of_event, times)
        return {field.name: values[:, place] for place, field in enumerate(self.fields)}

    def _newest(self, keys: Sequence[str | None], times: Ints) -> Ints:
        """The row that is in force for each key at its time; -1 for none."""
        index = index_keys(keys)
        wanted = np.array([*(self.numbers.get(key, -1) for key in index.keys), -1], np.int64)[index.of_event]
        # Times count by their rank, so that (key, time) fits into one integer.
        moments, ranks = np.unique(self.held.written_at, return_inverse=True)
        step = len(moments) + 1
        place = np.searchsorted(
            self.key * step + ranks,
            wanted * step + np.searchsorted(moments, times, side="right") - 1,
            side="right",
        )
        there = (wanted >= 0) & (place > 0)
        there[there] = self.key[place[there] - 1] == wanted[there]
        return np.where(there, place - 1, -1)


def over_time(table: LookupTable) -> LookupHistory:
    """For events with a clock. The table says when each row was written."""
    assert table.written_at is not None, "rows say when they were written"
    return _sorted(table, table.fields, table.written_at)


def for_all_time(table: LookupTable) -> LookupHistory:
    """For events without a clock: a key has one value, which has no age."""
    fields = tuple(replace(field, max_age=None) for field in table.fields)
    return _sorted(table, fields, np.full(len(table), NEVER))


def _sorted(table: LookupTable, fields: Fields, written_at: Ints) -> LookupHistory:
    numbers: dict[str, int] = {}
    key = np.array([numbers.setdefault(one, len(numbers)) for one in table.keys], np.int64)
    order = np.lexsort((written_at, key))  # stable
    here = np.ones(len(order), np.bool_)
    held = Lookups(written_at[order], table.values[order], here, ~here)
    return LookupHistory(fields, table.texts, numbers, key[order], held)
