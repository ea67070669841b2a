"""How a materializer keeps rows, and what it knows of the world around it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class MaterializePolicy:
    """How rows are kept."""

    ttl_ms: int | None
    """How long a row outlives its last entry."""
    heartbeat_ms: int
    """How often progress is written while nothing comes, and the store is asked what it holds."""
    grace: int
    """How late an event may be, in the time unit."""
    complete_since: int | None
    """Rows hold all events from this event time on; None where that is not known."""
    by_the_clock: bool
    """Whether event times are times, and not steps of a sequence."""
    rewind_ms: int
    """A store that was started anew may have lost what was appended in this time before."""
    has_history: bool
    """Whether files are configured that are loaded into a store that has nothing."""


class Notice(Protocol):
    """Says something that happens seldom: an event's name, and fields."""

    def __call__(self, event: str, **fields: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Clock, chance and log."""

    now_ms: Callable[[], int]
    sleep_s: Callable[[float], None]
    new_epoch: Callable[[], str]
    notice: Notice
