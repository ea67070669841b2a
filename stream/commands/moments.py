"""Points in time and places in a topic, as people write them on a command line."""

import re

import typer

from stream import clock

_PLACE = re.compile(r"([0-9]{1,9}):([0-9]{1,18})")


def moment_ms(text: str, flag: str) -> int:
    """A date or an ISO 8601 time, UTC unless it says otherwise, as ms since the epoch."""
    try:
        return clock.moment_ms(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither a date nor an ISO 8601 time", param_hint=flag
        ) from None


def place(text: str, flag: str) -> tuple[int, int]:
    """``PARTITION:OFFSET``."""
    found = _PLACE.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is not PARTITION:OFFSET, such as 0:41", param_hint=flag)
    return int(found[1]), int(found[2])


def is_place(text: str) -> bool:
    """Whether this is meant as ``PARTITION:OFFSET``, and not as a time."""
    return _PLACE.fullmatch(text.strip()) is not None
