"""The online store in Redis, 6.2 or newer, or what speaks its protocol."""

import hashlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import hiredis

from features.store import StoreUnavailable
from features.stores.marks import mark_of
from features.stores.redis_options import RedisOptions
from features.stores.redis_wire import RedisWire, pack

__all__ = ["RedisOptions", "RedisStore"]

READ_KEYS_MAX = 5_000
"""Keys of one MGET; Redis serves nobody else meanwhile (about 1 µs a key)."""
REQUEST_BYTES_MAX = 1_000_000
"""Sent before replies are read. A reply is a tenth of its request at most, so what waits to be read fits
into the sockets' buffers, and neither side can block the other."""

_ADVANCE = b"""
local stored = redis.call('GET', KEYS[1])
if stored then
    local read, there = pcall(cjson.decode, stored)
    if read and type(there) == 'table' and there.epoch == ARGV[2]
            and type(there.offset) == 'number' and there.offset > tonumber(ARGV[3]) then
        return 0
    end
end
redis.call('SET', KEYS[1], ARGV[1])
return 1
"""
_ADVANCE_SHA = hashlib.sha1(_ADVANCE, usedforsecurity=False).hexdigest()


class RedisStore:
    """An `OnlineStore`. It connects when first used and again after an error; nothing is tried twice.

    A connection that closed between two calls is replaced, or is an error once (`reconnect_silently`).

    Threads may share it, one waiting for the other. A key of another type than string reads as absent.
    """

    def __init__(self, options: RedisOptions) -> None:
        self._wire = RedisWire(options)
        self._lock = threading.Lock()

    @classmethod
    def connect(cls, options: RedisOptions) -> "RedisStore":
        """A store that has connected and logged in; raises as every method does when that fails."""
        store = cls(options)
        store._wire.open()
        return store

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        values: list[bytes | None] = []
        with self._lock:
            for start in range(0, len(keys), READ_KEYS_MAX):
                request = pack("MGET", *keys[start : start + READ_KEYS_MAX])
                values += self._wire.exchange(request, 1)[0]
        return values

    def append(self, chunks: Sequence[tuple[bytes, bytes]], ttl_ms: int | None) -> None:
        if ttl_ms is not None and ttl_ms < 1:
            raise ValueError(f"ttl_ms must be at least 1, not {ttl_ms}")
        replies = 1 if ttl_ms is None else 2
        with self._lock:
            for commands in _bounded(_append_commands(chunks, ttl_ms)):
                self._wire.exchange(b"".join(commands), replies * len(commands))

    def put_if_absent(self, key: bytes, value: bytes) -> bytes:
        # Redis 6.2 knows no SET with both NX and GET.
        request = pack("SETNX", key, value) + pack("GET", key)
        with self._lock:
            _, in_force = self._wire.exchange(request, 2)
        if in_force is None:
            raise StoreUnavailable("a key that was there was deleted while we read it; try again")
        return bytes(in_force)

    def advance(self, key: bytes, progress: bytes) -> bool:
        mark = mark_of(progress)
        arguments = (1, key, progress, mark.epoch, mark.offset)
        with self._lock:
            written = self._evaluate("EVALSHA", _ADVANCE_SHA, *arguments)
            if isinstance(written, hiredis.ReplyError):  # NOSCRIPT: EVAL leaves it loaded
                written = self._evaluate("EVAL", _ADVANCE, *arguments)
        return bool(written == 1)

    def close(self) -> None:
        with self._lock:
            self._wire.close()

    def _evaluate(self, *command: str | bytes | int) -> Any:
        return self._wire.exchange(pack(*command), 1)[0]


def _append_commands(chunks: Sequence[tuple[bytes, bytes]], ttl_ms: int | None) -> Iterator[bytes]:
    """One APPEND for each distinct key, with all its chunks, and its PEXPIRE: packed RESP."""
    joined: dict[bytes, list[bytes]] = {}
    for key, chunk in chunks:
        joined.setdefault(key, []).append(chunk)
    ttl = b"" if ttl_ms is None else b"$%d\r\n%d\r\n" % (len(str(ttl_ms)), ttl_ms)
    for key, parts in joined.items():
        value = parts[0] if len(parts) == 1 else b"".join(parts)
        name = b"$%d\r\n%b\r\n" % (len(key), key)
        command = b"*3\r\n$6\r\nAPPEND\r\n%b$%d\r\n%b\r\n" % (name, len(value), value)
        yield command + b"*3\r\n$7\r\nPEXPIRE\r\n" + name + ttl if ttl else command


def _bounded(commands: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Groups of commands of `REQUEST_BYTES_MAX` together, or of a single larger one."""
    group: list[bytes] = []
    size = 0
    for command in commands:
        if group and size + len(command) > REQUEST_BYTES_MAX:
            yield group
            group, size = [], 0
        group.append(command)
        size += len(command)
    if group:
        yield group
