"""Predictions to bytes, and back as readers see them."""

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from features.arrays import Floats
from stream.contracts import prediction_schema
from stream.pipeline.causes import Cause
from stream.pipeline.encode import MESSAGE_BYTES_MIN, PredictionEncoder, Reason, prediction_headers
from stream.pipeline.sampling import Draw, drawn
from stream.records import Headers
from tests.stream.definitions import ORDER, ORDER_MS, READING, TICKET, classes, clock, sequence
from tests.stream.predictions import SCORED_AT, STAMPS, decoded, encoded, scored

NAN, INFINITY = float("nan"), float("inf")


def test_a_binary_prediction_says_all_that_its_contract_names() -> None:
    events = decoded(clock(), ORDER)
    matrix = np.array([[12.5, NAN, 3.0, 0.1, 0.0, 2 / 3]])
    batch = scored(
        clock(),
        events,
        np.array([0.95]),
        matrix=matrix,
        causes=Cause.BEHIND | Cause.FIELD_MISSING,
        freshness=1500.0,
        reasons={0: [Reason("price", 1.25), Reason("dear")]},
    )
    (message,) = encoded(clock(), batch)
    assert message == {
        "schema": "riverrun.prediction/1",
        "use_case": "orders",
        "event_id": "o-1",
        "entity_key": "Ada",
        "event_time": ORDER_MS,
        "score": 0.95,
        "decision": "refuse",
        "control": False,
        "reasons": [{"code": "price", "contribution": 1.25}, {"code": "dear"}],
        "model": {"name": "m", "version": "7", "digest": "ab" * 32, "variant": "champion"},
        "source": "model",
        "degradations": ["field_missing", "behind"],
        "freshness_ms": 1500,
        "origin": {"topic": "t.events", "partition": 0, "offset": 0},
        "scored_at": SCORED_AT,
        "fields": {
            "kind": "order",
            "shop": 7,
            "price": 12.5,
            "gift": False,
            "promised_at": ORDER_MS + 172_800_000,
        },
        "features": dict(zip(clock().feature_names, [12.5, None, 3.0, 0.1, 0.0, 2 / 3], strict=True)),
    }
    assert list(message["features"]) == list(clock().feature_names)


def test_a_regression_says_a_value_and_counts_freshness_in_steps() -> None:
    events = decoded(sequence(), READING)
    (message,) = encoded(sequence(), scored(sequence(), events, np.array([17.0]), freshness=4.0))
    assert (message["value"], message["decision"], message["freshness_steps"]) == (17.0, "stop", 4)
    assert (message["event_id"], message["entity_key"], message["event_time"]) == ("3\x1f12", "3", 12)
    assert not message.keys() & {"score", "class", "probabilities", "freshness_ms", "fields"}


def test_a_multiclass_prediction_says_the_class_and_every_probability() -> None:
    events = decoded(classes(), TICKET)
    (message,) = encoded(classes(), scored(classes(), events, np.array([[0.2, 0.7, 0.1]])))
    assert message["class"] == "fault"
    assert message["probabilities"] == {"billing": 0.2, "fault": 0.7, "other": 0.1}
    assert not message.keys() & {"score", "value", "features"}


def test_each_source_brings_its_own_model() -> None:
    events = decoded(clock(), *({**ORDER, "order_id": f"o-{i}"} for i in range(3)))
    messages = encoded(clock(), scored(clock(), events, np.full(3, 0.5), sources=[2, 0, 1]))
    assert [m["source"] for m in messages] == ["rules", "model", "previous"]
    assert [m["model"]["version"] for m in messages] == [
        STAMPS[2].version,
        STAMPS[0].version,
        STAMPS[1].version,
    ]
    assert messages[0]["model"]["digest"] is None


def test_what_is_not_known_is_null() -> None:
    events = decoded(clock(), {**ORDER, "kind": None, "shop": None, "gift": None, "promised_at": None})
    (message,) = encoded(clock(), scored(clock(), events, np.array([0.5]), freshness=NAN, decisions=-1))
    assert message["fields"] == {"kind": None, "shop": None, "price": 12.5, "gift": None, "promised_at": None}
    assert message["freshness_ms"] is None
    assert message["decision"] is None


def test_there_is_no_infinity_in_a_message() -> None:
    events = decoded(clock(), ORDER)
    matrix = np.array([[INFINITY, -INFINITY, NAN, 1e308, 5e-324, -0.0]])
    (message,) = encoded(clock(), scored(clock(), events, np.array([0.5]), matrix=matrix))
    assert list(message["features"].values()) == [None, None, None, 1e308, 5e-324, 0.0]


@pytest.mark.parametrize("score", [NAN, INFINITY, -INFINITY])
def test_a_score_that_is_no_number_is_our_own_mistake(score: float) -> None:
    events = decoded(clock(), ORDER)
    with pytest.raises(ValueError, match="finite"):
        encoded(clock(), scored(clock(), events, np.array([score])))


_BITS = st.binary(min_size=8, max_size=8).map(lambda b: struct.unpack("<d", b)[0])


@given(st.lists(_BITS.filter(lambda x: x == x and abs(x) != INFINITY), min_size=6, max_size=6))
def test_features_as_served_read_back_bit_for_bit(row: list[float]) -> None:
    events = decoded(clock(), ORDER)
    (message,) = encoded(clock(), scored(clock(), events, np.array([0.5]), matrix=np.array([row])))
    assert [struct.pack("<d", x) for x in message["features"].values()] == [struct.pack("<d", x) for x in row]


