"""Who does what only one should do at a time: a value in the store that names its holder and its end.

It spares double work and guards nothing: whoever holds it may be a moment too late to notice its end.
"""

from collections.abc import Callable

from features.store import OnlineStore


class Lease:
    """A lease of one holder on one key. Methods raise `StoreUnavailable` and `StoreRejected`."""

    def __init__(
        self, store: OnlineStore, key: bytes, holder: str, lasts_ms: int, now_ms: Callable[[], int]
    ) -> None:
        """holder: a text without spaces that nobody else uses."""
        self._store = store
        self._key = key
        self._holder = holder.encode()
        self._lasts_ms = lasts_ms
        self._now_ms = now_ms

    def hold(self) -> bool:
        """Take it, or go on holding it; whether it is ours for `lasts_ms` from now on."""
        now = self._now_ms()
        mine = b"%b %d" % (self._holder, now + self._lasts_ms)
        there = self._store.put_if_absent(self._key, mine)
        if not there.startswith(self._holder) and is_held(there, now):
            return False
        return self._store.replace(self._key, there, mine, self._lasts_ms)

    def release(self) -> None:
        """Let others have it at once."""
        value = self._store.read([self._key])[0]
        if value is not None and value.startswith(self._holder):
            self._store.replace(self._key, value, b"%b 0" % self._holder, 1)


def is_held(value: bytes | None, now_ms: int) -> bool:
    """Whether what stands at a lease's key holds still."""
    if value is None:
        return False
    _, _, end = value.partition(b" ")
    return end.isdigit() and int(end) > now_ms
