"""Lengths of time and of windows, as the file writes them."""

import re
from dataclasses import dataclass
from typing import Literal

MS: dict[str, int] = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
EVENTS_MAX = 65_536
"""The longest window in events: what a row can be told to hold entry by entry."""

CLOCK_PATTERN = r"(0|[1-9][0-9]{0,6})(ms|s|m|h|d)"
EVENTS_PATTERN = r"([1-9][0-9]{0,6}) events?"
STEPS_MAX = 10**12


@dataclass(frozen=True, slots=True)
class Length:
    """A number of milliseconds of the clock, of steps of a sequence, or of events; a bare 0 is in steps."""

    kind: Literal["clock", "steps", "events"]
    n: int
    text: str
    """As it stands in generated names."""


ZERO = Length("steps", 0, "0")


def parse_length(value: object) -> Length | None:
    """``7d``, ``50`` or ``30 events``; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Length("steps", value, str(value)) if 0 <= value <= STEPS_MAX else None
    if not isinstance(value, str):
        return None
    if clock := re.fullmatch(CLOCK_PATTERN, value):
        return Length("clock", int(clock[1]) * MS[clock[2]], value)
    if events := re.fullmatch(EVENTS_PATTERN, value):
        return Length("events", int(events[1]), f"{events[1]}_events")
    return None
