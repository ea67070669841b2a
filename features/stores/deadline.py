"""A deadline that holds whatever the store's client does: name look-ups and clients hang past their timeouts.

Reads run in a thread of their own. One that misses its deadline is abandoned, thread and connection,
and the next read gets new ones.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TypeAlias

from features.store import OnlineStore, StoreTimeout

Values: TypeAlias = list[bytes | None]

ABANDONED_MAX = 4


class DeadlineReader:
    """Reads one after the other, in the order of `submit`; for one thread to use.

    `store` makes a connection to the store. It is called in the reading thread, so that connecting
    is under the deadline as well.
    """

    def __init__(
        self, store: Callable[[], OnlineStore], deadline_ms: int, abandoned_max: int = ABANDONED_MAX
    ) -> None:
        if deadline_ms < 1 or abandoned_max < 1:
            raise ValueError("deadline_ms and abandoned_max must be at least 1")
        self._store = store
        self._deadline_ms = deadline_ms
        self._abandoned_max = abandoned_max
        self._abandoned: list[_Lane] = []
        self._lane: _Lane | None = None

    @property
    def abandoned(self) -> int:
        """Threads that still hang in a read nobody waits for any more."""
        self._abandoned = [lane for lane in self._abandoned if lane.is_alive()]
        return len(self._abandoned)

    def submit(self, keys: Sequence[bytes]) -> "Pending":
        """Begin to read. The deadline runs from when its result is asked for: until then nobody waits."""
        pending = Pending(self, keys, self._deadline_ms)
        if self._lane is None and self.abandoned >= self._abandoned_max:
            pending.fail(f"{self._abandoned_max} earlier reads of the store still hang")
            return pending
        if self._lane is None:
            self._lane = _Lane(self._store)
        self._lane.put(pending)
        return pending

    def close(self) -> None:
        """Close the connection, unless it hangs; reads still waiting end with `StoreTimeout`."""
        lane, self._lane = self._lane, None
        if lane is not None:
            lane.retire("the store was closed")
            lane.join(self._deadline_ms / 1_000)

    def abandon(self, late: "Pending") -> None:
        """Leave the thread that `late` is in, and fail what waits there behind it."""
        if self._lane is not None and self._lane is late.lane:
            self._lane.retire("an earlier read of the store hangs")
            self._abandoned.append(self._lane)
            self._lane = None


class Pending:
    """A read that was begun."""

    def __init__(self, reader: DeadlineReader, keys: Sequence[bytes], deadline_ms: int) -> None:
        self.keys = keys
        self.lane: _Lane | None = None
        self._reader = reader
        self._deadline_ms = deadline_ms
        self._future: Future[Values] = Future()

    def result(self, timeout_ms: int | None = None) -> Values:
        """The values, waiting until the deadline, or for `timeout_ms` where that is shorter.

        Raises what the store's `read` raises, and `StoreTimeout` when it did not answer in time.
        """
        wait_ms = self._deadline_ms if timeout_ms is None else min(self._deadline_ms, timeout_ms)
        try:
            return self._future.result(wait_ms / 1_000)
        except TimeoutError:
            if self._future.done():  # just now
                return self._future.result()
        self._reader.abandon(self)
        raise StoreTimeout("the store did not answer within the deadline")

    def run(self, read: Callable[[Sequence[bytes]], Values]) -> None:
        try:
            self._future.set_result(read(self.keys))
        except BaseException as error:  # noqa: BLE001  # whatever it is, it belongs to who asks for the result
            self._future.set_exception(error)

    def fail(self, why: str) -> None:
        self._future.set_exception(StoreTimeout(why))


class _Lane(threading.Thread):
    """A thread and its connection."""

    def __init__(self, store: Callable[[], OnlineStore]) -> None:
        super().__init__(name="store-read", daemon=True)
        self._make = store
        self._store: OnlineStore | None = None
        self._waiting: SimpleQueue[Pending | None] = SimpleQueue()
        self.start()

    def put(self, pending: Pending) -> None:
        pending.lane = self
        self._waiting.put(pending)

    def retire(self, why: str) -> None:
        """End after the read under way; fail those behind it."""
        with suppress(Empty):
            while (pending := self._waiting.get_nowait()) is not None:
                pending.fail(why)
        self._waiting.put(None)

    def run(self) -> None:
        while (pending := self._waiting.get()) is not None:
            pending.run(self._read)
        if self._store is not None:
            self._store.close()

    def _read(self, keys: Sequence[bytes]) -> Values:
        if self._store is None:
            self._store = self._make()
        return self._store.read(keys)
