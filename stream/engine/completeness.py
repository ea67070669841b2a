"""What the rows of a partition hold, step by step. Pure: every step takes a progress and gives the next."""

from msgspec import structs

from features.progress import ALWAYS, NEVER, Progress

NOTHING_YET = 2**53
"""`complete_since` before the first event of a partition whose past is unknown."""


def from_the_start(
    epoch: str, committed: int, log: tuple[int, int], claimed_since: int | None, now_ms: int
) -> Progress:
    """A partition the store knows nothing of is materialized from the start of its log.

    committed: where the group stands; up to there a lost state is being rebuilt. log: its first offset
    and the one after its last. claimed_since: what the settings say of the past. That holds for a store
    filled before, not for one that lost its state; and that there was no past (`ALWAYS`) holds where
    the log still has its beginning.
    """
    first, end = log
    holds = first == committed or (claimed_since == ALWAYS and first == 0)
    return Progress(
        epoch=epoch,
        offset=first,
        log_end=end,
        event_time=NEVER,
        complete_since=claimed_since if claimed_since is not None and holds else NOTHING_YET,
        written_at=now_ms,
        rebuilding=first < committed,
    )


def going_on(known: Progress, committed: int, log: tuple[int, int], now_ms: int) -> Progress:
    """A partition is taken over where the store says it stands, or earlier."""
    first, end = log
    offset = max(min(known.offset, committed), first)
    return structs.replace(
        known,
        offset=offset,
        log_end=max(end, offset),
        # What retention deleted before it was materialized, the rows will never hold.
        complete_since=known.complete_since if first <= known.offset else NOTHING_YET,
        written_at=now_ms,
    )


def passed(
    known: Progress, offset: int, log_end: int, newest: int | None, rebuilt_from: int, now_ms: int
) -> Progress:
    """Records up to `offset` were appended. newest: the largest event time among them, None without any.

    rebuilt_from: the offset from which on a lost state is whole again.
    """
    since = known.complete_since
    if since == NOTHING_YET and newest is not None:
        since = newest  # and not the oldest: one event a year late would claim that year
    return structs.replace(
        known,
        offset=offset,
        log_end=max(offset, log_end),
        event_time=max(known.event_time, NEVER if newest is None else newest),
        complete_since=since,
        written_at=now_ms,
        rebuilding=known.rebuilding and offset < rebuilt_from,
    )


def idle(known: Progress, log_end: int, now_ms: int, by_the_clock: bool) -> Progress:
    """Nothing came. A partition that never had an event holds, by the clock, all there is from now on."""
    end = max(known.offset, log_end)
    untouched = known.complete_since == NOTHING_YET and known.offset == end and by_the_clock
    return structs.replace(
        known, written_at=now_ms, log_end=end, complete_since=now_ms if untouched else known.complete_since
    )
