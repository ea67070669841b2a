"""What is sorted already needs no sorting: the short way through rows gives what the ordinary one gives, to
the bit, whatever is in them.
"""

from dataclasses import replace

import numpy as np
from hypothesis import event as noted
from hypothesis import given, settings
from hypothesis import strategies as st

from features.codec import Entries, decode_rows, encode_entries
from features.compaction import compact_row
from features.definition.model import RowKind, RowSchema, Span, WindowFeature
from features.event import EventBatch, pack_positions
from features.rows import Rows, index_keys
from features.window import evaluate
from features.windows.orderly import orderly_rows
from features.windows.timeline import Queries
from tests.properties.window_cases import FUNCTIONS, window_of

DELAY = 10
EVENTS = RowSchema("e", RowKind.EVENTS, ("amount", "flag"), ("flag",), exact=12, resolution=5, reach=90)
LABELS = RowSchema("e", RowKind.LABELS, ("label",), exact=12, resolution=5, reach=90, delay=DELAY)


@st.composite
def windows(draw: st.DrawFn, kind: RowKind) -> list[WindowFeature]:
    names = [f for f in FUNCTIONS if f != "time_since_last" or kind is RowKind.EVENTS]
    spans = st.one_of(
        st.integers(1, 60).map(lambda n: Span("time", n, str(n))),
        st.integers(1, 5).map(lambda n: Span("events", n, f"{n}_events")),
    )
    delays = st.sampled_from([0, 0, DELAY, 25])
    wheres = st.sampled_from([None, None, "flag"])
    one = st.builds(
        window_of, st.just(kind), st.sampled_from(names), spans, delays, wheres, st.booleans(), st.just(True)
    )
    return draw(st.lists(one, min_size=1, max_size=5))


@st.composite
def stories(draw: st.DrawFn, schema: RowSchema) -> tuple[Rows, EventBatch]:
    """Events of a few keys over 100 steps; some in the store, some in the overlay, some in the batch.

    How often anything is out of the ordinary is drawn: rows out of order, entries twice, an id again, offsets
    that do not follow times, values missing, rows compacted.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    rate = draw(st.sampled_from([0.0, 0.0, 0.02, 0.3]))
    count, keys, partitions = draw(st.integers(1, 120)), draw(st.integers(1, 5)), draw(st.integers(1, 3))

    def rarely(n: int) -> np.ndarray:
        return rng.random(n) < rate

    times = np.sort(rng.integers(0, draw(st.sampled_from([100, 10_000])), count)) % 100
    if not draw(st.booleans()):
        times = np.sort(times)
    key, ids = rng.integers(0, keys, count), rng.permutation(count).astype(np.uint64) * np.uint64(7919)
    ids[rarely(count)] = ids[rng.integers(0, count)]
    order = np.arange(count) + np.where(rarely(count), rng.integers(-5, 6, count), 0)
    offsets = np.maximum(order, 0) * 1000 + np.arange(count)
    positions = pack_positions(rng.integers(0, partitions, count), offsets)
    values = rng.choice([0.0, 1.0] if draw(st.booleans()) else [0.1, 2.5, 1e9], (count, len(schema.columns)))
    values[rarely(count)] = np.nan
    marks = positions
    if schema.kind is RowKind.LABELS:
        late = np.where(rarely(count), rng.integers(-20, 40, count), 0)
        marks, values = (times + DELAY + late).view(np.uint64), np.nan_to_num(values)
    entries = Entries(key, times, ids, marks, values)

    size = draw(st.integers(1, min(12, count)))
    batch = np.arange(count - size, count)
    ahead = schema.kind is RowKind.LABELS or draw(st.booleans())  # the store has the batch already
    held = np.arange(count if ahead else count - size)
    overlay = held[rng.random(len(held)) < (0.2 if draw(st.booleans()) else 0.0)]
    held = held[rng.random(len(held)) > rate]
    held = np.concatenate([held, held[rarely(len(held))]])
    index = index_keys([str(k) if k or not rate else None for k in key[batch]])
    events = EventBatch(
        ids=[str(i) for i in ids[batch]], hashes=ids[batch], times=times[batch], positions=positions[batch],
        columns={}, keys={"e": list(index)},
    )  # fmt: skip
    stored: list[bytes | None] = []
    for name in index.keys:
        mine = held[key[held] == int(name)]
        if rarely(1)[0]:
            mine = rng.permutation(mine)
        row = encode_entries(times[mine], ids[mine], marks[mine], values[mine])
        compacted = compact_row(schema, row, 60) if rarely(1)[0] else None
        stored.append(compacted.data if compacted else row)
    row_of = np.array([list(index.keys).index(str(k)) if str(k) in index.keys else -1 for k in key.tolist()])
    own = np.full(size, -1)
    first: list[Entries] = []
    if schema.kind is RowKind.EVENTS:
        keyed = batch[index.of_event >= 0]
        own[index.of_event >= 0] = np.arange(len(keyed))
        first = [
            Entries(row_of[some], times[some], ids[some], entries.marks[some], values[some])
            for some in (keyed, overlay[row_of[overlay] >= 0])
        ]
    found = decode_rows(schema, stored, first)
    assert not found.corrupt.any()
    return Rows(found.entries, index.of_event, own, found.folded, sum(map(len, first))), events


def assert_same(schema: RowSchema, chosen: list[WindowFeature], rows: Rows, events: EventBatch) -> None:
    index = np.arange(len(events))
    short = evaluate(chosen, schema, rows, events, index)
    ordinary = evaluate(chosen, schema, replace(rows, stored_from=None), events, index)
    np.testing.assert_array_equal(short.values.view(np.uint64), ordinary.values.view(np.uint64))
    np.testing.assert_array_equal(short.trimmed, ordinary.trimmed)
    delay = min(window.delay for window in chosen)
    queries = Queries(events.times, events.hashes, events.positions)
    orderly = orderly_rows(rows, schema, index, queries, delay, min(delay, schema.delay))
    assert orderly is not None or not len(rows.entries)
    sure = np.zeros(0, np.bool_) if orderly is None else orderly.sure
    noted(f"sure: {'all' if sure.all() else 'some' if sure.any() else 'none'}")


@settings(max_examples=300, deadline=None)
@given(stories(EVENTS), windows(RowKind.EVENTS))
def test_events_are_seen_alike(story: tuple[Rows, EventBatch], chosen: list[WindowFeature]) -> None:
    assert_same(EVENTS, chosen, *story)


@settings(max_examples=300, deadline=None)
@given(stories(LABELS), windows(RowKind.LABELS))
def test_labels_are_seen_alike(story: tuple[Rows, EventBatch], chosen: list[WindowFeature]) -> None:
    assert_same(LABELS, chosen, *story)


def test_rows_in_order_take_the_short_way() -> None:
    times = np.arange(5)
    positions = pack_positions(np.zeros(5, np.int64), times)
    row = encode_entries(times, times.view(np.uint64), positions, np.ones((5, 2)))
    own = Entries(
        np.array([0]), np.array([9]), np.array([9], np.uint64), positions[4:] + np.uint64(1), np.ones((1, 2))
    )
    found = decode_rows(EVENTS, [row], [own])
    rows = Rows(found.entries, np.array([0]), np.array([0]), None, 1)
    queries = Queries(own.times, own.ids, own.marks)
    orderly = orderly_rows(rows, EVENTS, np.array([0]), queries, 0, 0)
    assert orderly is not None
    assert orderly.sure.tolist() == [True]
    assert orderly.timeline.place.tolist() == [5]
