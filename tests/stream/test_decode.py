"""Bytes to events, record by record."""

import dataclasses
from typing import Any

import msgspec
import numpy as np
import pytest

from features.definition.model import Field
from features.event import hash_ids, pack_positions
from stream.pipeline.causes import Cause
from stream.pipeline.decode import Decoded, Decoder, key_texts
from stream.pipeline.encode import TRACE_HEADER_BYTES_MAX, prediction_headers
from stream.pipeline.rejected import Rejected, RejectReason
from stream.pipeline.validate import RECORD_KEY_BYTES_MAX
from stream.pipeline.wire import DEPTH_MAX, VALUE_BYTES_MAX
from stream.records import Headers, RecordBatch
from stream.transport.endpoints import record_bytes
from stream.workers.deployed import ENVELOPE_BYTES
from tests.stream.definitions import (
    ORDER,
    ORDER_MS,
    READING,
    TICKET,
    classes,
    clock,
    clock_in,
    json_records,
    records,
    sequence,
)

LIMIT_MS = 60_000


def _decode(batch: RecordBatch) -> Decoded:
    return Decoder(clock(), future_limit_ms=LIMIT_MS).decode(batch)


def _order(**changes: Any) -> Decoded:
    return _decode(json_records({**ORDER, **changes}))


def _without(name: str) -> Decoded:
    return _decode(json_records({k: v for k, v in ORDER.items() if k != name}))


def _rejected(decoded: Decoded) -> Rejected:
    assert len(decoded.events) == 0
    (rejected,) = decoded.rejected
    return rejected


def test_an_event_is_laid_out_by_field_with_its_id_time_position_and_keys() -> None:
    decoded = _decode(records([msgspec.json.encode(ORDER)], partition=3, start=41))
    events = decoded.events
    assert decoded.rejected == []
    assert events.ids == ["o-1"]
    assert events.hashes.tolist() == hash_ids(["o-1"]).tolist()
    assert events.times.tolist() == [ORDER_MS]
    assert events.positions.tolist() == pack_positions(np.array([3]), np.array([41])).tolist()
    assert {name: column.tolist() for name, column in events.columns.items()} == {
        "order_id": ["o-1"],
        "placed_at": [ORDER_MS],
        "kind": ["order"],
        "buyer": ["Ada"],
        "shop": [7.0],
        "price": [12.5],
        "weight": [1.25],
        "discount": [0.1],
        "gift": [0.0],
        "promised_at": [ORDER_MS + 2 * 86_400_000],
    }
    assert events.keys == {"buyer": ["Ada"], "shop": ["7"], "pair": ["Ada\x1f7"]}
    assert decoded.causes.tolist() == [0]


def test_numbers_are_float64_and_texts_objects() -> None:
    columns = _order(shop=2**53 + 1).events.columns
    assert columns["shop"].dtype == np.float64
    assert columns["kind"].dtype == np.object_


def test_integers_in_keys_are_exact() -> None:
    assert _order(shop=2**53 + 1).events.keys["shop"] == [str(2**53 + 1)]


def test_fields_that_are_not_declared_are_ignored() -> None:
    assert len(_order(anything={"nested": [1, {"deep": None}]}).events) == 1


def test_of_a_name_that_occurs_twice_the_last_value_counts() -> None:
    value = msgspec.json.encode(ORDER)[:-1] + b',"price":99}'
    assert _decode(records([value])).events.columns["price"].tolist() == [99.0]


def test_text_of_ignored_fields_need_not_be_utf8_but_must_be_json() -> None:
    start = msgspec.json.encode(ORDER)[:-1]
    assert len(_decode(records([start + b',"x":"\xff"}'])).events) == 1
    assert _rejected(_decode(records([start + b',"x":tru}']))).reason == RejectReason.NOT_JSON


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, RejectReason.TOMBSTONE),
        (b"", RejectReason.NOT_JSON),
        (b" \n", RejectReason.NOT_JSON),
        (b"{", RejectReason.NOT_JSON),
        (b"{} {}", RejectReason.NOT_JSON),
        (b"\xef\xbb\xbf{}", RejectReason.NOT_JSON),
        (b'{"price":NaN}', RejectReason.NOT_JSON),
        (b'{"price":Infinity}', RejectReason.NOT_JSON),
        (b'{"buyer":"\\ud800"}', RejectReason.NOT_JSON),
        (b'{"buyer":"\xff"}', RejectReason.NOT_UTF8),
        (b"\xff\xfe{\x00}\x00", RejectReason.NOT_UTF8),
        (b"null", RejectReason.WRONG_TYPE),
        (b"[]", RejectReason.WRONG_TYPE),
        (b'"text"', RejectReason.WRONG_TYPE),
        (b'{"price":' + b"9" * 400 + b"}", RejectReason.OUT_OF_RANGE),
        (b'{"price":1e999}', RejectReason.OUT_OF_RANGE),
        (b'{"shop":9223372036854775808}', RejectReason.OUT_OF_RANGE),
        (b'{"shop":' + b"9" * 5000 + b"}", RejectReason.OUT_OF_RANGE),
        (b'{"x":' + b"[" * 10_000 + b"]" * 10_000 + b"}", RejectReason.TOO_DEEP),
        (b'{"x":"' + b"x" * VALUE_BYTES_MAX + b'"}', RejectReason.TOO_LARGE),
    ],
)
def test_a_value_that_cannot_be_read_says_why(value: bytes | None, reason: RejectReason) -> None:
    rejected = _rejected(_decode(records([value])))
    assert rejected.reason == reason
    assert rejected.index == 0
    assert rejected.detail


