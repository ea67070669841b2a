"""What others may write into Redis beside the rows: lookups, progress, claims of a history."""

import json
import math
import struct
from typing import Any
from zlib import crc32

import msgspec
import numpy as np

from features.definition.model import LookupFeature
from features.event import hash_texts
from features.lookup.codec import JSON_BYTES_MAX, NEVER, decode_lookups, encode_lookups, fingerprint
from features.progress import (
    HistoryClaim,
    Progress,
    decode_claim,
    decode_progress,
    encode_progress,
)
from features.stores.marks import Mark, stored_mark
from features.timestamps import TIME_END_MS
from tests.fuzz.drawing import Drawing
from tests.fuzz.event_reference import Pairs, Wrong, float64, read_json, text


def _field(name: str, *, is_category: bool = False) -> LookupFeature:
    return LookupFeature(f"who_{name}", "who", name, is_category, 1, None)


FIELDS = (
    (_field("limit"), _field("segment", is_category=True)),
    (_field("limit"),),
    (_field("written"), _field("a b", is_category=True), _field("é")),
)
EPOCH = "e-1"


def lookups(data: bytes) -> None:
    """Byte 0: the fields; byte 1: whether checksum and fingerprint are made to fit; then the value."""
    draw = Drawing(data)
    fields, fitting, value = draw.choice(FIELDS), draw.flag(), draw.rest()
    if fitting:
        body = fingerprint(fields).to_bytes(8, "little") + value[16:]
        value = b"RRL1" + crc32(body).to_bytes(4, "little") + body
    found = decode_lookups(fields, [None, value])
    lenient = bool(found.found[1])  # texts that are skipped may be anything
    expected = _packed(fields, value) or _json(fields, value, lenient)
    assert found.found.tolist() == [False, expected is not None]
    assert found.unreadable.tolist() == [False, expected is None]
    written_at, values = expected or (NEVER, [math.nan] * len(fields))
    assert found.written_at.tolist() == [NEVER, written_at]
    np.testing.assert_array_equal(found.values[1], values)
    assert not np.isinf(found.values).any()


def _packed(fields: tuple[LookupFeature, ...], value: bytes) -> tuple[int, list[float]] | None:
    """The published layout, field by field."""
    if len(value) != 24 + 8 * len(fields):
        return None
    magic, check, layout, written_at = struct.unpack_from("<4sIQq", value)
    numbers = list(struct.unpack_from(f"<{len(fields)}d", value, 24))
    sound = magic == b"RRL1" and check == crc32(value[8:]) and layout == fingerprint(fields)
    if not sound or not 0 <= written_at < TIME_END_MS or any(map(math.isinf, numbers)):
        return None
    return written_at, numbers


def _json(fields: tuple[LookupFeature, ...], value: bytes, lenient: bool) -> tuple[int, list[float]] | None:
    try:
        return _read(fields, read_json(value if len(value) <= JSON_BYTES_MAX else None, lenient))
    except Wrong:
        return None


def _read(fields: tuple[LookupFeature, ...], pairs: Pairs) -> tuple[int, list[float]]:
    by_name = {field.field: field for field in fields}
    held: dict[str, Any] = dict.fromkeys(["written_at", *by_name])
    for name, found in pairs:
        if name == "written_at" and found is not None:
            if isinstance(found, bool) or not isinstance(found, int):
                raise Wrong
            held[name] = found
        elif name in by_name:
            held[name] = None if found is None else _value(by_name[name], found)
    written_at = held.pop("written_at")
    if written_at is not None and not 0 <= written_at < TIME_END_MS:
        raise Wrong
    values = [math.nan if held[field.field] is None else held[field.field] for field in fields]
    return NEVER if written_at is None else written_at, values


def _value(field: LookupFeature, found: Any) -> float:
    if field.is_category:
        return float(hash_texts([text(found)])[0])
    return float(found) if isinstance(found, bool) else float64(found)


def lookup_seeds() -> list[bytes]:
    """Packed values and objects of each list of fields."""
    made = []
    for at, fields in enumerate(FIELDS):
        (packed,) = encode_lookups(
            fields, np.array([1_700_000_000_000]), np.arange(len(fields), dtype=float)[None]
        )
        values = {field.field: "gold" if field.is_category else 5000 for field in fields}
        written = msgspec.json.encode({"written_at": 1533712353000, **values, "other": [1, {}]})
        made += [bytes([at, 0]) + packed, bytes([at, 1]) + packed, bytes([at, 0]) + written]
        made.append(bytes([at, 0]) + b'{"written_at":null,"limit":true,"segment":null}')
    return made


def progress(data: bytes) -> None:
    """Progress and claims: what is written comes back, and nothing else is believed."""
    assert stored_mark(data) is None or isinstance(stored_mark(data), Mark)
    for decode, kind in ((decode_progress, Progress), (decode_claim, HistoryClaim)):
        found = decode(data, EPOCH)
        if found is None:
            continue
        assert isinstance(found, kind)
        assert found.epoch == EPOCH
        assert json.loads(data.decode("utf-8", "replace"), strict=False)["epoch"] == EPOCH
        numbers = [value for value in msgspec.structs.astuple(found) if isinstance(value, int)]
        assert all(-(2**63) <= number < 2**63 for number in numbers), "it would not fit an array"
        assert decode(encode_progress(found), EPOCH) == found


def progress_seeds() -> list[bytes]:
    """One of each, and of another epoch."""
    one = Progress(
        epoch=EPOCH,
        offset=5,
        log_end=7,
        event_time=12,
        complete_since=-(2**53),
        written_at=99,
        life="l",
        settled=3,
    )
    claim = HistoryClaim(epoch=EPOCH, since=0, until=10)
    return [encode_progress(one), encode_progress(claim), encode_progress(claim).replace(b"e-1", b"e-2")]
