"""Records as upstream services should not send them: what each is, and what must become of it.

The kinds of `POISON` are no events; each must become a dead letter of its reason, its bytes untouched. The
kinds of `HOSTILE` look no better, and are events all the same: each must be predicted.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from stream.records import Headers
from tests.chaos.harness.books import Planned
from tests.chaos.harness.usecase import FUTURE_LIMIT_MS
from tests.integration.usecase import Visit

VALUE_BYTES_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Poison:
    """How a good event is made into no event."""

    reason: str
    value: Callable[[dict[str, Any]], bytes | None]
    """From the fields of the event."""
    key: Callable[[bytes], bytes | None] = lambda key: key


def _with(**changed: Any) -> Callable[[dict[str, Any]], bytes]:
    return lambda fields: msgspec.json.encode({**fields, **changed})


def _without(name: str) -> Callable[[dict[str, Any]], bytes]:
    return lambda fields: msgspec.json.encode({k: v for k, v in fields.items() if k != name})


def _raw(name: str, text: bytes) -> Callable[[dict[str, Any]], bytes]:
    """A field's value as JSON text that no encoder would write."""

    def make(fields: dict[str, Any]) -> bytes:
        return msgspec.json.encode({**fields, name: "HERE"}).replace(b'"HERE"', text)

    return make


def _as_is(value: bytes | None) -> Callable[[dict[str, Any]], bytes | None]:
    return lambda _: value


POISON: Mapping[str, Poison] = {
    "tombstone": Poison("tombstone", _as_is(None)),
    "empty": Poison("not_json", _as_is(b"")),
    "blank": Poison("not_json", _as_is(b" \n\t ")),
    "not json": Poison("not_json", _as_is(b"hello, is this the right topic?")),
    "random bytes": Poison("not_utf8", _as_is(b"\xff\x00" + bytes(range(200)))),
    "cut short": Poison("not_json", lambda fields: msgspec.json.encode(fields)[:-9]),
    "NaN": Poison("not_json", _raw("weight", b"NaN")),
    "beyond float64": Poison("out_of_range", _raw("weight", b"1e999")),
    "text that is not UTF-8": Poison("not_utf8", _raw("person", b'"\xc3\x28"')),
    "a list": Poison("wrong_type", lambda fields: b"[" + msgspec.json.encode(fields) + b"]"),
    "null": Poison("wrong_type", _as_is(b"null")),
    "nested without end": Poison("too_deep", _as_is(b"[" * 5_000)),
    "number in quotes": Poison("wrong_type", _with(weight="4.5")),
    "id that is no text": Poison("wrong_type", _with(visit={"id": 1})),
    "no id": Poison("missing_field", _without("visit")),
    "id is null": Poison("missing_field", _with(visit=None)),
    "empty id": Poison("bad_id", _with(visit="")),
    "endless id": Poison("bad_id", _with(visit="v" * 257)),
    "no weight": Poison("missing_field", _without("weight")),
    "negative weight": Poison("out_of_range", _with(weight=-1.0)),
    "absurd weight": Poison("out_of_range", _with(weight=1e300)),
    "no time": Poison("missing_field", _without("at")),
    "time in words": Poison("wrong_type", _with(at="yesterday")),
    "time before 1970": Poison("bad_time", _with(at=-1)),
    "time after 9999": Poison("bad_time", _with(at=1e18)),
    "from the future": Poison(
        "future_time", lambda fields: _with(at=fields["at"] + 2 * FUTURE_LIMIT_MS)(fields)
    ),
    "endless person": Poison("bad_key", _with(person="p" * 513)),
    "endless record key": Poison("bad_key", msgspec.json.encode, lambda _: b"k" * 1_025),
    "no key, not json": Poison("not_json", _as_is(b"{"), lambda _: None),
    "too large": Poison("too_large", lambda _: b" " * (VALUE_BYTES_MAX + 1)),
}


def _nasty_headers() -> Headers:
    """Ours, forged; one without a value; a trace context beyond reason; more than anybody wants."""
    forged: Headers = [("riverrun.partition", b"9"), ("riverrun.offset", b"-1"), ("riverrun.reason", b"\xff")]
    odd: Headers = [("", b"no name"), ("null", None), ("traceparent", b"00-" + b"f" * 10_000)]
    return [*forged, *odd, *((f"h{at}", b"x") for at in range(100))]


HOSTILE: Mapping[str, Callable[[Planned], Planned]] = {
    "id of control characters": lambda p: _renamed(p, "\x00\n\r\t\"\\'\x7f"),
    "id of other scripts": lambda p: _renamed(p, "🦜é\u202e٣"),
    "id near the limit": lambda p: _renamed(p, "x" * 200),
    "headers": lambda p: replace(p, headers=_nasty_headers()),
    "record key that is no text": lambda p: replace(p, key=b"\x00\xff" + (p.key or b"")),
    "record key near the limit": lambda p: replace(p, key=b"\xff" * 1_024),
    "no record key": lambda p: replace(p, key=None),
    "value near the limit": lambda p: _padded(p, VALUE_BYTES_MAX - 1_000),
    "a name twice, and unknown names": lambda p: replace(
        p, value=b'{"visit":"not this","x":[{}],' + (p.value or b"")[1:]
    ),
}
"""From a good event to one of the same features that is as odd as events may be."""


def poisoned(planned: Planned, kind: str) -> Planned:
    """The record as that kind of poison."""
    poison, visit = POISON[kind], planned.visit
    assert visit is not None
    fields = {name: getattr(visit, name) for name in ("visit", "at", "person", "door", "weight")}
    key = poison.key(planned.key or b"")
    return replace(planned, kind=kind, key=key, value=poison.value(fields), visit=None, reason=poison.reason)


def hostile(planned: Planned, kind: str) -> Planned:
    return replace(HOSTILE[kind](planned), kind=kind)


def some_kind(draw: random.Random, kinds: Mapping[str, object]) -> str:
    """Large ones seldom: they cost a thousand others."""
    kind = draw.choice(list(kinds))
    is_large = kind in ("too large", "value near the limit")
    return kind if not is_large or draw.random() < 0.25 else draw.choice(list(kinds))


def _renamed(planned: Planned, suffix: str) -> Planned:
    assert planned.visit is not None
    visit: Visit = replace(planned.visit, visit=planned.visit.visit + suffix)
    return replace(planned, visit=visit, value=visit.record().value)


def _padded(planned: Planned, length: int) -> Planned:
    value = planned.value or b""
    room = length - len(value) - len(b'"pad":"",')
    return replace(planned, value=b'{"pad":"' + b"z" * room + b'",' + value[1:])
