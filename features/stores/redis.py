"""The online store in Redis, 6.2 or newer, or what speaks its protocol: one server, Sentinel, Cluster."""

import hashlib
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import eq

import hiredis

from features.store import HEAD_BYTES, StoreRejected, StoreUnavailable
from features.stores.marks import mark_of
from features.stores.redis_cluster import Cluster
from features.stores.redis_commands import appends, commands, evaluations, expiries, pack
from features.stores.redis_options import RedisOptions
from features.stores.redis_renewals import Period, Renewals, lifetime_ms
from features.stores.redis_scripts import ADVANCE, REPLACE, Script
from features.stores.redis_servers import READ_KEYS_MAX, Servers
from features.stores.redis_single import SingleServer
from features.stores.redis_url import Form

__all__ = ["RedisOptions", "RedisStore"]

_INFO = pack("INFO", "server") + pack("INFO", "replication")  # 6.2 takes one section at a time
_LIFE = re.compile(rb"^(?:run_id|role|master_replid):(\S+)", re.MULTILINE)
_SCAN_KEYS = 5_000


class RedisStore:
    """An `OnlineStore`. It connects when first used and again after an error; nothing is tried twice.

    A connection that closed between two calls is replaced, or is an error once (`reconnect_silently`).

    Threads may share it, one waiting for the other. A key of another type than string reads as absent.
    """

    def __init__(self, options: RedisOptions) -> None:
        kind = Cluster if options.parts.form is Form.CLUSTER else SingleServer
        self._renewals = Renewals()
        self._servers: Servers = kind(options, self._renewals.forget)
        self._lock = threading.Lock()
        self._appending: _Appending | None = None

    @classmethod
    def connect(cls, options: RedisOptions) -> "RedisStore":
        """A store that has connected and logged in; raises as every method does when that fails."""
        store = cls(options)
        with store._asking() as servers:
            servers.open()
        return store

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        values: list[bytes | None] = []
        with self._asking() as servers:
            for start in range(0, len(keys), READ_KEYS_MAX):
                values += servers.read(keys[start : start + READ_KEYS_MAX])
        return values

    def append(self, chunks: Sequence[tuple[bytes, bytes]], ttl_ms: int | None) -> None:
        self.begin_append(chunks, ttl_ms).lengths()

    def begin_append(self, chunks: Sequence[tuple[bytes, bytes]], ttl_ms: int | None) -> "_Appending":
        if ttl_ms is not None and ttl_ms < 1:
            raise ValueError(f"ttl_ms must be at least 1, not {ttl_ms}")
        values = _by_key(chunks)
        with self._asking() as servers:
            servers.open()
            request = appends(values)
            period, due = None, []
            if ttl_ms is not None:
                period = self._renewals.period(ttl_ms)
                renewed = period.renewed
                due = [key for key in request.keys if key not in renewed]
                request += expiries(due, lifetime_ms(ttl_ms))
            servers.send(request)
            self._appending = _Appending(self, values, due, period)
        return self._appending

    def replace(self, key: bytes, seen: bytes, value: bytes, ttl_ms: int | None) -> bool:
        return self.replace_all([(key, seen, value)], ttl_ms)[0]

    def replace_all(self, changes: Sequence[tuple[bytes, bytes, bytes]], ttl_ms: int | None) -> list[bool]:
        lifetime = b"" if ttl_ms is None else lifetime_ms(ttl_ms)
        arguments = [(len(seen), seen[:HEAD_BYTES], value, lifetime) for _, seen, value in changes]
        return self._run(REPLACE, [key for key, _, _ in changes], arguments)

    def put_if_absent(self, key: bytes, value: bytes) -> bytes:
        # Redis 6.2 knows no SET with both NX and GET.
        with self._asking() as servers:
            servers.send(commands(key, pack("SETNX", key, value), pack("GET", key)))
            _, in_force = servers.receive()
        if in_force is None:
            raise StoreUnavailable("a key that was there was deleted while we read it; try again")
        return bytes(in_force)

    def advance(self, key: bytes, progress: bytes) -> bool:
        mark = mark_of(progress)
        return self._run(ADVANCE, [key], [(progress, mark.epoch, mark.offset)])[0]

    def life(self) -> str:
        """Of each master its run, its role, and the history that its data belongs to, in a digest.

        A server that was a replica for a while has the same run and another history. The latter
        also changes when a first replica comes or the last one has been away for an hour.
        """
        with self._asking() as servers:
            told = [b"".join(wire.exchange(_INFO, 2)) for wire in servers.masters()]
        if any(b"run_id:" not in info for info in told):
            raise StoreRejected("INFO tells no run_id, so that a restart of this server would go unnoticed")
        lives = sorted(b" ".join(_LIFE.findall(info)) for info in told)
        return hashlib.blake2b(b"\n".join(lives), digest_size=8).hexdigest()

    def remove(self, prefix: bytes) -> int:
        """Delete every key that begins with `prefix`; returns how many there were."""
        pattern = re.sub(rb"([*?\[\]\\])", rb"\\\1", prefix) + b"*"
        removed = 0
        with self._asking() as servers:
            for wire in servers.masters():
                cursor = b"0"
                while True:
                    scan = pack("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_KEYS)
                    ((cursor, keys),) = wire.exchange(scan, 1)
                    # One by one: on a cluster no command takes keys of several slots.
                    removed += sum(wire.exchange(b"".join(pack("UNLINK", key) for key in keys), len(keys)))
                    if cursor == b"0":
                        break
        return removed

    def close(self) -> None:
        with self._lock:
            self._close()

    def _finish(self, appending: "_Appending") -> dict[bytes, int]:
        """What `_Appending.lengths` returns."""
        with self._asking(appending) as servers:
            keys = list(appending.values)
            lengths: list[int] = servers.receive()[: len(keys)]
            period = appending.period
            if period is not None:
                late = self._unrenewed(appending, period, lengths)
                if late:
                    servers.send(expiries(late, lifetime_ms(period.ttl_ms)))
                    servers.receive()
                period.renewed.update(appending.due, late)
        return dict(zip(keys, lengths, strict=True))

    def _unrenewed(self, appending: "_Appending", period: Period, lengths: Sequence[int]) -> list[bytes]:
        """Keys whose renewal was left out, and should not have been."""
        values, renewed = appending.values, period.renewed
        if not self._renewals.holds(period):
            return [key for key in values if key in renewed]
        sizes = map(len, values.values())
        if not any(map(eq, lengths, sizes)):
            return []
        # A value no longer than what was appended was not there: somebody deleted it.
        pairs = zip(values.items(), lengths, strict=True)
        return [key for (key, value), length in pairs if length == len(value) and key in renewed]

    def _run(
        self, script: Script, keys: Sequence[bytes], arguments: Sequence[tuple[str | bytes | int, ...]]
    ) -> list[bool]:
        """Whether it wrote, for each key."""
        with self._asking() as servers:
            servers.send(evaluations("EVALSHA", script.sha, keys, arguments))
            written = servers.receive()
            unknown = [at for at, one in enumerate(written) if isinstance(one, hiredis.ReplyError)]
            if unknown:  # NOSCRIPT: EVAL leaves it loaded
                keys, arguments = [keys[at] for at in unknown], [arguments[at] for at in unknown]
                servers.send(evaluations("EVAL", script.text, keys, arguments))
                for at, one in zip(unknown, servers.receive(), strict=True):
                    written[at] = one
        return [one == 1 for one in written]

    @contextmanager
    def _asking(self, about: "_Appending | None" = None) -> Iterator[Servers]:
        """One caller at a time; after any error every connection is closed, so that replies find nobody.

        about: the append whose replies are to be read.
        """
        with self._lock:
            if self._appending is not about:
                if about is None:
                    raise RuntimeError("the lengths of an append must be asked for before anything else is")
                raise StoreUnavailable(
                    "this append was given up with its connection, and may be done in part"
                )
            self._appending = None
            try:
                yield self._servers
            except BaseException:
                self._close()
                raise

    def _close(self) -> None:
        self._appending = None
        self._servers.close()


@dataclass(frozen=True, slots=True, eq=False)
class _Appending:
    """An `Appending` to Redis."""

    store: RedisStore
    values: dict[bytes, bytes]
    """What was appended to each key."""
    due: Sequence[bytes]
    """Keys whose time to live is renewed along with it."""
    period: Period | None
    """In which the others were renewed; None without times to live."""

    def lengths(self) -> dict[bytes, int]:
        return self.store._finish(self)


def _by_key(chunks: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """All chunks of each key joined."""
    values: dict[bytes, bytes] = {}
    several: dict[bytes, list[bytes]] = {}
    for key, chunk in chunks:
        if key not in values:
            values[key] = chunk
        elif key in several:
            several[key].append(chunk)
        else:
            several[key] = [values[key], chunk]
    for key, parts in several.items():
        values[key] = b"".join(parts)
    return values
