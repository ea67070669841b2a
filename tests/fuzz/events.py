"""Records of the events and labels topics: what is taken is right, and what is right is taken."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import msgspec
import numpy as np

from features.definition.model import Definition
from stream.pipeline.decode import Decoded, Decoder
from stream.pipeline.labels import DecodedLabels, LabelDecoder
from stream.pipeline.rejected import Rejected
from stream.records import RecordBatch
from tests.fuzz.drawing import Drawing
from tests.fuzz.event_reference import PlainRecord, plain_event
from tests.fuzz.label_reference import plain_label
from tests.stream.definitions import (
    ORDER,
    ORDER_MS,
    READING,
    TICKET,
    classes,
    clock,
    clock_in,
    labelled_sequence,
    records,
    sequence,
)

BETWEEN = b"\x1e"
"""What separates the records of an input; it cannot stand in JSON."""
RECORDS_MAX = 4
FUTURE_LIMIT_MS = 1_000
TIMESTAMPS = (-1, 0, ORDER_MS, 2**62)

EVENTS: tuple[Definition, ...] = (clock(), sequence(), classes(), clock_in("s"), clock_in("us"))
EVENT_DECODERS = [Decoder(definition, future_limit_ms=FUTURE_LIMIT_MS) for definition in EVENTS]
LABELS: tuple[Definition, ...] = (clock(), labelled_sequence(), classes(), clock_in("us"))
LABEL_DECODERS = [LabelDecoder(definition, future_limit_ms=FUTURE_LIMIT_MS) for definition in LABELS]


class Reference(Protocol):
    """`plain_event` or `plain_label` of a use case."""

    def __call__(self, value: bytes | None, latest: int | None, *, lenient: bool) -> PlainRecord | None: ...


def events(data: bytes) -> None:
    """Byte 0: the use case; byte 1: the records' timestamp; then the values."""
    draw = Drawing(data)
    at, timestamp = draw.below(len(EVENTS)), draw.choice(TIMESTAMPS)
    batch = _batch(draw.rest(), timestamp)
    decoded = EVENT_DECODERS[at].decode(batch)
    found = {i: _plain(decoded, n) for n, i in enumerate(decoded.index.tolist())}
    _assert_right(partial(plain_event, EVENTS[at]), batch, found, decoded.rejected)
    assert decoded.scored.shape == decoded.causes.shape == (len(found),)


def labels(data: bytes) -> None:
    """Byte 0: the use case; byte 1: the records' timestamp; then the values."""
    draw = Drawing(data)
    at, timestamp = draw.below(len(LABELS)), draw.choice(TIMESTAMPS)
    batch = _batch(draw.rest(), timestamp)
    decoded = LABEL_DECODERS[at].decode(batch)
    found = {i: _plain_label(decoded, n) for n, i in enumerate(decoded.index.tolist())}
    _assert_right(partial(plain_label, LABELS[at]), batch, found, decoded.rejected)


def event_seeds() -> list[bytes]:
    """Events of each use case: right, odd, and several in one batch."""
    made = []
    for at, event in enumerate((ORDER, READING, TICKET, {**TICKET, "opened_ms": 1.5e9}, TICKET)):
        plain = msgspec.json.encode(event)
        odd = msgspec.json.encode({**event, "more": {"a": [1, None, True, "é\n"]}, "x": -1.5e300})
        made += [bytes([at, 0]) + plain, bytes([at, 2]) + BETWEEN.join([odd, b"", plain, plain[:-3]])]
    for time in (
        "2024-05-01 10:00",
        "2024-03-31T02:30:00,5",
        "2024-10-27T02:30:00.123456789",
        "1970-01-01T00:00+01",
    ):
        made.append(bytes([0, 0]) + msgspec.json.encode({**ORDER, "placed_at": time, "promised_at": time}))
    return made


def label_seeds() -> list[bytes]:
    """Labels of each use case, with and without what completes them."""
    times = ("2024-05-01T10:00:00Z", 12, ORDER_MS, ORDER_MS * 1000)
    values = (True, 0.5, "fault", "other")
    entities: tuple[dict[str, str | None], ...] = (
        {"buyer": "Ada", "shop": "7", "pair": None},
        {"pump": "3"},
        {"team": "north"},
        {},
    )
    made = []
    for at, (time, label, keys) in enumerate(zip(times, values, entities, strict=True)):
        short = {"event_id": "o-1", "label": label, "observed_at": time}
        whole = {**short, "event_time": time, "entities": keys}
        made += [bytes([at, 0]) + msgspec.json.encode(one) for one in (short, whole)]
        made.append(bytes([at, 3]) + BETWEEN.join(msgspec.json.encode(one) for one in (whole, short)))
    return made


def _batch(data: bytes, timestamp: int) -> RecordBatch:
    pieces = data.split(BETWEEN)[:RECORDS_MAX]
    return records([None if piece == b"\0" else piece for piece in pieces], timestamp)


def _assert_right(
    reference: Reference, batch: RecordBatch, found: dict[int, PlainRecord], rejected: Sequence[Rejected]
) -> None:
    """What is taken the lenient reference takes as well, and what the strict one takes is taken."""
    reasons = {one.index: one for one in rejected}
    assert sorted([*found, *(one.index for one in rejected)]) == list(range(len(batch)))
    assert list(reasons) == sorted(reasons)
    for i, value in enumerate(batch.values):
        timestamp = int(batch.timestamps[i])
        latest = timestamp + FUTURE_LIMIT_MS if timestamp >= 0 else None
        got, wanted = found.get(i), reference(value, latest, lenient=i in found)
        assert (got is None) == (wanted is None), (got, wanted, reasons.get(i))
        if got is not None and wanted is not None:
            assert (got.id, got.time, got.keys) == (wanted.id, wanted.time, wanted.keys)
            assert got.columns.keys() == wanted.columns.keys()
            for name, column in got.columns.items():
                assert _equal(column, wanted.columns[name]), (name, column, wanted.columns[name])


def _equal(one: Any, other: Any) -> bool:
    both_missing = (
        isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other)
    )
    return both_missing or (type(one) is type(other) and bool(one == other))


def _plain(decoded: Decoded, n: int) -> PlainRecord:
    events = decoded.events
    columns = {name: column[n] for name, column in events.columns.items()}
    plain = {name: float(v) if isinstance(v, np.floating) else v for name, v in columns.items()}
    keys = {name: key[n] for name, key in events.keys.items()}
    return PlainRecord(events.ids[n], int(events.times[n]), plain, keys)


def _plain_label(decoded: DecodedLabels, n: int) -> PlainRecord:
    columns = {
        "label": float(decoded.labels[n]),
        "observed_at": int(decoded.observed_at[n]),
        "complete": bool(decoded.complete[n]),
    }
    keys = {name: key[n] for name, key in decoded.keys.items()}
    return PlainRecord(decoded.ids[n], int(decoded.times[n]), columns, keys)
