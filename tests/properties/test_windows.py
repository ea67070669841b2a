"""The window engine against a plain reference, over histories made to be awkward."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from features.codec import Entries
from features.definition.model import RowKind, RowSchema, Span, WindowFeature
from features.rows import Rows, index_keys
from features.window import evaluate
from tests.properties.window_cases import FUNCTIONS, batch_of, close, rows_of, window_of
from tests.properties.windows_reference import PlainEvent, reference

COLUMNS = ("amount", "flag")
amounts = st.one_of(st.integers(-3, 3).map(float), st.just(math.nan))
flags = st.sampled_from([0.0, 1.0, math.nan])


windows = st.builds(
    window_of,
    kind=st.just(RowKind.EVENTS),
    function=st.sampled_from(FUNCTIONS),
    span=st.one_of(
        st.integers(1, 12).map(lambda n: Span("time", n, str(n))),
        st.integers(1, 5).map(lambda n: Span("events", n, f"{n}_events")),
    ),
    delay=st.sampled_from([0, 0, 1, 4]),
    where=st.sampled_from([None, "flag"]),
    current=st.booleans(),
    column=st.booleans(),
)


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[PlainEvent], list[PlainEvent]]:
    """(entries in the store, events of the batch): out of order, delivered twice, on several partitions."""
    count = draw(st.integers(1, 14))
    next_offset = [0, 0]
    records: list[PlainEvent] = []
    for _ in range(count):
        partition = draw(st.integers(0, 1))
        event_id = draw(st.integers(0, 9))
        records.append(
            PlainEvent(
                key=draw(st.sampled_from("ab")),
                time=draw(st.integers(0, 12)),
                id=event_id,
                mark=(partition, next_offset[partition]),
                values=(draw(amounts), draw(flags)),
            )
        )
        next_offset[partition] += 1
    batch_size = draw(st.integers(1, count))
    batch = records[-batch_size:]
    ahead = draw(st.integers(0, batch_size))
    stored = records[: count - batch_size + ahead]
    stored = stored + draw(st.lists(st.sampled_from(stored), max_size=4)) if stored else []
    return draw(st.permutations(stored)), batch


SCHEMA = RowSchema("e", RowKind.EVENTS, COLUMNS)


@settings(max_examples=600, deadline=None)
@given(stream=streams(), chosen=st.lists(windows, min_size=1, max_size=4))
def test_every_window_equals_the_definition_read_word_by_word(
    stream: tuple[list[PlainEvent], list[PlainEvent]], chosen: list[WindowFeature]
) -> None:
    stored, batch = stream
    rows, events = rows_of(stored, batch, COLUMNS)
    got = evaluate(chosen, SCHEMA, rows, events, np.arange(len(batch))).values
    everything = [*stored, *batch]
    for at, event in enumerate(batch):
        for column, window in enumerate(chosen):
            want = reference(window, COLUMNS, everything, event)
            assert close(got[at, column], want), (window, event, got[at, column], want)


@settings(max_examples=200, deadline=None)
@given(stream=streams(), chosen=st.lists(windows, min_size=1, max_size=4), data=st.data())
def test_a_batch_gives_what_its_events_give_one_by_one_to_the_bit(
    stream: tuple[list[PlainEvent], list[PlainEvent]], chosen: list[WindowFeature], data: st.DataObject
) -> None:
    stored, batch = stream
    whole_rows, whole_events = rows_of(stored, batch, COLUMNS)
    whole = evaluate(chosen, SCHEMA, whole_rows, whole_events, np.arange(len(batch))).values
    at = data.draw(st.integers(0, len(batch) - 1))
    # The event alone, everything else from the store: the materializer may be ahead of it by any amount.
    rows, events = rows_of([*stored, *batch], [batch[at]], COLUMNS)
    alone = evaluate(chosen, SCHEMA, rows, events, np.array([0])).values
    np.testing.assert_array_equal(alone[0], whole[at])


label_windows = st.builds(
    window_of,
    kind=st.just(RowKind.LABELS),
    function=st.sampled_from([f for f in FUNCTIONS if f != "time_since_last"]),
    span=st.one_of(
        st.integers(1, 12).map(lambda n: Span("time", n, str(n))),
        st.integers(1, 5).map(lambda n: Span("events", n, f"{n}_events")),
    ),
    delay=st.sampled_from([0, 1, 4]),
    where=st.none(),
    current=st.just(False),
    column=st.just(True),
)
labels = st.lists(
    st.builds(
        lambda key, time, i, late, value: PlainEvent(key, time, i, (time + late, 0), (value,)),
        st.sampled_from("ab"), st.integers(0, 12), st.integers(0, 6), st.integers(0, 8),
        st.sampled_from([0.0, 1.0]),
    ),
    max_size=14,
)  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(stored=labels, stream=streams(), chosen=st.lists(label_windows, min_size=1, max_size=3))
def test_label_windows_use_the_latest_label_known_at_the_events_time(
    stored: list[PlainEvent], stream: tuple[list[PlainEvent], list[PlainEvent]], chosen: list[WindowFeature]
) -> None:
    batch = stream[1]
    index = index_keys([event.key for event in batch])
    place = {key: at for at, key in enumerate(index.keys)}
    held = [entry for entry in stored if entry.key in place]
    rows = Rows(
        entries=Entries(
            row=np.array([place[e.key] for e in held], dtype=np.int64),
            times=np.array([e.time for e in held], dtype=np.int64),
            ids=np.array([e.id for e in held], dtype=np.uint64),
            marks=np.array([e.mark[0] for e in held], dtype=np.int64).view(np.uint64),
            values=np.array([e.values for e in held], dtype=np.float64).reshape(len(held), 1),
        ),
        of_event=index.of_event,
        own=np.full(len(batch), -1),
    )
    schema = RowSchema("e", RowKind.LABELS, ("label",))
    got = evaluate(chosen, schema, rows, batch_of(batch), np.arange(len(batch))).values
    for at, event in enumerate(batch):
        for column, window in enumerate(chosen):
            want = reference(window, ("label",), held, event)
            assert close(got[at, column], want), (window, event, got[at, column], want)


@settings(max_examples=100, deadline=None)
@given(stream=streams())
def test_distant_times_do_not_disturb_the_order(stream: tuple[list[PlainEvent], list[PlainEvent]]) -> None:
    stored, batch = stream
    far = [
        PlainEvent("a", 2**62, 900, (0, 900), (1.0, 1.0)),
        PlainEvent("a", -(2**62), 901, (1, 900), (1.0, 1.0)),
    ]
    window = window_of(RowKind.EVENTS, "sum", Span("time", 5, "5"), 0, None, True, True)
    rows, events = rows_of([*stored, *far], batch, COLUMNS)
    got = evaluate([window], SCHEMA, rows, events, np.arange(len(batch))).values
    for at, event in enumerate(batch):
        assert close(got[at, 0], reference(window, COLUMNS, [*stored, *far, *batch], event))
