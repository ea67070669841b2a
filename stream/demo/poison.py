"""Records that no worker can read: made from a good event, broken in every way that happens."""

import random
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from features.definition.model import Definition
from stream.demo.ledger import Poison

POISON_SHARE = 0.01
HEADER = "demo-poison"
_FAR_FUTURE = {"s": 4_102_444_800, "ms": 4_102_444_800_000, "us": 4_102_444_800_000_000}
_Break = Callable[[bytes], bytes | None]


class Poisoner:
    """Breaks events of one use case, in turns; the same seed makes the same records."""

    def __init__(self, definition: Definition, seed: int) -> None:
        self._breaks = breaks(definition)
        self._order = sorted(self._breaks)
        self._random = random.Random(seed)
        self._made = 0

    def is_due(self) -> bool:
        """Whether a poison record follows the next event."""
        return self._random.random() < POISON_SHARE

    def poison(self, key: bytes | None, value: bytes) -> Poison:
        """A broken record in the place of the event given; every fifth has no key."""
        kind = self._order[self._made % len(self._order)]
        self._made += 1
        return Poison(
            kind=kind,
            key=None if self._made % 5 == 0 else key,
            value=self._breaks[kind](value),
            headers=((HEADER, kind.encode()), ("number", str(self._made).encode())),
        )


def breaks(definition: Definition) -> Mapping[str, _Break]:
    """Ways to break an event of the use case, by what they are called."""
    event_id, time = definition.id_fields[0], definition.time.field
    found: dict[str, _Break] = {
        "tombstone": lambda _: None,
        "empty": lambda _: b"",
        "not json": lambda _: b"hello, is this the right topic?",
        "not utf-8": lambda value: b"\xff\xfe" + value,
        "cut short": lambda value: value[: len(value) // 2],
        "a list": lambda value: b"[" + value + b"]",
        "nested without end": lambda _: b"[" * 5_000,
        "no id": lambda value: _with(value, event_id, None),
        "an id that is no text or number": lambda value: _with(value, event_id, {"id": 1}),
        "no time": lambda value: _with(value, time, None),
        "no such time": lambda value: _with(value, time, "yesterday"),
    }
    if not definition.time.is_sequence:
        future = _FAR_FUTURE.get(str(definition.time.unit), "2100-01-01T00:00:00Z")
        found["from the future"] = lambda value: _with(value, time, future)
    return found


def _with(value: bytes, name: str, replacement: Any) -> bytes:
    return msgspec.json.encode({**msgspec.json.decode(value), name: replacement})
