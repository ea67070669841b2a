"""The values of records, which may be anything, to typed objects."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from stream.pipeline.rejected import Rejected, RejectReason

VALUE_BYTES_MAX = 1 << 20
DEPTH_MAX = 256
"""Levels of nesting. The JSON parser recurses, so without a limit the thread's stack would set one."""
_SMALL_BYTES = 2 * DEPTH_MAX
"""What is JSON at all and d levels deep has 2 d brackets, so no smaller value is too deep."""

T = TypeVar("T")
_PATH = re.compile(r" - at `\$\.(?P<field>\w+)")
_BRACKET = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
"""Strings to be skipped, an unclosed one to the end, so that the scan is linear; and brackets."""


@dataclass(frozen=True, slots=True)
class Read(Generic[T]):
    """What stands in the values that can be read."""

    objects: list[T]
    index: list[int]
    """The place of each object among the values."""
    rejected: list[Rejected]


class JsonReader(Generic[T]):
    """Reads JSON values of one type: strictly, last of equal names wins, unknown names are skipped.

    What is skipped must be JSON, but the text in it is not held against UTF-8.
    """

    def __init__(self, struct: type[T]) -> None:
        self._decode = msgspec.json.Decoder(struct).decode

    def read(self, values: Sequence[bytes | None]) -> Read[T]:
        """All at once; only a batch that holds a bad value is read one by one."""
        present = [value for value in values if value is not None]
        is_small = max(map(len, present), default=0) <= _SMALL_BYTES
        if len(present) == len(values) and (is_small or not any(map(_may_be_refused, present))):
            try:
                return Read(list(map(self._decode, present)), list(range(len(present))), [])
            except (msgspec.DecodeError, UnicodeDecodeError):
                pass
        read: Read[T] = Read([], [], [])
        for i, value in enumerate(values):
            outcome = self._read_one(i, value)
            if isinstance(outcome, Rejected):
                read.rejected.append(outcome)
            else:
                read.objects.append(outcome)
                read.index.append(i)
        return read

    def _read_one(self, index: int, value: bytes | None) -> T | Rejected:
        if value is None:
            return Rejected(index, RejectReason.TOMBSTONE, None, "the record has no value")
        if len(value) > VALUE_BYTES_MAX:
            detail = f"the value has {len(value)} bytes; at most {VALUE_BYTES_MAX} are read"
            return Rejected(index, RejectReason.TOO_LARGE, None, detail)
        if _may_be_refused(value) and _depth(value) > DEPTH_MAX:
            return Rejected(index, RejectReason.TOO_DEEP, None, f"nested deeper than {DEPTH_MAX} levels")
        try:
            return self._decode(value)
        except msgspec.ValidationError as error:
            return _mistyped(index, str(error))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return _unreadable(index, value, str(error))


def _may_be_refused(value: bytes) -> bool:
    """Whether the size or depth of a value needs a closer look; cheap, as it is asked of all."""
    if len(value) <= _SMALL_BYTES:
        return False
    return len(value) > VALUE_BYTES_MAX or value.count(b"[") + value.count(b"{") > DEPTH_MAX


def _depth(value: bytes) -> int:
    """The deepest nesting of brackets outside strings."""
    depth = deepest = 0
    for match in _BRACKET.finditer(value):
        mark = match.group()
        if mark in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif mark in b"]}":
            depth -= 1
    return deepest


def _mistyped(index: int, message: str) -> Rejected:
    """A value that is JSON but not of the declared types, from the parser's message.

    Its messages name types, limits and the path, never the value; a test holds them to that.
    """
    path = _PATH.search(message)
    field = path["field"] if path else None
    cause = message[: path.start()] if path else message
    limits = ("out of range", "` <= ", "` >= ")
    reason = RejectReason.OUT_OF_RANGE if any(limit in cause for limit in limits) else RejectReason.WRONG_TYPE
    return Rejected(index, reason, field, cause)


def _unreadable(index: int, value: bytes, message: str) -> Rejected:
    try:
        value.decode()
    except UnicodeDecodeError as error:
        return Rejected(index, RejectReason.NOT_UTF8, None, f"byte {error.start} is not UTF-8")
    return Rejected(index, RejectReason.NOT_JSON, None, message if value.strip() else "the value is empty")
