"""Rows with more entries than are seen one by one, against a plain reference and against exact windows."""

import math

import numpy as np
from hypothesis import event as noted
from hypothesis import given, settings
from hypothesis import strategies as st

from features.codec import Entries
from features.definition.model import RowKind, RowSchema, Span, WindowFeature
from features.rows import Rows, index_keys
from features.window import evaluate
from tests.properties.window_cases import FUNCTIONS, batch_of, close, rows_of, window_of
from tests.properties.windows_reference import Cut, PlainEvent, reference, reference_with_cut

COLUMNS = ("amount", "flag")
SPANS = st.one_of(
    st.integers(1, 70).map(lambda n: Span("time", n, str(n))),
    st.integers(1, 4).map(lambda n: Span("events", n, f"{n}_events")),
)
windows = st.builds(
    window_of,
    kind=st.just(RowKind.EVENTS),
    function=st.sampled_from(FUNCTIONS),
    span=SPANS,
    delay=st.sampled_from([0, 0, 1, 25]),
    where=st.sampled_from([None, "flag"]),
    current=st.booleans(),
    column=st.booleans(),
)
resolutions = st.sampled_from([1, 7, 10])


def schema_of(resolution: int, kind: RowKind = RowKind.EVENTS, delay: int = 0) -> RowSchema:
    if kind is RowKind.LABELS:
        return RowSchema("e", kind, ("label",), (), 4, resolution, 100, delay)
    return RowSchema("e", kind, COLUMNS, ("flag",), 4, resolution, 100, delay)


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[PlainEvent], list[PlainEvent]]:
    """(entries in the store, events of the batch): long rows, out of order, some delivered twice."""
    count, rng = draw(st.integers(1, 60)), np.random.default_rng(draw(st.integers(0, 2**32)))
    apart = draw(st.sampled_from([0, 2, 20]))
    records: list[PlainEvent] = []
    next_offset = [0, 0]
    for n in range(count):
        partition = int(rng.integers(2))
        time = n * 100 // count + int(rng.integers(-apart, apart + 1))
        mark = (partition, next_offset[partition])
        values = (
            float(rng.choice([-1.5, 0.0, 2.0, 7.25, math.nan])),
            float(rng.choice([0.0, 1.0, math.nan])),
        )
        again = records and rng.random() < 0.1
        known = records[int(rng.integers(len(records)))] if again else None
        event_id = known.id if known else n
        key = known.key if known else ("a" if rng.random() < 0.8 else "b")
        records.append(PlainEvent(key, known.time if known else time, event_id, mark, values))
        next_offset[partition] += 1
    batch_size = draw(st.integers(1, min(count, 12)))
    batch = records[-batch_size:]
    stored = records[: count - batch_size + draw(st.integers(0, batch_size))]
    return [stored[i] for i in rng.permutation(len(stored))], batch


@settings(max_examples=400, deadline=None)
@given(stream=streams(), chosen=st.lists(windows, min_size=1, max_size=4), resolution=resolutions)
def test_a_row_that_is_cut_equals_the_definition_read_word_by_word(
    stream: tuple[list[PlainEvent], list[PlainEvent]], chosen: list[WindowFeature], resolution: int
) -> None:
    stored, batch = stream
    schema = schema_of(resolution)
    rows, events = rows_of(stored, batch, COLUMNS)
    got = evaluate(chosen, schema, rows, events, np.arange(len(batch)))
    everything = [*stored, *batch]
    for at, event in enumerate(batch):
        cut = Cut(schema.exact, resolution, 0)
        wanted = [reference_with_cut(window, COLUMNS, everything, event, cut) for window in chosen]
        for column, (value, _) in enumerate(wanted):
            assert close(got.values[at, column], value), (chosen[column], event, got.values[at], value)
        assert got.trimmed[at] == any(inexact for _, inexact in wanted)
        noted(f"trimmed: {bool(got.trimmed[at])}")


@settings(max_examples=200, deadline=None)
@given(
    stream=streams(),
    chosen=st.lists(windows, min_size=1, max_size=4),
    resolution=st.sampled_from([0, 1, 7, 10]),
    data=st.data(),
)
def test_a_batch_over_cut_rows_gives_what_its_events_give_one_by_one_to_the_bit(
    stream: tuple[list[PlainEvent], list[PlainEvent]],
    chosen: list[WindowFeature],
    resolution: int,
    data: st.DataObject,
) -> None:
    stored, batch = stream
    schema = schema_of(resolution)
    whole_rows, whole_events = rows_of(stored, batch, COLUMNS)
    whole = evaluate(chosen, schema, whole_rows, whole_events, np.arange(len(batch)))
    at = data.draw(st.integers(0, len(batch) - 1))
    rows, events = rows_of([*stored, *batch], [batch[at]], COLUMNS)
    alone = evaluate(chosen, schema, rows, events, np.array([0]))
    np.testing.assert_array_equal(alone.values[0], whole.values[at])
    assert alone.trimmed[0] == whole.trimmed[at]


def bounded(window: WindowFeature, begin: int, end: int) -> WindowFeature:
    """The same window, from and to later than it is by so much."""
    span = Span("time", window.span.length - begin + end, "")
    return WindowFeature(
        "w", "e", window.kind, window.function, window.column, span, window.delay - end, window.where,
        window.include_current, window.empty,
    )  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(stream=streams(), window=windows, resolution=resolutions)
