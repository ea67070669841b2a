"""How far each assigned partition is read, and where its log ends: bookkeeping; times are arguments."""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import count

from stream.transport.endpoints import PartitionLag

NOTHING = -1


@dataclass(slots=True)
class _Place:
    position: int
    """The next offset to return."""
    end: int
    """The log's end, as a broker was asked for it last; behind what an open transaction hides it goes on."""
    asked_ms: int
    """When that was."""
    end_seen: int = NOTHING
    """Where the fetcher last ran out of records: control records before it are never returned."""
    timestamp: int = NOTHING
    """Of the last record returned; one dated ahead tells nothing."""
    caught_up_ms: int = NOTHING
    """When the fetcher ran out of records, for the last time; it may say so long after it did."""
    sure_ms: int = NOTHING
    """For the last moment that a broker was asked for, and nothing of it is unread."""
    told_at: int = NOTHING
    """Everything before this was returned when an end was told last."""
    fetched_to: int = NOTHING
    """How far the fetcher is; it may be further than what was returned, where that was aborted."""
    silent: int = 0
    """How often in a row an end was told that lies further on, and nothing came although nothing waited."""

    @property
    def done(self) -> int:
        """Everything before this was returned, or never will be."""
        return max(self.position, self.end_seen)

    def moved(self) -> None:
        """Records were returned, or an end was told."""
        if self.done >= self.end:
            self.sure_ms = self.asked_ms


class Reading:
    """Of one topic's partitions in hand."""

    def __init__(self) -> None:
        self._places: dict[int, _Place] = {}
        self.seeking: dict[int, int] = {}
        """Where to read on from, as soon as the fetcher lets us say so."""
        self.unstored: dict[int, int] = {}
        """Where the group begins in those that it has stored nothing of: they are not fetched before."""
        self._ran_dry = False
        """Whether everything fetched was returned at a time since ends were told last."""

    @property
    def partitions(self) -> AbstractSet[int]:
        return self._places.keys()

    @property
    def fetched(self) -> AbstractSet[int]:
        """Those whose records count: another's left in the call that fetched from it, or are read again."""
        return self._places.keys() - self.seeking.keys()

    @property
    def positions(self) -> dict[int, int]:
        return {partition: place.position for partition, place in self._places.items()}

    @property
    def begun(self) -> dict[int, int]:
        """The positions of those of which the group has stored something."""
        return {p: at for p, at in self.positions.items() if p not in self.unstored}

    def begin(
        self, starts: Mapping[int, int], ends: Mapping[int, int], asked_ms: int, first: Mapping[int, int]
    ) -> None:
        """ends: of their logs, which were asked for at `asked_ms`. first: what is `unstored` of them."""
        self.unstored |= first
        for partition, start in starts.items():
            self._places[partition] = _Place(start, ends[partition], asked_ms)

    def returned(
        self, partitions: Iterable[int], offsets: list[int], timestamps: list[int], now_ms: int
    ) -> None:
        """These records, ascending in each partition, were handed on."""
        for partition, at in dict(zip(partitions, count())).items():
            place = self._places[partition]
            place.position = offsets[at] + 1
            if timestamps[at] <= now_ms:
                place.timestamp = timestamps[at]
            place.moved()

    def fetched_to(self, offsets: Mapping[int, int]) -> None:
        """So far the fetcher is: it passes aborted records without a word."""
        for partition, offset in offsets.items():
            place = self._places.get(partition)
            if place is not None and place.fetched_to != offset:
                place.fetched_to, place.silent = offset, 0

    def ran_dry(self) -> None:
        """Everything that the fetcher had was returned: what it lets lie from now on, it passes over."""
        self._ran_dry = True

    @property
    def silent(self) -> dict[int, int]:
        """Partitions that bring nothing though brokers tell of more: so often in a row did they."""
        return {partition: place.silent for partition, place in self._places.items() if place.silent}

    def ran_out(self, partition: int, offset: int, now_ms: int) -> None:
        """The fetcher found no more records before `offset`."""
        place = self._places[partition]
        place.end_seen = offset
        if offset >= place.position:
            place.caught_up_ms = now_ms
        place.moved()

    def told(self, ends: Mapping[int, int], asked_ms: int) -> None:
        """Brokers told where logs end; they were asked at `asked_ms`."""
        for partition, end in ends.items():
            place = self._places.get(partition)
            if place is not None:
                place.end, place.asked_ms = end, asked_ms
                place.moved()
                may_come = self._ran_dry and partition not in self.unstored
                lies = may_come and place.told_at == place.done < end
                place.silent, place.told_at = place.silent + 1 if lies else 0, place.done
        self._ran_dry = False

    def go_to(self, offsets: Mapping[int, int]) -> None:
        """Read on from there; partitions that are not in hand are passed over."""
        for partition, offset in offsets.items():
            place = self._places.get(partition)
            if place is not None:
                place.position, place.end_seen = offset, NOTHING
                place.timestamp = place.caught_up_ms = place.sure_ms = NOTHING
                self.seeking[partition] = offset

    def forget(self, partitions: AbstractSet[int]) -> None:
        for partition in partitions:
            self._places.pop(partition, None)
            self.seeking.pop(partition, None)
            self.unstored.pop(partition, None)

    def lag(self, heard: Callable[[int], int], is_told: bool = True) -> dict[int, PartitionLag]:
        """heard: a partition's end as the fetcher heard it; it may lie behind an open transaction.
        is_told: whether `told` is called from time to time. Then the fetcher's word is not taken for how late
        it is: a process that was stopped for a while finds it as it was before.

        Once the fetcher ran out of records its word is not taken: nothing before that end can be had.
        """
        lags = {}
        for partition, place in self._places.items():
            at_end = place.end_seen >= place.position
            end = max(place.done, place.end, NOTHING if at_end else heard(partition))
            sure_ms = place.sure_ms if is_told else place.caught_up_ms
            since = max(place.timestamp, sure_ms) if end > place.done else NOTHING
            lags[partition] = PartitionLag(place.done, end, since, place.asked_ms if is_told else None)
        return lags
