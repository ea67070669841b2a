"""Dead letters for tests: as they stand in their topic, whole, cut, replayed, and somebody else's."""

from collections.abc import Sequence

from hypothesis import strategies as st

from stream.pipeline.rejected import Rejected, RejectReason
from stream.records import Headers, RecordBatch
from stream.transport.deadletter import (
    Provenance,
    dead_letter,
    read_letter,
)
from stream.workers.deadletters.replaying import (
    ReplayPolicy,
)
from stream.workers.deadletters.standing import Place, Standing
from tests.stream.definitions import records

LETTERS = "orders.deadletters"
ANY = ReplayPolicy(to=None, count_max=3, after=None, limit=None)
PARTITIONS = {"orders.events": 3, "elsewhere": 1}
NOW = 1_714_557_600_000
headers_of = st.lists(
    st.tuples(
        st.sampled_from(["a", "riverrun.reason", "riverrun.cut", "traceparent"]), st.binary(max_size=9)
    ),
    max_size=4,
)


def rejected_record(
    key: bytes | None,
    value: bytes | None,
    headers: Headers,
    reason: RejectReason = RejectReason.WRONG_TYPE,
    field: str | None = "price",
    bytes_max: int = 1_000_000,
) -> tuple[bytes | None, bytes | None, Headers]:
    one = records([value], partition=2, start=7)
    batch = RecordBatch(
        one.topic, one.partitions, one.offsets, one.timestamps, [key], [value], lambda _: list(headers)
    )
    letter = dead_letter(batch, Rejected(0, reason, field, "Expected a number"), "orders", bytes_max)
    return letter.key, letter.value, letter.headers


def standing(
    partition: int,
    offset: int,
    *,
    value: bytes | None = b"{}",
    headers: Sequence[tuple[str, bytes | None]] = (),
    reason: RejectReason = RejectReason.WRONG_TYPE,
    field: str | None = "price",
    when: int = NOW,
    bytes_max: int = 1_000_000,
) -> Standing:
    key, value, every = rejected_record(b"Ada", value, list(headers), reason, field, bytes_max)
    return Standing(
        LETTERS, Place(partition, offset), when, key, value, every, read_letter(key, value, every)
    )


def replayed(partition: int, offset: int, count: int) -> Headers:
    return Provenance(LETTERS, partition, offset, count).headers()


def envelope_with(topic: str) -> Headers:
    _, _, headers = rejected_record(b"k", b"v", [])
    return [(name, topic.encode() if name == "riverrun.topic" else text) for name, text in headers]


FOREIGN = Standing(LETTERS, Place(0, 99), NOW, b"k", b"v", [("a", b"b")], None)
CUT = standing(0, 98, value=b"x" * 9_000, bytes_max=2_000)
