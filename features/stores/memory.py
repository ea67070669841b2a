"""The online store in this process: for tests, for the offline path, and to say what the real one must do."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from features.store import HEAD_BYTES
from features.stores.marks import mark_of, stored_mark


@dataclass(frozen=True, slots=True)
class Appended:
    """An `Appending` that is done."""

    found: dict[bytes, int]

    def lengths(self) -> dict[bytes, int]:
        return self.found


class MemoryStore:
    """An `OnlineStore` of dictionaries. Threads may share it. `now_ms` is the clock that keys expire by."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._values: dict[bytes, bytearray] = {}
        self._expires_ms: dict[bytes, int] = {}
        self._lock = threading.Lock()

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        with self._lock:
            now_ms = self._now_ms()
            return [self._get(key, now_ms) for key in keys]

    def append(self, chunks: Sequence[tuple[bytes, bytes]], ttl_ms: int | None) -> None:
        self.begin_append(chunks, ttl_ms)

    def begin_append(self, chunks: Sequence[tuple[bytes, bytes]], ttl_ms: int | None) -> "Appended":
        if ttl_ms is not None and ttl_ms < 1:
            raise ValueError(f"ttl_ms must be at least 1, not {ttl_ms}")
        with self._lock:
            now_ms = self._now_ms()
            for key, chunk in chunks:
                self._expire(key, now_ms)
                self._values.setdefault(key, bytearray()).extend(chunk)
                if ttl_ms is not None:
                    self._expires_ms[key] = now_ms + ttl_ms
            return Appended({key: len(self._values[key]) for key, _ in chunks})

    def replace(self, key: bytes, seen: bytes, value: bytes, ttl_ms: int | None) -> bool:
        with self._lock:
            now_ms = self._now_ms()
            self._expire(key, now_ms)
            there = self._values.get(key, b"")
            if len(there) != len(seen) or there[:HEAD_BYTES] != seen[:HEAD_BYTES]:
                return False
            self._values[key] = bytearray(value)
            if ttl_ms is not None:
                self._expires_ms[key] = now_ms + ttl_ms
            return True

    def replace_all(self, changes: Sequence[tuple[bytes, bytes, bytes]], ttl_ms: int | None) -> list[bool]:
        return [self.replace(key, seen, value, ttl_ms) for key, seen, value in changes]

    def life(self) -> str:
        return "memory"

    def put_if_absent(self, key: bytes, value: bytes) -> bytes:
        with self._lock:
            now_ms = self._now_ms()
            self._expire(key, now_ms)
            return bytes(self._values.setdefault(key, bytearray(value)))

    def advance(self, key: bytes, progress: bytes) -> bool:
        mark = mark_of(progress)
        with self._lock:
            if mark.is_behind(stored_mark(self._get(key, self._now_ms()))):
                return False
            self._values[key] = bytearray(progress)
            self._expires_ms.pop(key, None)
            return True

    def close(self) -> None:
        """What was stored stays: other users of the store may go on."""

    def _get(self, key: bytes, now_ms: int) -> bytes | None:
        self._expire(key, now_ms)
        value = self._values.get(key)
        return None if value is None else bytes(value)

    def _expire(self, key: bytes, now_ms: int) -> None:
        expires_ms = self._expires_ms.get(key)
        if expires_ms is not None and expires_ms <= now_ms:
            del self._values[key], self._expires_ms[key]
