"""What time it is, and times as people write them."""

import time
from datetime import UTC, datetime


def now_ms() -> int:
    """The time, ms since the epoch: for what is compared with records and with other processes."""
    return time.time_ns() // 1_000_000


def monotonic_ms() -> int:
    """For durations within this process: nobody sets this clock."""
    return time.monotonic_ns() // 1_000_000


def moment_ms(text: str) -> int:
    """A date or an ISO 8601 time, UTC unless it says otherwise, as ms since the epoch. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)
