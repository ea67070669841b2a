"""The partitions that a materializer has in hand, and how far their rows are."""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from features.progress import NEVER, HistoryClaim
from stream.engine.completeness import (
    Found,
    Held,
    LogEnd,
    Reach,
    another_life,
    from_the_start,
    going_on,
    idle,
    lacks,
    passed,
    verified,
    with_history,
)
from stream.engine.stored import Stored
from stream.engine.surroundings import MaterializePolicy
from stream.errors import Fatal
from stream.metrics import Materialized
from stream.transport.endpoints import PartitionLag

LogRange = Callable[[int], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Setback:
    """What the store lost of partitions in hand."""

    taken: frozenset[int]
    """Taken over, or taken over again: what is held of them is not written yet."""
    rebuilt: frozenset[int]
    """Begun anew, because nothing is known of them; the group had come further."""
    rewound: frozenset[int]
    """Gone back with, because the store was started anew."""


class Partitions:
    """Of one topic. `Held` is replaced as a whole, so that every moment is one that may be written down."""

    def __init__(self, topic: str, policy: MaterializePolicy) -> None:
        self._topic = topic
        self._policy = policy
        self.held: dict[int, Held] = {}

    @property
    def positions(self) -> dict[int, int]:
        """The next offset to append of each."""
        return {partition: held.position for partition, held in self.held.items()}

    @property
    def shown(self) -> dict[int, Materialized]:
        return {
            partition: Materialized(
                offset=held.position,
                log_end=held.progress.log_end,
                event_time=held.progress.event_time,
                arrived=held.arrived,
                complete_since=held.progress.complete_since,
            )
            for partition, held in self.held.items()
        }

    @property
    def await_history(self) -> bool:
        return any(held.awaits_history for held in self.held.values())

    def take(self, stored: Stored, committed: Mapping[int, int], log: LogRange, now_ms: int) -> Setback:
        """These partitions are ours from now on. Raises `Fatal`."""
        for partition, offset in committed.items():
            self.held[partition] = self._taken(partition, stored, offset, offset, log, now_ms)
        return self._setback(committed.keys(), stored)

    def compare(self, stored: Stored, log: LogRange, now_ms: int) -> Setback:
        """Go on from what the store says, which may be older than what we wrote to it.

        Where it lost its state (`stored` is of another epoch) every partition is begun anew. Raises `Fatal`.
        """
        taken: set[int] = set()
        for partition, held in self.held.items():
            known = stored.progress[partition]
            if known is None or known.offset < held.progress.offset or another_life(known, stored.life):
                taken.add(partition)
                again = self._taken(partition, stored, held.committed, held.position, log, now_ms)
                self.held[partition] = again
            else:
                self.held[partition] = replace(held, life=stored.life)
        return self._setback(taken, stored)

    def passed(
        self,
        reached: Mapping[int, Reach],
        lags: Mapping[int, PartitionLag],
        now_ms: int,
    ) -> None:
        """A batch was appended."""
        for partition, reach in reached.items():
            held = self.held[partition]
            log = _log_end(lags.get(partition), held, now_ms)
            self.held[partition] = passed(held, reach, log, now_ms)

    def beat(
        self, lags: Mapping[int, PartitionLag], history: HistoryClaim | None, now_ms: int, newest: int = NEVER
    ) -> None:
        """The store is the one it was, and whole. newest: the topic's event time at the beat before."""
        for partition, held in self.held.items():
            log = _log_end(lags.get(partition), held, now_ms)
            alive = idle(held, log, now_ms, self._policy.by_the_clock, newest)
            known = verified(alive, now_ms, self._policy.rewind_ms)
            self.held[partition] = known if history is None else with_history(known, history)

    def committed(self, offsets: Mapping[int, int]) -> None:
        """The group stands there now."""
        for partition, offset in offsets.items():
            self.held[partition] = replace(self.held[partition], committed=offset)

    def forwards(self, offsets: Mapping[int, int]) -> dict[int, int]:
        """Those that may be committed. What is read again was committed before, and never moves back: it
        says how far a rebuild must come.
        """
        return {p: at for p, at in offsets.items() if p in self.held and at > self.held[p].committed}

    def leave(self, partitions: AbstractSet[int]) -> None:
        for partition in partitions:
            self.held.pop(partition, None)

    def gaps(self, history: HistoryClaim) -> dict[int, int]:
        """Event time between a loaded history and what the log brought, by partition; 0 without a gap."""
        return {partition: lacks(held.progress, history) for partition, held in self.held.items()}

    def _setback(self, taken: AbstractSet[int], stored: Stored) -> Setback:
        known = {partition: stored.progress[partition] for partition in taken}
        begun = {partition for partition, one in known.items() if one is None}
        return Setback(
            taken=frozenset(taken),
            rebuilt=frozenset(p for p in begun if self.held[p].progress.rebuilding),
            rewound=frozenset(p for p, one in known.items() if one and another_life(one, stored.life)),
        )

    def _taken(
        self,
        partition: int,
        stored: Stored,
        committed: int,
        position_max: int,
        log: LogRange,
        now_ms: int,
    ) -> Held:
        known = stored.progress[partition]
        first, end = log(partition)
        awaits_history = self._policy.has_history and stored.history is None
        found = Found(committed, (first, end), stored.life, awaits_history, now_ms)
        if known is None:
            return from_the_start(stored.epoch, found, self._policy.complete_since)
        if known.offset > end:
            raise Fatal(
                f"{self._topic}: the log ends at {end}, and the online store has materialized up to "
                f"{known.offset}: the topic was made anew; give it another name, or clear the store"
            )
        return going_on(known, position_max, found)


def _log_end(lag: PartitionLag | None, held: Held, now_ms: int) -> LogEnd:
    """As the source knows it; without its word nothing is known since the last one."""
    if lag is None:
        return LogEnd(held.progress.log_end, held.progress.written_at)
    return LogEnd(lag.end, lag.vouched_ms(now_ms))
