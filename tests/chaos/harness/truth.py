"""What the features of an event are, from the books alone: slowly, and sharing no code with what is tested.

A window holds what docs/features.md says. What came in the event's own partition before it must be in it;
what came after it must not. What other partitions brought counts by its time, if it had come by then: of
what came so late that the event's worker may not have seen it, a value may hold any part.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from features.arrays import Bools, Floats, Ints
from tests.chaos.harness.books import Sent
from tests.chaos.harness.usecase import DOOR_DELAY_MS, EXACT, LAST, RESOLUTION_MS, SPAN_MS
from tests.integration.records import Position


@dataclass(frozen=True, slots=True)
class Window:
    """What a window of weights may hold: its sums, and how many they are of."""

    count: int
    total: float
    more: int = 0
    """Further entries that it may hold too, or not."""
    more_total: float = 0.0
    before: int = 0
    """Entries before the event that one row holds in the window's time, as far as they are certain."""

    def allows(self, count: float, total: float) -> bool:
        """Whether values as served can be of this window."""
        return (
            self.count <= count <= self.count + self.more
            and self.total <= total <= self.total + self.more_total
        )


@dataclass(frozen=True, slots=True)
class Expected:
    """Of one event."""

    person: Window
    last: float
    """The sum of the last `LAST` weights."""
    door: Window | None
    """None where the event has no door."""
    wider: Window
    """The person's window if its edge is displaced by a tile."""

    @property
    def may_be_trimmed(self) -> bool:
        """Whether a row is too long to be kept entry by entry."""
        return self.wider.before >= EXACT or (self.door is not None and self.door.before >= EXACT)


@dataclass(frozen=True, slots=True)
class _Row:
    """The entries of an entity: each id once, as it first came; by time, then position."""

    times: Ints
    partitions: Ints
    offsets: Ints
    ids: Ints
    weights: Floats
    acked: Ints


class Truth:
    def __init__(self, events: Iterable[Sent]) -> None:
        people: dict[str, list[Sent]] = defaultdict(list)
        doors: dict[str, list[Sent]] = defaultdict(list)
        self._numbers: dict[str, int] = {}
        self._events: dict[Position, Sent] = {}
        for sent in sorted(events, key=lambda s: s.position):
            if sent.visit is None:
                continue
            self._events[sent.position] = sent
            self._numbers.setdefault(sent.visit.visit, len(self._numbers))
            people[sent.visit.person].append(sent)
            if sent.visit.door is not None:
                doors[sent.visit.door].append(sent)
        self._people = {name: self._row(sents) for name, sents in people.items()}
        self._doors = {name: self._row(sents) for name, sents in doors.items()}

    def expected(self, of: Position, seen_ms: int) -> Expected:
        """seen_ms: what other partitions had acknowledged by then, the worker must have seen."""
        sent = self._events[of]
        visit = sent.visit
        assert visit is not None
        row = self._people[visit.person]
        person = self._window(row, sent, visit.at - SPAN_MS, visit.at, seen_ms)
        wider = self._window(row, sent, visit.at - SPAN_MS - RESOLUTION_MS, visit.at, seen_ms)
        door = None
        if visit.door is not None:
            until = visit.at - DOOR_DELAY_MS
            door = self._window(self._doors[visit.door], sent, until - SPAN_MS, until, seen_ms)
        return Expected(_with(person, visit.weight), self._last(row, sent), door, _with(wider, visit.weight))

    def _window(self, row: _Row, sent: Sent, after: int, until: int, seen_ms: int) -> Window:
        """The entries with a time in (after, until]."""
        lo, hi = np.searchsorted(row.times, [after, until], "right").tolist()
        part = slice(lo, hi)
        own, other = self._visible(row, sent, part)
        sure = own | (other & (row.acked[part] <= seen_ms))
        more = other & ~sure
        weights = row.weights[part]
        count, further = int(sure.sum()), int(more.sum())
        return Window(count, float(weights[sure].sum()), further, float(weights[more].sum()), count)

    def _last(self, row: _Row, sent: Sent) -> float:
        assert sent.visit is not None
        hi = int(np.searchsorted(row.times, sent.visit.at, "right"))
        own, _ = self._visible(row, sent, slice(0, hi))
        return float(row.weights[:hi][own][-(LAST - 1) :].sum()) + sent.visit.weight

    def _visible(self, row: _Row, sent: Sent, part: slice) -> tuple[Bools, Bools]:
        """Which entries the event may see: of its own partition, and of others."""
        assert sent.visit is not None
        partition, offset = sent.position
        others = row.ids[part] != self._numbers[sent.visit.visit]
        own = row.partitions[part] == partition
        before = row.offsets[part] < offset
        earlier = (row.times[part] < sent.visit.at) | (row.partitions[part] < partition)
        return own & before & others, ~own & earlier & others

    def _row(self, sents: list[Sent]) -> _Row:
        first: dict[str, Sent] = {}
        for sent in sents:  # in the order of positions
            assert sent.visit is not None
            first.setdefault(sent.visit.visit, sent)
        kept = sorted(first.values(), key=_by_time)
        visits = [sent.visit for sent in kept if sent.visit is not None]
        return _Row(
            times=np.array([v.at for v in visits], np.int64),
            partitions=np.array([s.position[0] for s in kept], np.int64),
            offsets=np.array([s.position[1] for s in kept], np.int64),
            ids=np.array([self._numbers[v.visit] for v in visits], np.int64),
            weights=np.array([v.weight for v in visits], np.float64),
            acked=np.array([s.acked_ms for s in kept], np.int64),
        )


def events_by_position(events: Iterable[Sent]) -> Mapping[Position, Sent]:
    return {sent.position: sent for sent in events}


def _with(window: Window, weight: float) -> Window:
    """With the event itself."""
    return Window(window.count + 1, window.total + weight, window.more, window.more_total, window.before)


def _by_time(sent: Sent) -> tuple[int, Position]:
    assert sent.visit is not None
    return sent.visit.at, sent.position
