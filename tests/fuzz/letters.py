"""Dead letters: whatever record is rejected, its letter fits its topic and says what it was."""

import hashlib
from dataclasses import replace

import numpy as np

from stream.pipeline.rejected import Rejected, RejectReason
from stream.records import Headers, RecordBatch
from stream.transport.deadletter import (
    CUT,
    DETAIL_BYTES_MAX,
    ENVELOPE,
    PROVENANCE,
    Letter,
    Provenance,
    dead_letter,
    read_letter,
    replayed_headers,
)
from stream.transport.endpoints import record_bytes
from tests.fuzz.drawing import Drawing

NAMES = ("traceparent", "", "é", *ENVELOPE, CUT, *PROVENANCE)
LIMITS = (1_500, 2_000, 3_000, 65_536)
"""Enough for the envelope and provenance alone."""
TOPIC = "orders.events"


def letters(data: bytes) -> None:
    """A record with any key, value and headers is rejected, read again, replayed, and rejected again."""
    draw = Drawing(data)
    bytes_max = draw.choice(LIMITS)
    reason = draw.choice(list(RejectReason))
    detail = draw.some_bytes(255).decode("utf-8", "replace") * (1 + draw.below(20))
    field = draw.some_bytes(20).decode("utf-8", "replace") or None
    headers = [_header(draw) for _ in range(draw.below(8))]
    key = draw.some_bytes(255) * (1 + draw.below(8)) if draw.flag() else None
    value = draw.rest() * (1 + len(data) % 7) if len(data) % 5 else None
    one = _rejected(key, value, headers, Rejected(0, reason, field, detail), bytes_max)
    assert one.key in (key, None)
    assert (one.reason, one.field, one.topic, one.use_case) == (reason, field, TOPIC, "orders")
    assert (one.partition, one.offset, one.timestamp) == (3, 2**40, -1)
    assert detail.encode().startswith(one.detail.encode())
    assert len(one.detail.encode()) > min(len(detail.encode()), DETAIL_BYTES_MAX) - 4
    again = _rejected(
        one.key,
        one.value,
        replayed_headers(one, "dead", 1, 2**50),
        Rejected(0, reason, field, detail),
        bytes_max,
    )
    assert again.replayed is not None, "a second failure is not known for one"
    assert (again.replayed.topic, again.replayed.partition, again.replayed.offset) == ("dead", 1, 2**50)
    assert again.count == one.count + 1


def _rejected(
    key: bytes | None, value: bytes | None, headers: Headers, why: Rejected, bytes_max: int
) -> Letter:
    """The letter as it is read from the topic."""
    at = np.array([3], np.int64), np.array([2**40], np.int64), np.array([-1], np.int64)
    made = dead_letter(RecordBatch(TOPIC, *at, [key], [value], lambda _: headers), why, "orders", bytes_max)
    assert record_bytes(made.key, made.value, made.headers) <= bytes_max
    read = read_letter(made.key, made.value, made.headers)
    assert read is not None
    if read.cut is None:
        assert (made.key, made.value) == (key, value)
        assert made.headers[: len(headers)] == headers
        assert read.headers == [header for header in headers if header[0] not in PROVENANCE]
    else:
        assert record_bytes(key, value, [*headers, *made.headers]) > bytes_max, "it was cut for nothing"
        whole = value or b""
        assert read.cut == f"sha256={hashlib.sha256(whole).hexdigest()} bytes={len(whole)}"
        assert whole.startswith(made.value or b"")
        assert read.value_bytes == len(whole)
    assert replace(read, headers=[]).reason == why.reason
    return read


def _header(draw: Drawing) -> tuple[str, bytes | None]:
    name = draw.choice(NAMES) if draw.flag() else draw.some_bytes(12).decode("utf-8", "replace")
    return name, None if draw.flag() else draw.some_bytes(60) * (1 + draw.below(5))


def letter_seeds() -> list[bytes]:
    """Short and long."""
    return [
        bytes([at % 4, *((i * step) % 253 for i in range(length))])
        for at, (step, length) in enumerate(((3, 40), (7, 200), (11, 600), (1, 1000), (0, 100)))
    ]


def letter_bytes(data: bytes) -> None:
    """What stands in the dead-letter topic may be anybody's: it is a letter of ours or it is none."""
    draw = Drawing(data)
    ours: Headers = [(name, draw.some_bytes(24)) for name in ENVELOPE]
    if draw.flag():
        ours[draw.below(len(ENVELOPE))] = _header(draw)
    own = [_header(draw) for _ in range(draw.below(8))]
    if draw.flag():
        ours.append((CUT, draw.some_bytes(90)))
    read = read_letter(None, draw.rest(), [*own, *ours])
    if read is None:
        return
    assert read.reason
    assert read.topic
    assert read.value_bytes >= 0
    again = read_letter(read.key, read.value, [*replayed_headers(read, "dead", 0, 1), *ours])
    assert again is not None
    assert again.headers == read.headers
    assert again.replayed == Provenance("dead", 0, 1, read.count + 1)
