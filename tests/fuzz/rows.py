"""Rows of the online store: whatever stands there gives what was written, or a lost row."""

import warnings
from dataclasses import replace

import numpy as np

from features.codec import Entries, StoredRows, decode_rows, encode_entries, entry_bytes, join_entries
from features.codec_v1 import decode_rows_v1, from_v1
from features.compaction import compact_row
from features.definition.model import RowKind, RowSchema, Span, WindowFeature
from features.rows import Rows
from features.window import Evaluated, evaluate
from features.windows.folded import UNBOUNDED
from tests.fuzz.drawing import Drawing
from tests.fuzz.row_reference import PlainEntry, PlainRow, bytes_of, plain_row, plain_row_v1, seal, slot_words
from tests.properties.window_cases import rows_of, window_of
from tests.properties.windows_reference import PlainEvent

COLUMNS = ("amount", "flag", "amount > 1")
EVENTS = RowSchema("e", RowKind.EVENTS, COLUMNS, ("amount > 1", "flag"), exact=4, resolution=10, reach=85)
NO_TILES = RowSchema("e", RowKind.EVENTS, COLUMNS, exact=4)
BARE = RowSchema("e", RowKind.EVENTS, (), exact=4, resolution=10, reach=85)
LABELS = RowSchema("e", RowKind.LABELS, ("label",), exact=4, resolution=10, reach=85, delay=15)
SCHEMAS = (EVENTS, NO_TILES, BARE, LABELS)
SLOTS_MAX = 24
VALUES = (0.0, 1.0, -1.5, 0.1, 7.25, 1e9, np.nan)
FUNCTIONS = ("count", "sum", "mean", "std", "min", "first", "last", "distinct_count")


def rows(data: bytes) -> None:
    """Byte 0: the schema; byte 1: which slots are given a seal that fits; then the row."""
    draw = Drawing(data)
    schema, sealed = draw.choice(SCHEMAS), draw.below(256)
    row = _sealed(schema, draw.rest(), sealed)
    held = decode_rows(schema, [b"", row, None])
    expected = plain_row(schema, row)
    assert held.corrupt.tolist() == [False, expected is None, False]
    _assert_holds(held, expected)
    if expected is not None:
        _ask(schema, held)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # as in _ask
            compacted = compact_row(schema, row, 10**6)
        if compacted is not None:
            assert len(compacted.data) < len(row)
            assert not decode_rows(schema, [compacted.data]).corrupt.any()
    previous, lost = decode_rows_v1(schema, [row])
    plain = plain_row_v1(schema, row)
    assert lost.tolist() == [plain is None]
    assert _entries(previous) == (plain or [])
    carried = from_v1(schema, row)
    if plain is None:
        assert carried == row
        return
    again = decode_rows(schema, [carried])
    assert not again.corrupt.any()
    assert _entries(again.entries) == plain


def row_seeds() -> list[bytes]:
    """Rows of each schema, as they were appended and compacted, whole and hurt."""
    made = []
    for at, schema in enumerate(SCHEMAS):
        draw = Drawing(bytes((5 * i * (at + 1)) % 241 for i in range(600)))
        entries = [_drawn_entry(draw, schema, n) for n in range(30)]
        row = _encoded(schema, entries)
        compacted = compact_row(schema, row, 200)
        for one in (row[: entry_bytes(schema) * 3], compacted.data if compacted else b""):
            made += [bytes([at, 0]) + one, bytes([at, 255]) + one, bytes([at, 0]) + one[:-8]]
    return made