@pytest.mark.parametrize("deep", [DEPTH_MAX - 1, DEPTH_MAX])
def test_nesting_is_refused_beyond_the_limit_however_it_is_wrapped(deep: int) -> None:
    start = msgspec.json.encode(ORDER)[:-1]
    nested = b"[" * deep + b'"[[[[\\"[["' + b"]" * deep
    decoded = _decode(records([start + b',"x":' + nested + b"}"]))
    assert [r.reason for r in decoded.rejected] == ([RejectReason.TOO_DEEP] if deep == DEPTH_MAX else [])


def test_many_brackets_side_by_side_are_not_deep() -> None:
    assert len(_order(lines=[{"a": [1]}] * 1000).events) == 1


def test_an_endless_string_of_escapes_is_looked_through_once() -> None:
    value = b"[" * 300 + b'"' + b'\\"' * (VALUE_BYTES_MAX // 2 - 200)
    assert _rejected(_decode(records([value]))).reason == RejectReason.TOO_DEEP


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("order_id", 17),
        ("buyer", 17),
        ("buyer", ["Ada"]),
        ("placed_at", ORDER_MS),
        ("shop", "7"),
        ("shop", 7.0),
        ("price", "12.5"),
        ("price", True),
        ("gift", 1),
        ("promised_at", {}),
    ],
)
def test_types_are_strict_and_the_field_is_named(name: str, value: object) -> None:
    rejected = _rejected(_order(**{name: value}))
    assert (rejected.reason, rejected.field) == (RejectReason.WRONG_TYPE, name)


def test_an_integer_passes_for_a_float() -> None:
    assert _order(price=12).events.columns["price"].tolist() == [12.0]


@pytest.mark.parametrize("name", ["order_id", "placed_at", "price"])
def test_an_event_without_its_id_its_time_or_a_field_it_must_have_is_rejected(name: str) -> None:
    for decoded in (_without(name), _order(**{name: None})):
        rejected = _rejected(decoded)
        assert (rejected.reason, rejected.field) == (RejectReason.MISSING_FIELD, name)


@pytest.mark.parametrize(
    "time", ["", "yesterday", "2024-05-01", "1969-12-31T23:00:00Z", "2024-02-30T00:00:00Z"]
)
def test_a_time_that_is_none_is_rejected(time: str) -> None:
    rejected = _rejected(_order(placed_at=time))
    assert (rejected.reason, rejected.field) == (RejectReason.BAD_TIME, "placed_at")


def test_other_timestamps_are_held_to_the_same_form_but_may_lie_ahead() -> None:
    rejected = _rejected(_order(promised_at="soon"))
    assert (rejected.reason, rejected.field) == (RejectReason.BAD_TIME, "promised_at")
    batch = json_records({**ORDER, "promised_at": "2099-01-01T00:00:00Z"}, timestamps=ORDER_MS)
    assert len(_decode(batch).events) == 1


def test_an_event_too_far_ahead_of_its_record_is_rejected() -> None:
    ahead = ORDER_MS - LIMIT_MS
    decoded = _decode(json_records(ORDER, ORDER, ORDER, timestamps=[ahead, ahead - 1, -1]))
    assert decoded.index.tolist() == [0, 2]
    (rejected,) = decoded.rejected
    assert (rejected.index, rejected.reason) == (1, RejectReason.FUTURE_TIME)


def test_a_sequence_is_not_held_against_the_clock() -> None:
    decoder = Decoder(sequence(), future_limit_ms=0)
    decoded = decoder.decode(json_records({**READING, "cycle": 2**52}, timestamps=0))
    assert decoded.events.times.tolist() == [2**52]


def test_a_sequence_number_beyond_float64_is_rejected() -> None:
    decoded = Decoder(sequence(), future_limit_ms=0).decode(json_records({**READING, "cycle": 2**53}))
    assert _rejected(decoded).reason == RejectReason.BAD_TIME


def test_ids_of_several_fields_are_joined() -> None:
    events = Decoder(sequence(), future_limit_ms=0).decode(json_records(READING)).events
    assert events.ids == ["3\x1f12"]
    assert events.keys == {"pump": ["3"]}


@pytest.mark.parametrize("id_", ["", "x" * 257, "é" * 129])
def test_an_id_that_is_empty_or_long_is_rejected(id_: str) -> None:
    rejected = _rejected(_order(order_id=id_))
    assert (rejected.reason, rejected.field) == (RejectReason.BAD_ID, "order_id")


