"""How far rows may be folded: no event older than that is still to come, but for late ones. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from features.progress import NEVER, Progress
from stream.engine.completeness import another_life
from stream.engine.stored import Stored
from stream.engine.surroundings import MaterializePolicy


@dataclass(frozen=True, slots=True)
class Foldable:
    """How far rows may be folded, for as long as the store is in this epoch."""

    epoch: str
    watermark: int


def foldable(
    stored: Stored, partitions: Sequence[Progress | None], policy: MaterializePolicy
) -> Foldable | None:
    """None while older entries are still to be united with the rows, and while `watermark` says nothing."""
    filled = not any(one.rebuilding for one in partitions if one is not None)
    awaits_history = policy.has_history and stored.history is None and not filled
    if stored.loading or stored.has_predecessor or awaits_history:
        return None
    found = watermark(partitions, stored.life, policy.grace)
    return None if found is None else Foldable(stored.epoch, found)


def watermark(partitions: Sequence[Progress | None], life: str, grace: int) -> int | None:
    """The lowest event-time progress of all partitions of a topic, less the grace period.

    None while nothing may be folded: a partition's progress is not known, or what the store lost is not
    yet repeated. One that brings nothing holds folding back for at most twice the grace while somebody
    sees it stand at its log's end. No clock is asked: events may be as old as they like when they come.
    """
    reached: list[int] = []
    for one in partitions:
        if one is None or another_life(one, life):
            return None
        if one.event_time == one.not_before == NEVER:
            return None
        reached.append(max(one.event_time, one.not_before - grace))
    return min(reached) - grace if reached else None


def newest_of(partitions: Sequence[Progress | None]) -> int:
    """The largest event time of any; `NEVER` before any."""
    return max((one.event_time for one in partitions if one is not None), default=NEVER)
