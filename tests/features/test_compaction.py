"""What compaction does to a row: folded, dropped, late."""

from dataclasses import replace

import numpy as np

from features.codec import decode_rows, join_entries
from features.compaction import compact_row
from features.definition.model import RowKind, RowSchema, Span
from features.rows import Rows
from features.store import HEAD_BYTES
from features.window import evaluate
from features.windows.folded import UNBOUNDED
from tests.properties.row_stories import encoded
from tests.properties.window_cases import rows_of, window_of
from tests.properties.windows_reference import PlainEvent

COLUMNS = ("amount", "flag")
EVENTS = RowSchema("e", RowKind.EVENTS, COLUMNS, ("flag",), exact=4, resolution=10, reach=85)
LABELS = RowSchema("e", RowKind.LABELS, ("label",), exact=4, resolution=10, reach=85, delay=15)


def test_what_comes_after_it_was_folded_is_left_out_and_counted_as_late() -> None:
    schema = RowSchema("e", RowKind.EVENTS, ("amount",), exact=4, resolution=10, reach=100)
    entries = [PlainEvent("a", n // 4, n, (0, n), (1.0,)) for n in range(400)]
    compacted = compact_row(schema, encoded(schema, entries), watermark=100)
    assert compacted is not None
    # Four entries at each time: the cut lies at 90, the tile of the fourth newest.
    assert (compacted.folded, compacted.dropped, compacted.late) == (360, 0, 0)
    late = [PlainEvent("a", 5, 1000 + n, (1, n), (1.0,)) for n in range(3)]
    fresh = PlainEvent("a", 99, 2000, (1, 9), (1.0,))
    row = compacted.data + encoded(schema, [*late, fresh])
    counted = window_of(RowKind.EVENTS, "count", Span("time", 100, "100"), 0, None, True, False)
    own, events = rows_of([], [PlainEvent("a", 100, 3000, (0, 999), (1.0,))], ("amount",))
    held = decode_rows(schema, [row])
    rows = Rows(join_entries([own.entries, held.entries]), own.of_event, own.own, held.folded)
    found = evaluate([counted], schema, rows, events, np.array([0]))
    # All there is but the late ones; the four at time 0 only because the window's edge is displaced to it.
    assert (found.values.tolist(), found.trimmed.tolist()) == ([[400.0 + 1 + 1]], [True])
    once_more = compact_row(schema, row, watermark=100)
    assert once_more is not None
    assert (once_more.late, once_more.folded, once_more.dropped) == (3, 0, 0)
    assert decode_rows(schema, [once_more.data]).folded is not None
    assert compact_row(schema, once_more.data, watermark=100) is None, "there is nothing left to gain"


def test_a_window_in_event_counts_says_that_what_it_lacks_may_have_been_folded_or_dropped() -> None:
    """It ends in the exact entries, none of which meets its condition."""
    entries = [PlainEvent("a", n, n, (0, n), (1.0, float(n < 5))) for n in range(100)]
    counted = window_of(RowKind.EVENTS, "count", Span("events", 4, "4_events"), 0, "flag", True, False)
    in_counts = replace(EVENTS, resolution=0, reach=0)
    for schema, watermark, dropped in ((EVENTS, 84, False), (EVENTS, 170, True), (in_counts, 100, True)):
        compacted = compact_row(schema, encoded(schema, entries), watermark)
        assert compacted is not None
        held = decode_rows(schema, [compacted.data])
        assert held.folded is not None
        assert (int(held.folded.whole_from[0]) > UNBOUNDED) == dropped
        for row in (held, decode_rows(schema, [encoded(schema, entries)])):
            event = PlainEvent("a", watermark + 5, 1000, (0, 1000), (1.0, 1.0))
            own, events = rows_of([], [event], COLUMNS)
            rows = Rows(join_entries([own.entries, row.entries]), own.of_event, own.own, row.folded)
            found = evaluate([counted], schema, rows, events, np.array([0]))
            assert (found.values.tolist(), found.trimmed.tolist()) == ([[1.0]], [True])


def test_labels_that_not_everyone_sees_are_not_folded_nor_what_is_newer() -> None:
    def label(n: int, observed: int) -> PlainEvent:
        return PlainEvent("a", n // 8, n, (observed, 0), (1.0,))

    labels = [label(n, n // 8 + 15) for n in range(480)]
    whole = compact_row(LABELS, encoded(LABELS, labels), watermark=75)
    assert whole is not None
    assert (whole.folded, whole.dropped, whole.late) == (400, 0, 0)
    corrected = label(8 * 33, 76)
    for row in ([*labels, corrected], [corrected, *labels, *labels]):
        some = compact_row(LABELS, encoded(LABELS, row), watermark=75)
        assert some is not None
        assert (some.folded, some.dropped) == (8 * 30, len(row) - 481)
        later = compact_row(LABELS, some.data, watermark=76)
        assert later is not None
        assert (later.folded, later.dropped, later.late) == (8 * 20, 1, 0)


def test_compactions_that_differ_begin_with_other_bytes() -> None:
    """By its length and first bytes the store judges whether a row is what was read."""
    schema = RowSchema("e", RowKind.EVENTS, (), exact=4, resolution=10, reach=100)
    entries = [PlainEvent("a", n // 4, n, (0, n), ()) for n in range(400)]
    begins, lengths = set(), set()
    for other in range(5):
        for watermark in (100, 101):
            row = encoded(schema, [*entries, replace(entries[-1], id=1000 + other)])
            compacted = compact_row(schema, row, watermark)
            assert compacted is not None
            begins.add(compacted.data[:HEAD_BYTES])
            lengths.add(len(compacted.data))
    assert (len(begins), len(lengths)) == (10, 1)


def test_a_corrupt_row_and_an_empty_one_are_left_alone() -> None:
    row = encoded(EVENTS, [PlainEvent("a", n, n, (0, n), (1.0, 1.0)) for n in range(300)])
    assert compact_row(EVENTS, row, watermark=300) is not None
    assert compact_row(EVENTS, row[:-1], watermark=300) is None
    assert compact_row(EVENTS, row[:100] + b"?" + row[101:], watermark=300) is None
    assert compact_row(EVENTS, b"", watermark=300) is None
