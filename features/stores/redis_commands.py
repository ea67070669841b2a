"""Commands on single keys in RESP, by the thousand: lists are filled and joined without a loop of Python."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import hiredis
import numpy as np

_WIDTH = 5
_CRLF = b"\r\n"
_CACHED_MAX = 4_096


class _Numbered(dict[int, bytes]):
    """A template with a number in its place, made once per number."""

    def __init__(self, template: bytes) -> None:
        super().__init__()
        self._template = template

    def __missing__(self, number: int) -> bytes:
        made = self._template % number
        if len(self) < _CACHED_MAX:
            self[number] = made
        return made


_APPEND = _Numbered(b"*3\r\n$6\r\nAPPEND\r\n$%d\r\n")
_PEXPIRE = _Numbered(b"*3\r\n$7\r\nPEXPIRE\r\n$%d\r\n")
_GET = _Numbered(b"*2\r\n$3\r\nGET\r\n$%d\r\n")
_KEY = _Numbered(b"$%d\r\n")
_VALUE = _Numbered(b"\r\n$%d\r\n")


@dataclass(frozen=True, slots=True)
class Commands:
    """Each has one key and one reply."""

    keys: Sequence[bytes]
    parts: list[bytes]
    """`_WIDTH` of them for each command, some empty."""

    def __len__(self) -> int:
        return len(self.keys)

    def __add__(self, later: "Commands") -> "Commands":
        return Commands([*self.keys, *later.keys], self.parts + later.parts)

    def take(self, index: Sequence[int]) -> "Commands":
        """Those at `index`, in that order."""
        parts = [part for at in index for part in self.parts[at * _WIDTH : (at + 1) * _WIDTH]]
        return Commands([self.keys[at] for at in index], parts)

    def each_after(self, prefix: bytes) -> "Commands":
        """The same with another command, packed, before each."""
        parts = self.parts.copy()
        parts[::_WIDTH] = [prefix + part for part in parts[::_WIDTH]]
        return Commands(self.keys, parts)

    def packed(self, bytes_max: int) -> Iterator[tuple[bytes, int]]:
        """Requests of at most `bytes_max`, or of one larger command, each with its number of commands."""
        whole = b"".join(self.parts)
        if len(whole) <= bytes_max:
            if whole:
                yield whole, len(self)
            return
        sizes = np.fromiter(map(len, self.parts), np.int64, len(self.parts))
        ends = sizes.reshape(-1, _WIDTH).sum(1).cumsum()
        start, before = 0, 0
        while start < len(ends):
            end = max(int(np.searchsorted(ends, before + bytes_max, "right")), start + 1)
            after = int(ends[end - 1])
            yield whole[before:after], end - start
            start, before = end, after


def pack(*command: str | bytes | int) -> bytes:
    """One command in RESP."""
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # typed as of one item
    return packed


def commands(key: bytes, *packed: bytes) -> Commands:
    """Packed commands that all have this key."""
    parts = [b""] * (_WIDTH * len(packed))
    parts[::_WIDTH] = packed
    return Commands([key] * len(packed), parts)


def appends(values: Mapping[bytes, bytes]) -> Commands:
    keys, chunks = list(values), list(values.values())
    parts = _headed(_APPEND, keys)
    parts[2::_WIDTH] = map(_VALUE.__getitem__, map(len, chunks))
    parts[3::_WIDTH] = chunks
    return Commands(keys, parts)


def expiries(keys: Sequence[bytes], ttl_ms: int) -> Commands:
    parts = _headed(_PEXPIRE, keys)
    parts[2::_WIDTH] = [b"\r\n$%d\r\n%d" % (len(str(ttl_ms)), ttl_ms)] * len(keys)
    return Commands(keys, parts)


def evaluations(
    command: str,
    script: str | bytes,
    keys: Sequence[bytes],
    arguments: Sequence[tuple[str | bytes | int, ...]],
) -> Commands:
    """EVAL or EVALSHA of a script of one key, for each key with its arguments."""
    parts = [b""] * (_WIDTH * len(keys))
    parts[::_WIDTH] = [
        pack(command, script, 1, key, *given) for key, given in zip(keys, arguments, strict=True)
    ]
    return Commands(keys, parts)


def gets(keys: Sequence[bytes]) -> Commands:
    parts = _headed(_GET, keys)
    parts[4::_WIDTH] = [b""] * len(keys)
    return Commands(keys, parts)


def mget(keys: Sequence[bytes]) -> bytes:
    """One command for all of them."""
    parts = [_CRLF] * (3 * len(keys))
    parts[::3] = map(_KEY.__getitem__, map(len, keys))
    parts[1::3] = keys
    return b"*%d\r\n$4\r\nMGET\r\n" % (len(keys) + 1) + b"".join(parts)


def _headed(head: _Numbered, keys: Sequence[bytes]) -> list[bytes]:
    """Parts with head, key, and two places for a further argument before the end of the line."""
    parts = [b"", b"", _CRLF, b"", _CRLF] * len(keys)
    parts[::_WIDTH] = map(head.__getitem__, map(len, keys))
    parts[1::_WIDTH] = keys
    return parts
