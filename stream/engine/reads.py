"""Reads of the online store behind a deadline and a breaker; a failure is an answer, not an exception."""

from collections.abc import Callable, Sequence

from features.store import StoreRejected, StoreTimeout, StoreUnavailable
from features.stores.deadline import DeadlineReader, Pending
from stream.engine.breaker import Breaker, BreakerPolicy, BreakerState, Outcome, begin_try, may_try, next_step
from stream.pipeline.causes import Cause


class GuardedReads:
    """One read a batch, two at most under way; for one thread to use."""

    def __init__(
        self,
        reader: DeadlineReader,
        policy: BreakerPolicy,
        now_ms: Callable[[], int],
        on_failure: Callable[[Cause], None] = lambda _: None,
    ) -> None:
        """on_failure: told of every read that was tried and failed."""
        self._reader = reader
        self._policy = policy
        self._now_ms = now_ms
        self._on_failure = on_failure
        self._breaker = Breaker()
        self.last_error: str | None = None
        """What the last failed read said; None after one that succeeded."""

    @property
    def state(self) -> BreakerState:
        return self._breaker.state

    def read(self, keys: Sequence[bytes]) -> list[bytes | None] | Cause:
        """The values, or why there are none."""
        now = self._now_ms()
        if not may_try(self._breaker, now):
            return Cause.STORE_DOWN
        self._breaker = begin_try(self._breaker, now, self._policy)
        return self.end(self._reader.submit(keys))

    def begin(self, keys: Sequence[bytes]) -> Pending | None:
        """Begin a read that `end` ends, or nobody. None, and nothing begun, unless the store is well: whether
        one that is not may be asked shows when the reads before have ended.
        """
        return self._reader.submit(keys) if self.state is BreakerState.CLOSED else None

    def end(self, pending: Pending) -> list[bytes | None] | Cause:
        """The values, or why there are none; in the order in which reads were begun."""
        try:
            values = pending.result()
        except StoreTimeout as error:
            return self._failed(Cause.STORE_TIMEOUT, error)
        except (StoreUnavailable, StoreRejected) as error:
            return self._failed(Cause.STORE_DOWN, error)
        self._breaker = next_step(self._breaker, Outcome.SUCCESS, self._now_ms(), self._policy)
        self.last_error = None
        return values

    def close(self) -> None:
        self._reader.close()

    def _failed(self, cause: Cause, error: Exception) -> Cause:
        self._breaker = next_step(self._breaker, Outcome.FAILURE, self._now_ms(), self._policy)
        self.last_error = str(error)
        self._on_failure(cause)
        return cause