def test_a_share_of_the_predictions_carries_features_and_each_its_own() -> None:
    events = decoded(sequence(), *({**READING, "cycle": i} for i in range(200)))
    matrix = np.arange(400.0).reshape(200, 2)
    messages = encoded(sequence(), scored(sequence(), events, np.zeros(200), matrix=matrix))
    carrying = [i for i, message in enumerate(messages) if "features" in message]
    assert carrying == np.flatnonzero(drawn(events.hashes, 0.5, Draw.FEATURES)).tolist()
    assert 0 < len(carrying) < 200
    assert all(list(messages[i]["features"].values()) == [2.0 * i, 2.0 * i + 1] for i in carrying)


def test_a_message_that_would_be_too_large_leaves_out_features_and_fields_and_says_so() -> None:
    events = decoded(clock(), {**ORDER, "kind": "x" * MESSAGE_BYTES_MIN}, {**ORDER, "order_id": "o-2"})
    large, small = encoded(clock(), scored(clock(), events, np.full(2, 0.5)), MESSAGE_BYTES_MIN)
    assert large["omitted"] == ["features", "fields"]
    assert not large.keys() & {"features", "fields"}
    assert large["event_id"] == "o-1"
    assert "features" in small
    assert "omitted" not in small


def test_the_largest_prediction_without_extras_fits_the_smallest_limit() -> None:
    longest = {**ORDER, "order_id": "\u0001" * 256, "buyer": "\u0001" * 500, "kind": "\u0001" * 9999}
    everything = sum(cause for cause in Cause)
    reasons = {0: [Reason("f" * 60, -1.2345678901234567e-300)] * 20}
    batch = scored(clock(), decoded(clock(), longest), np.array([0.5]), causes=everything, reasons=reasons)
    (message,) = PredictionEncoder(clock(), message_bytes_max=MESSAGE_BYTES_MIN).encode(batch)
    assert len(message) <= MESSAGE_BYTES_MIN


def test_a_limit_no_prediction_fits_in_is_refused() -> None:
    with pytest.raises(ValueError, match="message_bytes_max is 100"):
        PredictionEncoder(clock(), message_bytes_max=100)


def test_no_events_are_no_messages() -> None:
    for definition, width in ((clock(), ()), (classes(), (3,)), (sequence(), ())):
        events = decoded(definition)
        assert encoded(definition, scored(definition, events, np.zeros((0, *width)))) == []


_TEXT = st.text(min_size=1, max_size=20).filter(lambda text: len(text.encode()) <= 200)
_ROW = st.tuples(
    _TEXT,
    _TEXT,
    st.integers(0, 2),
    st.integers(-1, 1),
    st.booleans(),
    st.integers(0, 2**16 - 1),
    st.integers(0, 9),
)
_VALUES = st.floats() | st.sampled_from([NAN, 0.0, 1.0])
_USE_CASES = st.sampled_from(
    [(clock, ORDER, ("order_id", "buyer")), (classes, TICKET, ("ticket_id", "team"))]
)


@given(_USE_CASES | st.just((sequence, READING, None)), st.lists(_ROW, max_size=5), st.data())
def test_every_message_holds_to_the_general_contract_and_to_its_own(
    use_case: Any, rows: list[tuple[str, str, int, int, bool, int, int]], data: st.DataObject
) -> None:
    make, template, names = use_case
    definition = make()
    values = [
        template | (dict(zip(names, row[:2], strict=True)) if names else {"cycle": i})
        for i, row in enumerate(rows)
    ]
    events = decoded(definition, *values)
    n, width = len(rows), len(definition.feature_names)
    matrix: Floats = np.array(data.draw(st.lists(_VALUES, min_size=n * width, max_size=n * width))).reshape(
        n, width
    )
    shape = (n, 3) if definition.task == "multiclass" else (n,)
    _, _, sources, decisions, control, causes, reasons = zip(*rows, strict=True) if rows else [()] * 7
    batch = scored(
        definition,
        events,
        np.full(shape, 0.25),
        matrix=matrix,
        sources=sources,
        decisions=decisions,
        control=control,
        causes=causes,
        freshness=[NAN if r == 9 else float(r) for r in reasons],
        reasons={i: [Reason(f"r{k}") for k in range(r)] for i, r in enumerate(reasons) if r},
    )
    messages = encoded(definition, batch)
    assert [message["event_id"] for message in messages] == events.ids
    for schema in (prediction_schema(), prediction_schema(definition)):
        validator = Draft202012Validator(schema)
        errors = [error.message for message in messages for error in validator.iter_errors(message)]
        assert errors == []


TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_headers_name_content_and_schema() -> None:
    expected = [("content-type", b"application/json"), ("riverrun.schema", b"riverrun.prediction/1")]
    assert prediction_headers([]) == expected
    assert prediction_headers([("x", b"y"), ("traceparent", None)]) == expected


def test_the_trace_context_of_the_record_is_passed_on_and_nothing_else() -> None:
    source: Headers = [
        ("tracestate", b"a=1"),
        ("cookie", b"secret"),
        ("traceparent", TRACE),
        ("traceparent", b"other"),
    ]
    assert prediction_headers(source)[2:] == [("traceparent", TRACE), ("tracestate", b"a=1")]


def test_a_trace_header_of_unreasonable_size_is_left_behind() -> None:
    assert len(prediction_headers([("tracestate", b"x" * 513)])) == 2