@pytest.mark.parametrize("id_", ["x" * 256, "é" * 128, "\u0000", " "])
def test_an_id_of_the_largest_size_and_of_any_characters_is_kept(id_: str) -> None:
    assert _order(order_id=id_).events.ids == [id_]


def test_a_boolean_in_a_key_is_its_json_text() -> None:
    field = Field("gift", "bool")
    assert key_texts(field, [True, False, None]) == ["true", "false", None]


def test_a_record_whose_own_key_is_long_is_rejected_and_no_other() -> None:
    batch = json_records(ORDER, ORDER, ORDER)
    keys = [b"k" * RECORD_KEY_BYTES_MAX, b"k" * (RECORD_KEY_BYTES_MAX + 1), None]
    decoded = _decode(dataclasses.replace(batch, keys=keys))
    assert decoded.index.tolist() == [0, 2]
    (rejected,) = decoded.rejected
    assert (rejected.index, rejected.reason, rejected.field) == (1, RejectReason.BAD_KEY, None)
    assert "1024 bytes" in rejected.detail


def test_the_key_and_headers_of_a_prediction_fit_the_room_that_is_left_for_them() -> None:
    trace: Headers = [
        ("traceparent", b"t" * TRACE_HEADER_BYTES_MAX),
        ("tracestate", b"s" * TRACE_HEADER_BYTES_MAX),
    ]
    headers = prediction_headers(trace)
    assert len(headers) == 4
    assert record_bytes(b"k" * RECORD_KEY_BYTES_MAX, b"", headers) <= ENVELOPE_BYTES


def test_a_long_key_is_rejected_and_a_missing_one_is_none() -> None:
    assert _rejected(_order(buyer="x" * 513)).reason == RejectReason.BAD_KEY
    batch = json_records({**TICKET, "team": "x" * 512})
    assert Decoder(classes(), future_limit_ms=0).decode(batch).events.keys["team"] == ["x" * 512]
    assert _without("shop").events.keys == {"buyer": ["Ada"], "shop": [None], "pair": [None]}


@pytest.mark.parametrize(
    ("unit", "written"), [("s", ORDER_MS / 1000), ("ms", ORDER_MS), ("us", ORDER_MS * 1000)]
)
def test_times_are_read_in_the_declared_unit_and_no_other(unit: str, written: float) -> None:
    decoder = Decoder(clock_in(unit), future_limit_ms=0)
    decoded = decoder.decode(json_records({**TICKET, "opened_ms": written}))
    assert decoded.events.times.tolist() == [ORDER_MS]
    as_text = decoder.decode(json_records({**TICKET, "opened_ms": "2024-05-01T10:00:00Z"}))
    assert _rejected(as_text).reason == RejectReason.WRONG_TYPE


def test_only_what_the_condition_lets_through_is_scored() -> None:
    decoded = _decode(json_records(ORDER, {**ORDER, "kind": "visit"}, {**ORDER, "kind": None}))
    assert decoded.scored.tolist() == [True, False, False]
    assert Decoder(classes(), future_limit_ms=0).decode(json_records(TICKET)).scored.tolist() == [True]


def test_the_index_leads_from_events_and_rejections_back_to_records() -> None:
    batch = records([b"{", msgspec.json.encode(ORDER), None, msgspec.json.encode({**ORDER, "price": 2000})])
    decoded = _decode(batch)
    assert decoded.index.tolist() == [1]
    assert [r.index for r in decoded.rejected] == [0, 2, 3]


def test_an_empty_batch_gives_empty_columns() -> None:
    decoded = _decode(records([]))
    assert len(decoded.events) == 0
    assert decoded.rejected == []
    assert {len(column) for column in decoded.events.columns.values()} == {0}
    assert decoded.scored.shape == decoded.causes.shape == decoded.index.shape == (0,)


def test_the_first_fault_in_the_order_of_checks_names_the_rejection() -> None:
    assert _rejected(_order(order_id="", placed_at="never", price=-1)).reason == RejectReason.BAD_TIME
    assert _rejected(_order(order_id="", price=-1)).reason == RejectReason.BAD_ID


def test_details_never_quote_a_value() -> None:
    secret = "Ada-Lovelace-1815"
    odd: list[dict[str, Any]] = [
        {"buyer": [secret]},
        {"placed_at": secret},
        {"price": secret},
        {"order_id": secret * 20},
        {"buyer": secret * 40},
        {"shop": 18_151_852_181_518_521_815},
        {"price": 18_151_852},
    ]
    for changes in odd:
        rejected = _rejected(_order(**changes))
        assert "Ada" not in rejected.detail
        assert "1815" not in rejected.detail


def test_causes_are_stamped_for_missing_fields_and_values_out_of_range() -> None:
    assert _without("weight").causes.tolist() == [Cause.FIELD_MISSING]
    assert _order(weight=51).causes.tolist() == [Cause.OUT_OF_RANGE]
    assert _order(weight=None, discount=2).causes.tolist() == [Cause.FIELD_MISSING | Cause.OUT_OF_RANGE]
