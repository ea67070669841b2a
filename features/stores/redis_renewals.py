"""Times to live that need no renewal yet: a key's lasts longer than asked for, and is renewed when that is
used up.

Renewing with every append would cost Redis a fifth of what the append costs, and more with a replica or an
append-only file. Whoever appends to a key or replaces it must go by the same rule and the same `ttl_ms`.
"""

import time
from collections.abc import Callable

SLACK_SHARE = 16
"""A time to live is longer than asked for by one part in so many."""
KEYS_MAX = 200_000
"""Of which it is known that they were renewed; about 150 bytes each."""


def lifetime_ms(ttl_ms: int) -> int:
    """What a key's time to live is set to."""
    return ttl_ms + _slack_ms(ttl_ms)


def boot_ms() -> int:
    """A clock that never jumps, and goes on while the machine sleeps."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class Period:
    """As long as a time to live lasts longer than asked for, from a moment before any of `renewed` was."""

    def __init__(self, ttl_ms: int, now_ms: int) -> None:
        self.ttl_ms = ttl_ms
        self.until_ms = now_ms + _slack_ms(ttl_ms)
        self.renewed: set[bytes] = set()


class Renewals:
    """Knows the keys renewed in the current period. What it forgets is renewed once more than needed."""

    def __init__(self, now_ms: Callable[[], int] = boot_ms) -> None:
        self._now_ms = now_ms
        self._period: Period | None = None

    def period(self, ttl_ms: int) -> Period:
        """The one to renew keys in; a new one where the last is over, full, or of another time to live."""
        period = self._period
        if (
            period is None
            or period.ttl_ms != ttl_ms
            or len(period.renewed) > KEYS_MAX
            or not self.holds(period)
        ):
            period = self._period = Period(ttl_ms, self._now_ms())
        return period

    def holds(self, period: Period) -> bool:
        """Whether a key renewed in this period still lives as long as was asked for, if it is there."""
        return period is self._period and self._now_ms() < period.until_ms

    def forget(self) -> None:
        """Of a server that we connect to, it is not known what it kept."""
        self._period = None


def _slack_ms(ttl_ms: int) -> int:
    return ttl_ms // SLACK_SHARE
