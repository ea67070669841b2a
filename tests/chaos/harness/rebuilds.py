"""When the store did not say that its rows are whole: seen past the workers, over and over."""

import threading
import time
from collections.abc import Callable, Sequence

from redis import Redis, RedisError

from features.keys import Namespace
from features.progress import decode_progress
from stream.pipeline.causes import Cause
from tests.chaos.harness.stamps import FLOWING_AGAIN_MS, Span

LOOK_EVERY_S = 0.2

Interval = tuple[int, int]
"""First and last moment, ms since the epoch."""


class Rebuilds:
    """Looks from `start` to `stop`."""

    def __init__(self, url: str, namespace: Namespace, topic: str, partitions: Callable[[], int]) -> None:
        """topic: of the events. partitions: how many it has by now."""
        self._client = Redis.from_url(url, socket_timeout=1)
        self._namespace, self._topic, self._partitions = namespace, topic, partitions
        self._done, self._looked = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._look, name="rebuilds", daemon=True)
        self.intervals: list[Interval] = []
        """In which some partition's rows were not known to be whole."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._done.set()
        self._thread.join()
        self._client.close()

    def _look(self) -> None:
        was_whole = True
        while not self._done.wait(LOOK_EVERY_S):
            asked_ms = _now_ms()
            is_whole = self._is_whole()
            if not is_whole:
                first_ms = asked_ms if was_whole else self.intervals.pop()[0]
                self.intervals.append((first_ms, _now_ms()))
            was_whole = is_whole
            self._looked.set()

    def await_look(self) -> None:
        """Until it has looked at what the store holds by now."""
        for _ in range(2):  # one look may have been under way
            self._looked.clear()
            self._looked.wait()

    def _is_whole(self) -> bool:
        """A store that does not answer says nothing."""
        names = [self._namespace.progress(self._topic, p) for p in range(self._partitions())]
        try:
            epoch, *values = self._client.mget([self._namespace.epoch(), *names])
        except RedisError:
            return False
        if not isinstance(epoch, bytes):
            return False
        known = [decode_progress(v if isinstance(v, bytes) else None, epoch.decode()) for v in values]
        return all(one is not None and not one.rebuilding for one in known)


def rebuilding(spans: Sequence[Span], not_whole: Sequence[Interval]) -> list[Span]:
    """For as long as rows were filled again after a fault that makes this necessary: `rebuilding` is true."""
    found = []
    for span in spans:
        if not span.may_cause & Cause.REBUILDING:
            continue
        end_ms = span.end_ms
        for first_ms, last_ms in not_whole:
            if first_ms <= end_ms + FLOWING_AGAIN_MS and last_ms >= span.begin_ms:
                end_ms = max(end_ms, last_ms)
        if end_ms > span.end_ms:
            found.append(Span(f"{span.kind}: rows", span.begin_ms, end_ms, Cause.REBUILDING))
    return found


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
