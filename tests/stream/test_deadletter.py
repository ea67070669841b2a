"""Dead letters hold the record as it came."""

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.pipeline.rejected import Rejected, RejectReason
from stream.records import Headers, RecordBatch
from stream.transport.deadletter import DETAIL_BYTES_MAX, dead_letter
from stream.transport.endpoints import record_bytes

REJECTED = Rejected(0, RejectReason.NOT_JSON, None, "the value is no JSON")
headers_of = st.lists(st.tuples(st.text(max_size=10), st.none() | st.binary(max_size=50)), max_size=4)


def record(key: bytes | None, value: bytes | None, headers: Headers) -> RecordBatch:
    return RecordBatch(
        topic="fraud.events",
        partitions=np.array([3]),
        offsets=np.array([41]),
        timestamps=np.array([1_700_000_000_000]),
        keys=[key],
        values=[value],
        headers=lambda _: list(headers),
    )


@given(st.none() | st.binary(max_size=99), st.none() | st.binary(max_size=999), headers_of)
def test_key_value_and_headers_are_the_original_ones(
    key: bytes | None, value: bytes | None, headers: Headers
) -> None:
    letter = dead_letter(record(key, value, headers), REJECTED, "fraud", 1_000_000)
    assert (letter.key, letter.value) == (key, value)
    assert letter.headers[: len(headers)] == headers
    ours = dict(letter.headers[len(headers) :])
    assert ours["riverrun.reason"] == b"not_json"
    assert (ours["riverrun.topic"], ours["riverrun.partition"], ours["riverrun.offset"]) == (
        b"fraud.events",
        b"3",
        b"41",
    )
    assert ours["riverrun.use_case"] == b"fraud"


@given(st.none() | st.binary(max_size=3000), st.binary(max_size=9000), headers_of, st.integers(1_200, 12_000))
def test_a_dead_letter_always_fits_its_topic_and_tells_what_was_cut(
    key: bytes | None, value: bytes, headers: Headers, bytes_max: int
) -> None:
    letter = dead_letter(record(key, value, headers), REJECTED, "fraud", bytes_max)
    assert record_bytes(letter.key, letter.value, letter.headers) <= bytes_max
    cut = dict(letter.headers).get("riverrun.cut")
    if cut is None:
        assert letter.value == value
    else:
        assert cut == f"sha256={hashlib.sha256(value).hexdigest()} bytes={len(value)}".encode()
        assert value.startswith(letter.value or b"")


@given(st.text(st.sampled_from("aé€🎉"), min_size=100, max_size=400))
def test_a_long_detail_is_cut_between_characters(detail: str) -> None:
    rejected = Rejected(0, RejectReason.NOT_JSON, None, detail)
    letter = dead_letter(record(b"k", b"v", []), rejected, "fraud", 1_000_000)
    kept = dict(letter.headers)["riverrun.detail"] or b""
    assert detail.startswith(kept.decode())
    assert min(len(detail.encode()), DETAIL_BYTES_MAX - 3) <= len(kept) <= DETAIL_BYTES_MAX
