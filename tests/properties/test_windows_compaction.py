"""Compaction changes no value of any event that keeps its promise: not to the bit, whenever it ran."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from hypothesis import event as noted
from hypothesis import given, settings
from hypothesis import strategies as st

from features.codec import decode_rows, encode_entries, entry_bytes, join_entries
from features.compaction import compact_row
from features.definition.model import RowKind, RowSchema, Span, WindowFeature
from features.event import pack_positions
from features.rows import Rows
from features.window import Evaluated, evaluate
from features.windows.folded import head_slots, tile_slots
from tests.properties.row_stories import Story, encoded, row_after
from tests.properties.window_cases import FUNCTIONS, rows_of, window_of
from tests.properties.windows_reference import PlainEvent

COLUMNS = ("amount", "flag", "amount > 1")


def window(
    kind: RowKind, function: str, span: Span, delay: int, where: str | None, column: bool
) -> WindowFeature:
    return window_of(kind, function, span, delay, where, True, column)  # type: ignore[arg-type]  # one of FUNCTIONS


def windows_over(
    kind: RowKind, delays: Sequence[int], kinds: Sequence[str]
) -> st.SearchStrategy[WindowFeature]:
    spans = {
        "time": st.integers(1, 60).map(lambda n: Span("time", n, str(n))),
        "events": st.integers(1, 4).map(lambda n: Span("events", n, f"{n}_events")),
    }
    return st.builds(
        window,
        kind=st.just(kind),
        function=st.sampled_from([f for f in FUNCTIONS if f != "time_since_last" or kind is RowKind.EVENTS]),
        span=st.one_of(*(spans[name] for name in kinds)),
        delay=st.sampled_from(delays),
        where=st.sampled_from([None, "flag", "amount > 1"]) if kind is RowKind.EVENTS else st.none(),
        column=st.booleans() if kind is RowKind.EVENTS else st.just(True),
    )


def assert_same(story: Story, schema: RowSchema, chosen: Sequence[WindowFeature]) -> None:
    index = np.arange(len(story.batch))
    plain = decode_rows(schema, [encoded(schema, story.entries)])
    held = decode_rows(schema, [story.stored])
    assert not held.corrupt.any()
    results: list[Evaluated] = []
    for one in (plain, held):
        own, events = rows_of([], story.batch, schema.columns)
        rows = Rows(join_entries([own.entries, one.entries]), own.of_event, own.own, one.folded)
        if schema.kind is RowKind.LABELS:
            rows = Rows(one.entries, own.of_event, np.full(len(index), -1), one.folded)
        results.append(evaluate(chosen, schema, rows, events, index))
    np.testing.assert_array_equal(results[1].values.view(np.uint64), results[0].values.view(np.uint64))
    np.testing.assert_array_equal(results[1].trimmed, results[0].trimmed)
    noted(
        f"compactions: {story.compactions}, tiles: {held.folded is not None and len(held.folded.tiles) > 0}"
    )
    noted(f"trimmed: {bool(results[0].trimmed.any())}")


# ---------------------------------------------------------------------------------------------------- events


@st.composite
def event_stories(draw: st.DrawFn, schema: RowSchema) -> Story:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(1, 250))
    clustered = draw(st.booleans())
    times = np.sort(rng.integers(0, 150, count))
    if clustered:
        times = np.sort(times // 30 * 30 + rng.integers(0, 4, count))
    amounts = rng.choice([-1.5, 0.1, 0.2, 7.25, 1e9, math.nan], count)
    flags = rng.choice([0.0, 1.0, math.nan], count)
    entries = []
    for n in range(count):
        values = (float(amounts[n]), float(flags[n]), float(amounts[n] > 1))
        # An id that says nothing of the order, and offsets that follow it only roughly.
        mark = (int(rng.integers(2)), max(0, n + int(rng.integers(-3, 4))) * 1000 + n)
        entries.append(PlainEvent("a", int(times[n]), (n * 7919) % 100_003, mark, values))
    steps = sorted(draw(st.lists(st.integers(0, 200), min_size=1, max_size=4)))
    story = row_after(draw, schema, entries, steps)
    # Events to come: not before the watermark, and in the log behind everything that is.
    seen = [e.mark[1] for e in entries if e.time < story.watermark]
    begin = max(seen, default=0) + 1
    for n in range(draw(st.integers(1, 8))):
        time = max(story.watermark, 0) + int(rng.integers(0, 70))
        mark = (int(rng.integers(2)), begin + int(rng.integers(0, 250_000)))
        story.batch.append(PlainEvent("a", time, 200_000 + n, mark, (3.5, 1.0, 1.0)))
    return story


WITH_TIME = RowSchema("e", RowKind.EVENTS, COLUMNS, ("amount > 1", "flag"), exact=4, resolution=10, reach=85)
LONG_TILES = replace(WITH_TIME, exact=10, resolution=40)
IN_COUNTS = RowSchema("e", RowKind.EVENTS, COLUMNS, ("amount > 1", "flag"), exact=4)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([WITH_TIME, LONG_TILES]).flatmap(lambda s: st.tuples(st.just(s), event_stories(s))),
    st.lists(windows_over(RowKind.EVENTS, [0, 0, 1, 25], ["time", "time", "events"]), min_size=1, max_size=5),
)
def test_a_compacted_row_gives_what_the_whole_row_gives_to_the_bit(
    told: tuple[RowSchema, Story], chosen: list[WindowFeature]
) -> None:
    schema, story = told
    assert_same(story, schema, chosen)


@settings(max_examples=100, deadline=None)
@given(
    event_stories(IN_COUNTS),
    st.lists(windows_over(RowKind.EVENTS, [0, 0, 1, 25], ["events"]), min_size=1, max_size=5),
)
def test_windows_in_event_counts_see_no_difference_either(story: Story, chosen: list[WindowFeature]) -> None:
    assert_same(story, IN_COUNTS, chosen)


# ---------------------------------------------------------------------------------------------------- labels

LABELS = RowSchema("e", RowKind.LABELS, ("label",), exact=4, resolution=10, reach=85, delay=15)


@st.composite
def label_stories(draw: st.DrawFn) -> Story:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    late = draw(st.sampled_from([1, 15, 30]))
    entries: list[PlainEvent] = []
    for n, time in enumerate(np.sort(rng.integers(0, 150, draw(st.integers(1, 150)))).tolist()):
        for _ in range(1 + int(rng.random() < 0.15)):  # some are corrected
            observed = (time + int(rng.integers(late)), 0)
            entries.append(PlainEvent("a", time, (n * 7919) % 100_003, observed, (float(rng.integers(2)),)))
    steps = sorted(draw(st.lists(st.integers(0, 200), min_size=1, max_size=4)))
    story = row_after(draw, LABELS, entries, steps)
    for n in range(draw(st.integers(1, 8))):
        time = max(story.watermark, 0) + int(rng.integers(0, 70))
        story.batch.append(PlainEvent("a", time, 200_000 + n, (0, n), (0.0,)))
    return story


@settings(max_examples=200, deadline=None)
@given(
    label_stories(),
    st.lists(windows_over(RowKind.LABELS, [0, 15, 25], ["time", "time", "events"]), min_size=1, max_size=4),
)
def test_a_compacted_row_of_labels_gives_what_the_whole_row_gives_to_the_bit(
    story: Story, chosen: list[WindowFeature]
) -> None:
    assert_same(story, LABELS, chosen)


# --------------------------------------------------------------------------------------- what is not promised


@settings(max_examples=150, deadline=None)
@given(event_stories(WITH_TIME), st.data())
def test_an_event_that_came_too_late_is_stamped_and_never_counts_itself_twice(
    story: Story, data: st.DataObject
) -> None:
    """Scored again, it finds its own entry in the row: as an entry, in a tile, or dropped."""
    held = decode_rows(WITH_TIME, [story.stored])
    chosen = [window(RowKind.EVENTS, "count", Span("time", 60, "60"), 0, None, False)]
    event = data.draw(st.sampled_from(story.entries))
    own, events = rows_of([], [event], COLUMNS)
    rows = Rows(join_entries([own.entries, held.entries]), own.of_event, own.own, held.folded)
    got = evaluate(chosen, WITH_TIME, rows, events, np.array([0]))
    exact, _ = rows_of(story.entries, [event], COLUMNS)
    want = evaluate(chosen, replace(WITH_TIME, resolution=0, reach=0), exact, events, np.array([0]))
    boundary = -(2**63) if held.folded is None else int(held.folded.boundaries[0])
    if event.time < boundary:
        assert got.trimmed[0]
    if not got.trimmed[0]:
        assert got.values[0, 0] == want.values[0, 0]
    # Later records of its partition may be in its tiles: no other way to count too much.
    reached = {e.id for e in story.entries if event.time - 70 < e.time <= event.time} | {event.id}
    assert 1 <= got.values[0, 0] <= len(reached)


# ------------------------------------------------------------------------------------------------- a long row


def test_a_row_of_a_million_entries_stays_bounded_in_bytes_and_in_what_an_event_touches() -> None:
    schema = RowSchema("e", RowKind.EVENTS, ("amount", "amount > 1"), ("amount > 1",), 256, 10_000, 1_000_000)
    count, rng = 1_000_000, np.random.default_rng(1)
    times = np.sort(rng.integers(0, schema.reach, count))
    amounts = rng.random(count) * 3
    row = encode_entries(
        times,
        rng.permutation(count).astype(np.uint64),
        pack_positions(np.zeros(count, np.int64), np.arange(count)),
        np.stack([amounts, (amounts > 1).astype(np.float64)], axis=1),
    )
    watermark = schema.reach - 500
    compacted = compact_row(schema, row, watermark)
    assert compacted is not None
    # One tile for each resolution within reach and one more at either end; the exact entries, as many as the
    # fullest tile holds, for whole tiles alone are folded, and those that are not older than the watermark.
    tiles = schema.reach // schema.resolution + 2
    entries = (
        schema.exact + int(np.bincount(times // schema.resolution).max()) + int((times >= watermark).sum())
    )
    slots = head_slots(schema) + tiles * tile_slots(schema) + entries
    assert len(compacted.data) <= slots * entry_bytes(schema) < len(row) // 50
    assert compacted.folded > 0.98 * count

    held = decode_rows(schema, [compacted.data])
    assert held.folded is not None
    assert len(held.folded.tiles) + len(held.entries) <= tiles + entries
    event = PlainEvent("a", schema.reach, count, (0, count), (1.0, 0.0))
    own, events = rows_of([], [event], schema.columns)
    chosen = [
        window_of(RowKind.EVENTS, f, Span("time", span, ""), 0, where, True, True)
        for f in FUNCTIONS
        for span in (100, 5_000, 333_333, 1_000_000)
        for where in (None, "amount > 1")
    ]
    both = [
        evaluate(
            chosen,
            schema,
            Rows(join_entries([own.entries, one.entries]), own.of_event, own.own, one.folded),
            events,
            np.array([0]),
        )
        for one in (decode_rows(schema, [row]), held)
    ]
    np.testing.assert_array_equal(both[0].values, both[1].values)
    assert both[0].trimmed.all()
    assert both[1].trimmed.all()
