"""An online store that fails when told to, and comes back older, as from an append-only file.

Its keys are spread over nodes, as a cluster's are: each may come back older, or empty, by itself.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from zlib import crc32

from features.store import Appending, StoreRejected, StoreUnavailable
from features.stores.memory import MemoryStore

NODES = 3

Written = TypeVar("Written")


@dataclass(frozen=True, slots=True)
class Line:
    """One write in the journal."""

    key: bytes
    at_ms: int
    change: Callable[[MemoryStore], object]


def node_of(key: bytes) -> int:
    return crc32(key) % NODES


class StoreServer:
    """What connections speak to; every single write is a line of its journal."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._journal: list[Line] = []
        self._lock = threading.Lock()
        self.store = MemoryStore(now_ms)
        self.life = 0
        self.breaks = 0
        """How often every connection broke."""
        self.refusals = 0
        """So many calls from now on find nobody."""
        self.rejects = False
        """Answer every call that it is not allowed."""
        self.tries = 0
        """Calls of any connection."""
        self.before_try: dict[int, Callable[[], None]] = {}
        """What happens just before a call, by its number."""
        self.before_replace: Callable[[], None] = lambda: None
        """What happens just before a value is replaced, once."""

    @property
    def writes(self) -> int:
        return len(self._journal)

    def connect(self) -> "Connection":
        return Connection(self)

    def restart(self, writes: int) -> None:
        """Die, and come back with the first so many writes. Every connection breaks."""
        self._come_back(self._journal[:writes])
        self.breaks += 1

    def fail_over(self, node: int, lost_ms: int | None, breaks: bool = True) -> None:
        """Another server takes a node's place, without its writes of the last `lost_ms`; None: with none.

        breaks: whether connections do, which they need not behind a proxy.
        """
        since = None if lost_ms is None else self._now_ms() - lost_ms
        lost = [line for line in self._journal if node_of(line.key) == node]
        kept = [line for line in lost if since is not None and line.at_ms <= since]
        gone = {id(line) for line in lost} - {id(line) for line in kept}
        self._come_back([line for line in self._journal if id(line) not in gone])
        self.breaks += breaks

    def write(self, key: bytes, change: Callable[[MemoryStore], Written]) -> Written:
        with self._lock:
            self._journal.append(Line(key, self._now_ms(), change))
            return change(self.store)

    def _come_back(self, journal: list[Line]) -> None:
        self.life += 1
        self._journal = journal
        self.store = MemoryStore(self._now_ms)
        for line in journal:
            line.change(self.store)


class Connection:
    """An `OnlineStore`. Like the real one it tries nothing twice, and connects anew after an error."""

    def __init__(self, server: StoreServer) -> None:
        self._server = server
        self._breaks = server.breaks
        self._appending: Appends | None = None
        self.cut_append = False
        """Break within the next append: its first half stands."""
        self.fail_advance = False
        """Break before the next progress is written."""

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return self._reach().read(keys)

    def append(self, chunks: Sequence[tuple[bytes, bytes]], ttl_ms: int | None) -> None:
        self.begin_append(chunks, ttl_ms).lengths()

    def begin_append(self, chunks: Sequence[tuple[bytes, bytes]], ttl_ms: int | None) -> Appending:
        """Its first half stands at once, the other when the lengths are asked for."""
        self._reach()
        half = len(chunks) // 2
        self._append(chunks[:half], ttl_ms)
        if self.cut_append:
            self.cut_append = False
            raise StoreUnavailable("the connection broke within an append")
        self._appending = Appends(self, chunks, half, ttl_ms)
        return self._appending

    def replace(self, key: bytes, seen: bytes, value: bytes, ttl_ms: int | None) -> bool:
        self._reach()
        before, self._server.before_replace = self._server.before_replace, lambda: None
        before()
        return self._server.write(key, lambda store: store.replace(key, seen, value, ttl_ms))

    def replace_all(self, changes: Sequence[tuple[bytes, bytes, bytes]], ttl_ms: int | None) -> list[bool]:
        return [self.replace(key, seen, value, ttl_ms) for key, seen, value in changes]

    def put_if_absent(self, key: bytes, value: bytes) -> bytes:
        self._reach()
        return self._server.write(key, lambda store: store.put_if_absent(key, value))

    def advance(self, key: bytes, progress: bytes) -> bool:
        self._reach()
        if self.fail_advance:
            self.fail_advance = False
            raise StoreUnavailable("the connection broke before progress was written")
        return self._server.write(key, lambda store: store.advance(key, progress))

    def life(self) -> str:
        self._reach()
        return f"life {self._server.life}"

    def close(self) -> None:
        pass

    def finish(self, appending: "Appends") -> dict[bytes, int]:
        """The other half of an append."""
        assert self._appending is appending, "appends end in their order, and once"
        self._appending = None
        store = self._reach()
        self._append(appending.chunks[appending.done :], appending.ttl_ms)
        names = list(dict.fromkeys(key for key, _ in appending.chunks))
        return {key: len(value or b"") for key, value in zip(names, store.read(names), strict=True)}

    def _append(self, chunks: Sequence[tuple[bytes, bytes]], ttl_ms: int | None) -> None:
        for key, chunk in chunks:
            pair = (key, chunk)
            self._server.write(key, lambda store, pair=pair: store.append([pair], ttl_ms))  # type: ignore[misc]  # mypy: "cannot infer type of lambda" with a default

    def _reach(self) -> MemoryStore:
        assert self._appending is None, "while an append is under way nothing else may be asked"
        self._server.tries += 1
        self._server.before_try.pop(self._server.tries, lambda: None)()
        if self._server.rejects:
            raise StoreRejected("NOPERM this user may not")
        if self._server.refusals:
            self._server.refusals -= 1
            raise StoreUnavailable("connection refused")
        if self._breaks != self._server.breaks:
            self._breaks = self._server.breaks
            raise StoreUnavailable("connection reset")
        return self._server.store


@dataclass(frozen=True, slots=True, eq=False)
class Appends:
    """An append whose second half is still to come."""

    connection: Connection
    chunks: Sequence[tuple[bytes, bytes]]
    done: int
    ttl_ms: int | None

    def lengths(self) -> dict[bytes, int]:
        return self.connection.finish(self)