def _sealed(schema: RowSchema, data: bytes, which: int) -> bytes:
    """The row in which slot i has a seal that fits where bit i % 8 of `which` is set: damage that no
    checksum finds, as a row of layout 1 may hold it.
    """
    size = slot_words(schema) * 8
    slots = [data[at : at + size] for at in range(0, len(data), size)][:SLOTS_MAX]
    for at, slot in enumerate(slots):
        if which >> (at % 8) & 1 and len(slot) == size:
            words = [int.from_bytes(slot[i : i + 8], "little") for i in range(0, size, 8)]
            kind = 1 + (words[0] & 0xFF) % 3 if words[0] & 0xFF > 3 else max(1, words[0] & 0xFF)
            slots[at] = bytes_of([seal(kind, words[1:], at if kind > 1 else 0), *words[1:]])
    return b"".join(slots)


def _assert_holds(held: StoredRows, expected: PlainRow | None) -> None:
    assert _entries(held.entries) == (expected.entries if expected else [])
    assert (held.entries.row == 1).all()
    if expected is None or expected.head is None:
        assert held.folded is None
        return
    assert held.folded is not None
    boundary, whole_from = (int(np.uint64(word).view(np.int64)) for word in expected.head[:2])
    assert held.folded.boundaries.tolist() == [UNBOUNDED, boundary, UNBOUNDED]
    assert held.folded.whole_from.tolist() == [UNBOUNDED, whole_from, UNBOUNDED]
    tiles = held.folded.tiles
    parts = [tiles.numbers.reshape(-1, 1), tiles.counts, tiles.firsts, tiles.lasts]
    integers = np.concatenate(parts, axis=1).view(np.uint64)
    width = int(np.prod(tiles.moments.shape[1:]))
    moments = np.ascontiguousarray(tiles.moments).view(np.uint64).reshape(len(tiles), width)
    found = np.concatenate([integers, moments], axis=1)
    assert [tuple(one) for one in found.tolist()] == expected.tiles


def _entries(entries: Entries) -> list[PlainEntry]:
    values = np.ascontiguousarray(entries.values).view(np.uint64)
    columns = (entries.times, entries.ids, entries.marks)
    return [
        (*numbers, tuple(row))
        for *numbers, row in zip(*(c.tolist() for c in columns), values.tolist(), strict=True)
    ]


