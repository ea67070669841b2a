"""What the rows of a partition hold, step by step. Pure: every step takes a partition and gives the next."""

from dataclasses import dataclass, replace
from typing import Any

from msgspec import structs

from features.progress import ALWAYS, NEVER, HistoryClaim, Progress

NOTHING_YET = 2**53
"""`complete_since` before the first event of a partition whose past is unknown."""
TRAIL_POINTS = 16
"""How finely the time by which a lost life is rewound is known."""


@dataclass(frozen=True, slots=True)
class Held:
    """A partition in hand."""

    progress: Progress
    """What the store says of it, or shall say; within an epoch its offset never moves back."""
    position: int
    """The next offset to append; before `progress.offset` while records are read again."""
    committed: int
    """Where the group stands; it never moves back."""
    life: str
    """The store's when it was last compared with."""
    whole_at: int
    """Before `position` gets here rows may lack what `progress` speaks of."""
    awaits_history: bool
    """Files hold what the log has no more, and they are not loaded yet."""
    trail: tuple[tuple[int, int], ...]
    """(ms, position): the first lies so long back that no restart of the store loses what was before it."""
    arrived: int | None = None
    """The newest timestamp, ms, of the records that were appended; None before any."""


@dataclass(frozen=True, slots=True)
class Found:
    """What is known where a partition is taken over."""

    committed: int
    """Where the group stands."""
    log: tuple[int, int]
    """Its first offset and the one after its last."""
    life: str
    """The store's."""
    awaits_history: bool
    """Whether a history is configured, and the store has none."""
    now_ms: int


def from_the_start(epoch: str, found: Found, claimed_since: int | None) -> Held:
    """A partition the store knows nothing of is materialized from the start of its log.

    Up to where the group stands a lost state is being rebuilt. claimed_since: what the settings say of
    the past. That holds for a store filled before, not for one that lost its state; and that there was
    no past (`ALWAYS`) holds where the log still has its beginning.
    """
    first, end = found.log
    holds = first == found.committed or (claimed_since == ALWAYS and first == 0)
    progress = Progress(
        epoch=epoch,
        offset=first,
        log_end=end,
        event_time=NEVER,
        complete_since=claimed_since if claimed_since is not None and holds else NOTHING_YET,
        written_at=found.now_ms,
        life=found.life,
        settled=first,
    )
    trail = ((found.now_ms, first),)
    held = Held(progress, first, found.committed, found.life, found.committed, found.awaits_history, trail)
    return _said(held)


def going_on(known: Progress, position_max: int, found: Found) -> Held:
    """A partition is taken over where the store says it stands, or earlier.

    position_max: where reading is to go on at the latest. When the store began another life it may have
    lost the writes of the last moments, of any partition's rows: those are repeated.
    """
    first, end = found.log
    lost = another_life(known, found.life)
    settled = known.offset if known.settled is None else min(known.settled, known.offset)
    sure = settled if lost else known.offset
    position = max(min(sure, position_max), first)
    settled = max(min(settled, position), first)
    offset = max(known.offset, position)
    progress = structs.replace(
        known,
        offset=offset,
        log_end=max(end, offset),
        # What retention deleted before it was materialized, the rows will never hold.
        complete_since=known.complete_since if first <= sure else NOTHING_YET,
        written_at=found.now_ms,
        settled=settled,
    )
    whole_at = max(known.offset if lost else first, found.committed if known.rebuilding else first)
    awaits_history = found.awaits_history and known.rebuilding
    trail = ((found.now_ms, settled),)
    return _said(Held(progress, position, found.committed, found.life, whole_at, awaits_history, trail))


def another_life(known: Progress, life: str) -> bool:
    """Whether the store was started anew, or replaced, since it held all that `known` says."""
    return known.life not in ("", life)


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a batch of records goes in a partition."""

    offset: int
    """The one after its last record."""
    newest: int | None
    """The largest event time, or `observed_at` of labels; None where no record brought any."""
    arrived: int
    """The largest timestamp of its records, ms."""


@dataclass(frozen=True, slots=True)
class LogEnd:
    """Where a log ended."""

    offset: int
    at_ms: int
    """For what moment a broker vouched for it: a process that was stopped meanwhile must not say "now"."""


def passed(held: Held, reach: Reach, log: LogEnd, now_ms: int) -> Held:
    """A batch was appended."""
    known = held.progress
    since, newest = known.complete_since, reach.newest
    if since == NOTHING_YET and newest is not None:
        since = newest  # and not the oldest: one event a year late would claim that year
    reached = max(known.offset, reach.offset)
    progress = structs.replace(
        known,
        offset=reached,
        log_end=max(reached, log.offset),
        event_time=max(known.event_time, NEVER if newest is None else newest),
        complete_since=since,
        written_at=_known_at(known, reached, log, now_ms),
    )
    arrived = reach.arrived if held.arrived is None else max(held.arrived, reach.arrived)
    return _said(replace(held, progress=progress, position=reach.offset, arrived=arrived))


def idle(held: Held, log: LogEnd, now_ms: int, by_the_clock: bool, newest: int = NEVER) -> Held:
    """Nothing came. A partition that never had an event holds, by the clock, all there is from now on.

    newest: event time of the whole topic when what came since would have been fetched.
    """
    known = held.progress
    end = max(known.offset, log.offset)
    untouched = known.complete_since == NOTHING_YET and held.position == end and by_the_clock
    since = now_ms if untouched else known.complete_since
    not_before = max(known.not_before, newest) if held.position == end else known.not_before
    progress = structs.replace(
        known,
        written_at=_known_at(known, known.offset, log, now_ms),
        log_end=end,
        complete_since=since,
        not_before=not_before,
    )
    return _said(replace(held, progress=progress))


def verified(held: Held, now_ms: int, rewind_ms: int) -> Held:
    """The store lives the life it did: what was appended `rewind_ms` ago will outlast its next restart."""
    trail = held.trail
    if (now_ms - trail[-1][0]) * TRAIL_POINTS >= rewind_ms:
        trail = (*trail, (now_ms, held.position))
    while len(trail) > 1 and trail[1][0] <= now_ms - rewind_ms:
        trail = trail[1:]
    return replace(held, trail=trail, progress=structs.replace(held.progress, settled=trail[0][1]))


def with_history(held: Held, claim: HistoryClaim) -> Held:
    """A history is in the rows. They hold its time too where the log goes on without a gap after it."""
    known = held.progress
    if known.complete_since <= claim.until:
        known = structs.replace(known, complete_since=min(known.complete_since, claim.since))
    return _said(replace(held, progress=known, awaits_history=False))


def lacks(known: Progress, claim: HistoryClaim) -> int:
    """How much event time lies between a loaded history and what the log brought; 0 without a gap."""
    return 0 if known.complete_since == NOTHING_YET else max(known.complete_since - claim.until, 0)


def _known_at(known: Progress, offset: int, log: LogEnd, now_ms: int) -> int:
    """For what moment it holds what the progress says: at the log's end no later than that was its end."""
    if offset < log.offset:
        return now_ms
    sure = min(now_ms, log.at_ms)
    return max(known.written_at, sure) if known.at_end else sure


def _said(held: Held) -> Held:
    """With what the progress says of rebuilding."""
    whole = held.position >= held.whole_at
    said: dict[str, Any] = {"rebuilding": held.awaits_history or not whole}
    if held.position >= held.progress.offset:
        said["life"] = held.life
    return replace(held, progress=structs.replace(held.progress, **said))
