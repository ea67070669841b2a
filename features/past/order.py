"""Batches of a history in the order of time, holding no more of them than their disorder asks for."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from features.arrays import Ints, UInts
from features.past.columns import EventColumns, join_columns
from features.past.history import history_positions

NEVER = 2**62
"""After all times."""


@dataclass(frozen=True, slots=True)
class Slice:
    """n events, sorted by (time, position) unless it is said otherwise."""

    events: EventColumns
    positions: UInts

    def __len__(self) -> int:
        return len(self.events)

    def take(self, index: Ints) -> "Slice":
        """The events at `index`, in its order."""
        return Slice(self.events.take(index), self.positions[index])

    def cut(self, start: int, end: int) -> "Slice":
        """The events from `start` to before `end`."""
        return self if (start, end) == (0, len(self)) else self.take(np.arange(start, end))


@dataclass(frozen=True, slots=True)
class Extent:
    """What is known of a batch before it is read."""

    rows: int
    first: int
    """The lowest event time; `NEVER` where no row has one."""
    last: int


class Batches(Protocol):
    """A history that can be read in parts, again and again."""

    @property
    def extents(self) -> Sequence[Extent]:
        """Of each batch."""
        ...

    def read(self, number: int) -> Slice:
        """A batch, in any order; no position occurs twice in the history. Raises `HistoryError`."""
        ...


def join_slices(parts: Sequence[Slice]) -> Slice:
    """One part after the other."""
    if len(parts) == 1:
        return parts[0]
    events = join_columns([part.events for part in parts])
    return Slice(events, np.concatenate([part.positions for part in parts]))


def reading_order(extents: Sequence[Extent]) -> list[int]:
    """The batches by their first event."""
    return sorted(range(len(extents)), key=lambda number: extents[number].first)


def waiting_rows(extents: Sequence[Extent]) -> int:
    """How many rows at most must be held while the batches are read in `reading_order`."""
    most, held = 0, list[Extent]()
    ordered = [extents[number] for number in reading_order(extents)]
    for extent, later in zip(ordered, _first_later(ordered), strict=True):
        held = [one for one in [*held, extent] if one.last >= later]
        most = max(most, sum(one.rows for one in held))
    return most


def in_time_order(batches: Batches, rows_min: int, rows_max: int) -> Iterator[Slice]:
    """All events sorted by (time, position), in slices of at most `rows_max` out of at least `rows_min`."""
    order = reading_order(batches.extents)
    waiting: list[Slice] = []
    for number, later in zip(order, _first_later([batches.extents[n] for n in order]), strict=True):
        waiting.append(batches.read(number))
        if later != NEVER and sum(map(len, waiting)) < rows_min:
            continue
        events = _sorted(join_slices(waiting))
        ready = int(np.searchsorted(events.events.times, later, side="left"))
        if ready < rows_min and later != NEVER:
            waiting = [events]
            continue
        for start in range(0, ready, rows_max):
            yield events.cut(start, min(start + rows_max, ready))
        waiting = [events.cut(ready, len(events))]


def ranked(slices: Iterable[Slice]) -> Iterator[Slice]:
    """Slices of a file, whose positions become ranks in the order of time, as `History` has them."""
    done = 0
    for part in slices:
        yield replace(part, positions=history_positions(done, len(part)))
        done += len(part)


def _first_later(extents: Sequence[Extent]) -> list[int]:
    """For each batch, the lowest event time of all that are read after it; `NEVER` after the last."""
    return [extent.first for extent in extents[1:]] + [NEVER] * bool(extents)


def _sorted(part: Slice) -> Slice:
    times, positions = part.events.times, part.positions
    later, same = times[1:] > times[:-1], times[1:] == times[:-1]
    if (later | (same & (positions[1:] > positions[:-1]))).all():
        return part
    return part.take(np.lexsort((positions, times)))