def test_an_edge_is_displaced_by_less_than_the_resolution_and_else_the_value_is_exact(
    stream: tuple[list[PlainEvent], list[PlainEvent]], window: WindowFeature, resolution: int
) -> None:
    stored, batch = stream
    rows, events = rows_of(stored, batch, COLUMNS)
    got = evaluate([window], schema_of(resolution), rows, events, np.arange(len(batch)))
    everything = [*stored, *batch]
    off = resolution - 1
    for at, event in enumerate(batch):
        value = got.values[at, 0]
        if not got.trimmed[at]:
            assert close(value, reference(window, COLUMNS, everything, event))
        elif window.function == "count" and window.span.kind == "time":
            ends = 0 if window.delay == 0 else -off
            least = reference(bounded(window, 0, ends), COLUMNS, everything, event)
            most = reference(bounded(window, -off, 0), COLUMNS, everything, event)
            assert least <= value <= most
        elif window.function == "distinct_count" or window.span.kind == "events":
            exact = reference(window, COLUMNS, everything, event)
            assert window.function not in ("count", "distinct_count") or value <= exact


@settings(max_examples=60, deadline=None)
@given(stream=streams(), resolution=st.sampled_from([1, 7]))
def test_rows_no_longer_than_what_is_exact_are_as_if_there_were_no_tiles(
    stream: tuple[list[PlainEvent], list[PlainEvent]], resolution: int
) -> None:
    stored, batch = stream
    chosen = [window_of(RowKind.EVENTS, f, Span("time", 60, "60"), 0, None, True, True) for f in FUNCTIONS]
    rows, events = rows_of(stored, batch, COLUMNS)
    index = np.arange(len(batch))
    long = RowSchema("e", RowKind.EVENTS, COLUMNS, ("flag",), 1 + len(stored) + len(batch), resolution, 100)
    with_tiles = evaluate(chosen, long, rows, events, index)
    without = evaluate(chosen, RowSchema("e", RowKind.EVENTS, COLUMNS), rows, events, index)
    np.testing.assert_array_equal(with_tiles.values, without.values)
    assert not with_tiles.trimmed.any()


# ---------------------------------------------------------------------------------------------------- labels

label_windows = st.builds(
    window_of,
    kind=st.just(RowKind.LABELS),
    function=st.sampled_from([f for f in FUNCTIONS if f != "time_since_last"]),
    span=SPANS,
    delay=st.sampled_from([0, 1, 15, 30]),
    where=st.none(),
    current=st.just(False),
    column=st.just(True),
)


@st.composite
def labels(draw: st.DrawFn) -> list[PlainEvent]:
    """Labels that come early and late, are corrected, and come twice."""
    count, rng = draw(st.integers(0, 60)), np.random.default_rng(draw(st.integers(0, 2**32)))
    late = draw(st.sampled_from([1, 15, 40]))
    found: list[PlainEvent] = []
    for n in range(count):
        known = found[int(rng.integers(len(found)))] if found and rng.random() < 0.15 else None
        key = known.key if known else ("a" if rng.random() < 0.8 else "b")
        time = known.time if known else n * 100 // count
        observed = (time + int(rng.integers(late)), 0)
        found.append(PlainEvent(key, time, known.id if known else n, observed, (float(rng.integers(2)),)))
    return found


@settings(max_examples=400, deadline=None)
@given(
    stored=labels(),
    stream=streams(),
    chosen=st.lists(label_windows, min_size=1, max_size=3),
    resolution=resolutions,
    delay=st.sampled_from([0, 1, 15]),
)
def test_label_rows_that_are_cut_equal_the_definition_read_word_by_word(
    stored: list[PlainEvent],
    stream: tuple[list[PlainEvent], list[PlainEvent]],
    chosen: list[WindowFeature],
    resolution: int,
    delay: int,
) -> None:
    batch = stream[1]
    schema = schema_of(resolution, RowKind.LABELS, delay)
    got = evaluate(chosen, schema, label_rows(stored, batch), batch_of(batch), np.arange(len(batch)))
    cut = Cut(schema.exact, resolution, min(delay, *(window.delay for window in chosen)))
    for at, event in enumerate(batch):
        wanted = [reference_with_cut(window, ("label",), stored, event, cut) for window in chosen]
        for column, (value, _) in enumerate(wanted):
            assert close(got.values[at, column], value), (chosen[column], event, got.values[at], value)
        assert got.trimmed[at] == any(inexact for _, inexact in wanted)
        noted(f"trimmed: {bool(got.trimmed[at])}")


def label_rows(stored: list[PlainEvent], batch: list[PlainEvent]) -> Rows:
    index = index_keys([event.key for event in batch])
    place = {key: at for at, key in enumerate(index.keys)}
    held = [entry for entry in stored if entry.key in place]
    entries = Entries(
        row=np.array([place[e.key] for e in held], dtype=np.int64),
        times=np.array([e.time for e in held], dtype=np.int64),
        ids=np.array([e.id for e in held], dtype=np.uint64),
        marks=np.array([e.mark[0] for e in held], dtype=np.int64).view(np.uint64),
        values=np.array([e.values for e in held], dtype=np.float64).reshape(len(held), 1),
    )
    return Rows(entries, index.of_event, np.full(len(batch), -1))