def _ask(schema: RowSchema, held: StoredRows) -> None:
    """Some numbers come out, whatever the row says."""
    row = np.zeros(len(held.entries), np.int64)
    alone = None
    if held.folded is not None:
        tiles = replace(held.folded.tiles, row=np.zeros(len(held.folded.tiles), np.int64))
        alone = replace(
            held.folded,
            boundaries=held.folded.boundaries[1:2],
            whole_from=held.folded.whole_from[1:2],
            tiles=tiles,
        )
    one = StoredRows(replace(held.entries, row=row), alone, held.corrupt[1:2])
    asked = [PlainEvent("a", time, 2**40, (1, 2**40), _zeros(schema)) for time in (0, 90, 10**6)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # sums and squares of what is there may overflow
        _evaluated(schema, one, asked)


def _zeros(schema: RowSchema) -> tuple[float, ...]:
    return (0.0,) * len(schema.columns)


# ------------------------------------------------------------------------------------------------- compaction


def compaction(data: bytes) -> None:
    """Byte 0: the schema; then entries and watermarks in turn. Values stay as they are, to the bit."""
    draw = Drawing(data)
    schema = draw.choice(SCHEMAS)
    count, watermark, row = 0, -1, b""
    every: list[PlainEvent] = []
    while draw.left and count < 200:
        for _ in range(draw.below(40)):
            entry = _drawn_entry(draw, schema, count)
            if not _came_too_late(schema, entry, watermark):
                every.append(entry)
                row += _encoded(schema, [entry])
            count += 1
        seen = len(decode_rows(schema, [row]).entries)
        watermark = max(watermark, draw.below(200))
        compacted = compact_row(schema, row, watermark)
        if compacted is not None:
            assert len(compacted.data) < len(row)
            held = decode_rows(schema, [compacted.data])
            assert not held.corrupt.any()
            assert len(held.entries) + compacted.folded + compacted.dropped + compacted.late == seen
            row = compacted.data
            again = compact_row(schema, row, watermark)
            assert again is None or len(again.data) < len(row)
    begin = max((e.mark[1] for e in every), default=0) + 1 if schema.kind is RowKind.EVENTS else 0
    asked = [
        PlainEvent("a", max(watermark, 0) + draw.below(70), 10**6 + n, (n % 2, begin + n), _zeros(schema))
        for n in range(3)
    ]
    whole = _evaluated(schema, decode_rows(schema, [_encoded(schema, every)]), asked)
    short = _evaluated(schema, decode_rows(schema, [row]), asked)
    np.testing.assert_array_equal(short.values.view(np.uint64), whole.values.view(np.uint64))
    np.testing.assert_array_equal(short.trimmed, whole.trimmed)


def compaction_seeds() -> list[bytes]:
    """Long and short stories of each schema."""
    return [
        bytes([at, *((step * i * (at + 1) + i // 7) % 251 for i in range(length))])
        for at in range(len(SCHEMAS))
        for step, length in ((3, 900), (11, 300), (17, 120))
    ]


def _drawn_entry(draw: Drawing, schema: RowSchema, number: int) -> PlainEvent:
    time = draw.below(200)
    values = tuple(float(draw.choice(VALUES)) for _ in schema.columns)
    if schema.columns == COLUMNS:
        values = (values[0], values[1] if values[1] in (0.0, 1.0) else np.nan, float(values[0] > 1))
    mark = (draw.below(2), number)
    id_ = (number * 7919) % 100_003
    if schema.kind is RowKind.LABELS:
        mark, values = (time + draw.below(40), 0), (float(draw.flag()),)
        id_ = draw.below(50) * 1000 + time  # the labels of one id are for one event
    return PlainEvent("a", time, id_, mark, values)


def _came_too_late(schema: RowSchema, entry: PlainEvent, watermark: int) -> bool:
    """What the watermark promised will not come."""
    if schema.kind is RowKind.EVENTS:
        return entry.time < watermark
    return entry.mark[0] <= watermark or entry.time <= watermark - schema.delay


def _encoded(schema: RowSchema, entries: list[PlainEvent]) -> bytes:
    if schema.kind is RowKind.EVENTS:
        marks = np.array([(e.mark[0] + 1) << 48 | e.mark[1] for e in entries], np.uint64)
    else:
        marks = np.array([e.mark[0] for e in entries], np.int64).view(np.uint64)
    values = np.array([e.values for e in entries], np.float64).reshape(len(entries), len(schema.columns))
    times = np.array([e.time for e in entries], np.int64)
    ids = np.array([e.id for e in entries], np.uint64)
    return encode_entries(times, ids, marks, values)


def _windows(schema: RowSchema) -> list[WindowFeature]:
    """Windows that these rows were made for."""
    of_labels = schema.kind is RowKind.LABELS
    spans = [Span("events", 3, "3_events")]
    if schema.reach:
        spans += [Span("time", 60, "60"), Span("time", 7, "7")]
    functions = FUNCTIONS if schema.columns else ("count", "time_since_last")
    delay = 15 if of_labels else 0
    return [
        window_of(schema.kind, function, span, delay, where, True, bool(schema.columns))  # type: ignore[arg-type]  # one of them
        for function in functions
        for span in spans
        for where in ((None, "flag") if schema is EVENTS else (None,))
    ]


WINDOWS = {id(schema): _windows(schema) for schema in SCHEMAS}


def _evaluated(schema: RowSchema, held: StoredRows, asked: list[PlainEvent]) -> Evaluated:
    own, events = rows_of([], asked, schema.columns)
    found = Rows(join_entries([own.entries, held.entries]), own.of_event, own.own, held.folded)
    if schema.kind is RowKind.LABELS:
        found = Rows(held.entries, own.of_event, np.full(len(asked), -1), held.folded)
    return evaluate(WINDOWS[id(schema)], schema, found, events, np.arange(len(asked)))
