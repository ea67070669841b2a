"""An online store that fails when told to, and comes back older, as from an append-only file."""

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from features.store import StoreRejected, StoreUnavailable
from features.stores.memory import MemoryStore

Written = TypeVar("Written")


class StoreServer:
    """What connections speak to; every single write is a line of its journal."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._journal: list[Callable[[MemoryStore], object]] = []
        self._lock = threading.Lock()
        self.store = MemoryStore(now_ms)
        self.life = 0
        self.refusals = 0
        """So many calls from now on find nobody."""
        self.rejects = False
        """Answer every call that it is not allowed."""
        self.tries = 0
        """Calls of any connection."""
        self.before_try: dict[int, Callable[[], None]] = {}
        """What happens just before a call, by its number."""

    @property
    def writes(self) -> int:
        return len(self._journal)

    def connect(self) -> "Connection":
        return Connection(self)

    def restart(self, writes: int) -> None:
        """Die, and come back with the first so many writes. Every connection breaks."""
        self.life += 1
        self._journal = self._journal[:writes]
        self.store = MemoryStore(self._now_ms)
        for write in self._journal:
            write(self.store)

    def write(self, change: Callable[[MemoryStore], Written]) -> Written:
        with self._lock:
            self._journal.append(change)
            return change(self.store)


class Connection:
    """An `OnlineStore`. Like the real one it tries nothing twice, and connects anew after an error."""

    def __init__(self, server: StoreServer) -> None:
        self._server = server
        self._life = server.life
        self.cut_append = False
        """Break within the next append: its first half stands."""
        self.fail_advance = False
        """Break before the next progress is written."""

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return self._reach().read(keys)

    def append(self, chunks: Sequence[tuple[bytes, bytes]], ttl_ms: int | None) -> None:
        self._reach()
        cut, self.cut_append = self.cut_append, False
        for key, chunk in chunks[: len(chunks) // 2] if cut else chunks:
            pair = (key, chunk)
            self._server.write(lambda store, pair=pair: store.append([pair], ttl_ms))  # type: ignore[misc]  # mypy: "cannot infer type of lambda" with a default
        if cut:
            raise StoreUnavailable("the connection broke within an append")

    def put_if_absent(self, key: bytes, value: bytes) -> bytes:
        self._reach()
        return self._server.write(lambda store: store.put_if_absent(key, value))

    def advance(self, key: bytes, progress: bytes) -> bool:
        self._reach()
        if self.fail_advance:
            self.fail_advance = False
            raise StoreUnavailable("the connection broke before progress was written")
        return self._server.write(lambda store: store.advance(key, progress))

    def close(self) -> None:
        pass

    def _reach(self) -> MemoryStore:
        self._server.tries += 1
        self._server.before_try.pop(self._server.tries, lambda: None)()
        if self._server.rejects:
            raise StoreRejected("NOPERM this user may not")
        if self._server.refusals:
            self._server.refusals -= 1
            raise StoreUnavailable("connection refused")
        if self._life != self._server.life:
            self._life = self._server.life
            raise StoreUnavailable("connection reset")
        return self._server.store
