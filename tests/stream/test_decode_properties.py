"""Whatever the bytes are: an event or a rejection, and the same one wherever a batch is cut."""

from typing import Any

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from features.definition.model import Definition
from features.event import EventBatch
from stream.pipeline.decode import Decoded, Decoder
from stream.records import RecordBatch
from tests.stream.definitions import ORDER, ORDER_MS, READING, TICKET, classes, clock, sequence

_JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**65), 2**63),
        st.floats(allow_nan=False),
        st.text(max_size=8),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
_TIMES = st.sampled_from(
    ["2024-05-01T12:00:00", "2024-05-01T10:00:00.5+02:00", "2024-05-01", "", "2300-01-01T00:00:00Z"]
)
_ODD = st.one_of(_JSON, _TIMES, st.sampled_from(["", "x" * 300, "é" * 400, -1, 1e300, 2**53, ORDER_MS]))


@st.composite
def _values(draw: st.DrawFn) -> bytes | None:
    """Mostly nearly right: an event of one of the use cases with some fields changed, or its bytes hurt."""
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return draw(st.one_of(st.none(), st.binary(max_size=60)))
    event: dict[str, Any] = dict(draw(st.sampled_from([ORDER, READING, TICKET])))
    for name in draw(st.lists(st.sampled_from(sorted(event)), max_size=3 if kind > 3 else 0)):
        event[name] = draw(_ODD)
    try:
        value = msgspec.json.encode(event)
    except (OverflowError, msgspec.MsgspecError):
        return None
    if kind == 1:
        at = draw(st.integers(0, len(value)))
        return value[:at] + draw(st.binary(max_size=2)) + value[at + draw(st.integers(0, 2)) :]
    return value


_RECORDS = st.lists(st.tuples(_values(), st.sampled_from([-1, 0, ORDER_MS, 2**50])), max_size=12)
_DEFINITIONS = st.sampled_from([clock, sequence, classes]).map(lambda make: make())


def _batch(rows: list[tuple[bytes | None, int]], start: int = 0) -> RecordBatch:
    return RecordBatch(
        topic="t",
        partitions=np.full(len(rows), 2, np.int64),
        offsets=np.arange(start, start + len(rows), dtype=np.int64),
        timestamps=np.array([timestamp for _, timestamp in rows], np.int64),
        keys=[None] * len(rows),
        values=[value for value, _ in rows],
        headers=lambda _: [],
    )


def _event(events: EventBatch, i: int) -> tuple[Any, ...]:
    columns = {name: repr(column[i]) for name, column in events.columns.items()}
    keys = {name: key[i] for name, key in events.keys.items()}
    return events.ids[i], events.hashes[i], events.times[i], events.positions[i], columns, keys


def _outcomes(decoded: Decoded, start: int) -> dict[int, Any]:
    """What became of each record, by its offset."""
    outcomes: dict[int, Any] = {r.index + start: (r.reason, r.field, r.detail) for r in decoded.rejected}
    for i, at in enumerate(decoded.index.tolist()):
        outcomes[at + start] = (_event(decoded.events, i), decoded.causes[i], decoded.scored[i])
    return outcomes


@given(_DEFINITIONS, _RECORDS)
def test_every_record_becomes_an_event_or_a_rejection_and_never_both(
    definition: Definition, rows: list[tuple[bytes | None, int]]
) -> None:
    decoded = Decoder(definition, future_limit_ms=1000).decode(_batch(rows))
    rejected = [r.index for r in decoded.rejected]
    assert rejected == sorted(rejected)
    assert sorted([*rejected, *decoded.index.tolist()]) == list(range(len(rows)))
    assert all(0 < len(i.encode()) <= 256 for i in decoded.events.ids)


@given(_DEFINITIONS, _RECORDS, st.data())
def test_batch_boundaries_change_nothing(
    definition: Definition, rows: list[tuple[bytes | None, int]], data: st.DataObject
) -> None:
    decoder = Decoder(definition, future_limit_ms=1000)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=4)))
    apart: dict[int, Any] = {}
    for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        apart |= _outcomes(decoder.decode(_batch(rows[start:end], start)), start)
    assert apart == _outcomes(decoder.decode(_batch(rows)), 0)


@given(_DEFINITIONS, st.lists(st.binary(max_size=40), max_size=5))
def test_any_bytes_at_all_are_answered(definition: Definition, values: list[bytes]) -> None:
    decoded = Decoder(definition, future_limit_ms=1000).decode(_batch([(value, -1) for value in values]))
    assert len(decoded.events) + len(decoded.rejected) == len(values)
