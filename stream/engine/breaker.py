"""The circuit breaker around the online store: leave a failing store alone, then ask it once, and see.

Pure: the caller keeps the `Breaker`, brings the clock, and asks in this order:

    if may_try(breaker, now_ms):
        breaker = begin_try(breaker, now_ms, policy)
        ... the call ...
        breaker = next_step(breaker, outcome, now_ms, policy)
"""

from dataclasses import dataclass
from enum import Enum


class BreakerState(Enum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Outcome(Enum):
    SUCCESS = "success"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    failures_max: int
    """This many failures in a row open the breaker."""
    rest_ms: int
    """How long it then rests before one probe, and how long that probe may take to report."""

    def __post_init__(self) -> None:
        if self.failures_max < 1 or self.rest_ms < 1:
            raise ValueError(f"failures_max and rest_ms must be at least 1: {self}")


@dataclass(frozen=True, slots=True)
class Breaker:
    state: BreakerState = BreakerState.CLOSED
    failures: int = 0
    """Failures in a row; 0 … `failures_max`."""
    retry_at_ms: int = 0
    """Not before this time may the next probe begin; without meaning while closed."""


def may_try(breaker: Breaker, now_ms: int) -> bool:
    """Whether a call may be made now. While a probe is out there is no second one."""
    return breaker.state is BreakerState.CLOSED or now_ms >= breaker.retry_at_ms


def begin_try(breaker: Breaker, now_ms: int, policy: BreakerPolicy) -> Breaker:
    """A call that `may_try` allowed begins; unless the breaker is closed it is the probe.

    A probe that never reports (its caller was stopped) gives way to another one after `rest_ms`.
    """
    assert may_try(breaker, now_ms), "begin_try without may_try"
    if breaker.state is BreakerState.CLOSED:
        return breaker
    return Breaker(BreakerState.HALF_OPEN, breaker.failures, now_ms + policy.rest_ms)


def next_step(breaker: Breaker, outcome: Outcome, now_ms: int, policy: BreakerPolicy) -> Breaker:
    """A call ended. An open breaker ignores what calls from before it opened have to say."""
    if breaker.state is BreakerState.OPEN:
        return breaker
    if outcome is Outcome.SUCCESS:
        return Breaker()
    failures = min(breaker.failures + 1, policy.failures_max)
    if breaker.state is BreakerState.CLOSED and failures < policy.failures_max:
        return Breaker(BreakerState.CLOSED, failures)
    return Breaker(BreakerState.OPEN, failures, now_ms + policy.rest_ms)
