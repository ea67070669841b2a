"""Entries as bytes: what goes in comes out, and what was damaged never comes out as something else."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from features.codec import StoredRows, decode_rows, encode_entries, entry_bytes, split_entries
from features.codec_v1 import decode_rows_v1, from_v1
from features.definition.model import RowKind, RowSchema
from features.windows.folded import UNBOUNDED, Tiles, encode_folded, head_slots, tile_slots, value_columns
from features.windows.tiles import no_tiles

PlainEntry = tuple[int, int, int, list[float]]
numbers = st.floats(width=64)
words = st.integers(0, 2**64 - 1)
times = st.integers(-(2**63), 2**63 - 1)
SCHEMA = RowSchema("e", RowKind.EVENTS, ("a", "b"))
SCHEMAS = {
    "bare": RowSchema("e", RowKind.EVENTS, (), resolution=10),
    "label": RowSchema("e", RowKind.LABELS, ("label",), resolution=10),
    "conditions": RowSchema("e", RowKind.EVENTS, ("a", "a > 1", "b"), ("a > 1",), resolution=10),
    "field as condition": RowSchema("e", RowKind.EVENTS, ("flag",), ("flag",), resolution=10),
}


def entries_of(schema: RowSchema) -> st.SearchStrategy[PlainEntry]:
    columns = len(schema.columns)
    return st.tuples(times, words, words, st.lists(numbers, min_size=columns, max_size=columns))


entries = entries_of(SCHEMA)


def encoded(row: Sequence[PlainEntry], schema: RowSchema = SCHEMA) -> bytes:
    return encode_entries(
        np.array([r[0] for r in row], dtype=np.int64),
        np.array([r[1] for r in row], dtype=np.uint64),
        np.array([r[2] for r in row], dtype=np.uint64),
        np.array([r[3] for r in row], dtype=np.float64).reshape(len(row), len(schema.columns)),
    )


def plain(held: StoredRows, row: int) -> list[tuple[int, int, int, bytes]]:
    """The entries of a row; values as bytes, so that NaN equals itself."""
    of = held.entries.row == row
    columns = (held.entries.times[of], held.entries.ids[of], held.entries.marks[of])
    values = [v.tobytes() for v in held.entries.values[of]]
    return list(zip(*(column.tolist() for column in columns), values, strict=True))


@st.composite
def compacted(draw: st.DrawFn) -> tuple[RowSchema, bytes, Tiles, int, int]:
    """A row's head and tiles: (schema, bytes, tiles, boundary, whole_from)."""
    schema = SCHEMAS[draw(st.sampled_from(sorted(SCHEMAS)))]
    found = np.array(sorted(draw(st.sets(st.integers(-(2**40), 2**40), max_size=4))), np.int64)
    shape = (len(found), 1 + len(schema.conditions))
    columns = len(value_columns(schema))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    counts, firsts, lasts = (rng.integers(-(2**62), 2**62, shape) for _ in range(3))
    moments = rng.standard_normal((*shape, columns, 7))
    moments[rng.random(moments.shape) < 0.2] = np.nan
    tiles = Tiles(np.zeros(len(found), np.int64), found, counts, firsts, lasts, moments)
    boundary, whole_from, mark = draw(times), draw(times), draw(words)
    return schema, encode_folded(schema, boundary, whole_from, mark, tiles), tiles, boundary, whole_from


# ------------------------------------------------------------------------------------------ there and back


@given(st.lists(st.lists(entries, max_size=5), max_size=5))
def test_rows_come_back_bit_for_bit(rows: list[list[PlainEntry]]) -> None:
    held = decode_rows(SCHEMA, [encoded(row) for row in rows])
    assert not held.corrupt.any()
    assert held.folded is None
    for number, row in enumerate(rows):
        want = [(time, i, mark, np.array(values).tobytes()) for time, i, mark, values in row]
        assert plain(held, number) == want


@given(st.lists(entries, max_size=5))
def test_appending_entry_by_entry_gives_the_same_row(row: list[PlainEntry]) -> None:
    parts = split_entries(encoded(row), SCHEMA)
    assert len(parts) == len(row)
    assert b"".join(parts) == encoded(row)


def test_an_absent_row_is_an_empty_one() -> None:
    held = decode_rows(SCHEMA, [None, b"", None])
    assert len(held.entries) == 0
    assert held.corrupt.tolist() == [False, False, False]


@given(compacted(), st.integers(0, 3))
def test_heads_and_tiles_come_back_among_rows_without(
    row: tuple[RowSchema, bytes, Tiles, int, int], after: int
) -> None:
    schema, data, tiles, boundary, whole_from = row
    plain_entry: PlainEntry = (1, 2, 3, [0.5] * len(schema.columns))
    appended = encoded([plain_entry] * after, schema)
    held = decode_rows(schema, [encoded([plain_entry], schema), data + appended, None, data])
    assert not held.corrupt.any()
    assert held.entries.row.tolist() == [0] + [1] * after
    assert held.folded is not None
    assert held.folded.boundaries.tolist() == [UNBOUNDED, boundary, UNBOUNDED, boundary]
    assert held.folded.whole_from.tolist() == [UNBOUNDED, whole_from, UNBOUNDED, whole_from]
    got = held.folded.tiles
    assert got.row.tolist() == [1] * len(tiles) + [3] * len(tiles)
    for name in ("numbers", "counts", "firsts", "lasts", "moments"):
        want = np.concatenate([getattr(tiles, name)] * 2)
        np.testing.assert_array_equal(getattr(got, name), want)


def test_the_layout_is_the_one_the_docstring_draws() -> None:
    data = encoded([(1, 2, 3, [0.5, -1.0])])
    assert data[0] == 1, "the kind of an entry"
    assert data[1:8].hex() == "a64770d950721c", "the checksum must not change: rows live longer than code"
    assert (
        data[8:].hex() == "010000000000000002000000000000000300000000000000000000000000e03f000000000000f0bf"
    )
    schema = SCHEMAS["bare"]
    tiles = no_tiles(schema)
    head = encode_folded(schema, -1, 5, 6, tiles)
    assert len(head) == 2 * entry_bytes(schema), "four words do not fit into one slot without columns"
    assert (head[0], head[8:32].hex()) == (2, "ffffffffffffffff" + "0500000000000000" + "0600000000000000")


# ----------------------------------------------------------------------------------------------- damage


def is_lost(schema: RowSchema, damaged: bytes) -> bool:
    """Whether a row is corrupt, gives nothing at all, and leaves its neighbours alone."""
    fine: PlainEntry = (7, 8, 9, [1.0] * len(schema.columns))
    held = decode_rows(schema, [encoded([fine], schema), damaged, encoded([fine, fine], schema)])
    neighbours = plain(held, 0) == plain(held, 2)[:1] == [(7, 8, 9, np.array(fine[3]).tobytes())]
    nothing = not plain(held, 1) and (held.folded is None or not (held.folded.tiles.row == 1).any())
    assert not held.corrupt[[0, 2]].any()
    assert neighbours
    return bool(held.corrupt[1]) and nothing


@given(st.binary(min_size=8, max_size=400), st.sampled_from(sorted(SCHEMAS)))
def test_bytes_that_nobody_wrote_are_a_lost_row(garbage: bytes, name: str) -> None:
    schema = SCHEMAS[name]
    assert is_lost(schema, garbage)
    assert is_lost(schema, garbage[: len(garbage) // 8 * 8])
    size = entry_bytes(schema)
    assert is_lost(schema, (garbage * size)[: size * 3])
    assert is_lost(schema, bytes(size)), "nothing but zeros"


@given(st.lists(entries, min_size=1, max_size=4), st.data())
def test_a_changed_byte_anywhere_is_a_lost_row(row: list[PlainEntry], data: st.DataObject) -> None:
    damaged = bytearray(encoded(row))
    for at in data.draw(st.sets(st.integers(0, len(damaged) - 1), min_size=1, max_size=3)):
        damaged[at] ^= data.draw(st.integers(1, 255))
    assert is_lost(SCHEMA, bytes(damaged))


@given(compacted(), st.data())
def test_a_changed_byte_in_head_or_tiles_is_a_lost_row(
    row: tuple[RowSchema, bytes, Tiles, int, int], data: st.DataObject
) -> None:
    schema, whole, *_ = row
    damaged = bytearray(whole)
    damaged[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    assert is_lost(schema, bytes(damaged))


@pytest.mark.parametrize("bit", range(64))
def test_the_same_bit_turned_in_two_words_does_not_cancel_out(bit: int) -> None:
    data = np.frombuffer(encoded([(1, 2, 3, [0.5, -1.0])]), np.uint64)
    for one in range(1, len(data)):
        for other in range(one + 1, len(data)):
            damaged = data.copy()
            damaged[[one, other]] ^= np.uint64(1) << np.uint64(bit)
            assert is_lost(SCHEMA, damaged.tobytes())


@given(st.lists(entries, min_size=1, max_size=4), st.data())
def test_words_in_another_order_are_a_lost_row(row: list[PlainEntry], data: st.DataObject) -> None:
    whole = np.frombuffer(encoded(row), np.uint64)
    one, other = (data.draw(st.integers(0, len(whole) - 1)) for _ in range(2))
    swapped = whole.copy()
    swapped[[one, other]] = swapped[[other, one]]
    width = entry_bytes(SCHEMA) // 8
    slots = {swapped[at : at + width].tobytes() for at in range(0, len(swapped), width)}
    # Two whole entries that traded places word by word are still two entries.
    assume(slots != {whole[at : at + width].tobytes() for at in range(0, len(whole), width)})
    assert is_lost(SCHEMA, swapped.tobytes())


@given(st.lists(entries, min_size=1, max_size=4), st.data())
def test_a_shifted_row_or_one_cut_within_an_entry_is_lost(row: list[PlainEntry], data: st.DataObject) -> None:
    whole = encoded(row)
    cut = data.draw(st.integers(1, len(whole) - 1))
    for damaged in (whole[:cut], whole[cut:]):
        if cut % entry_bytes(SCHEMA):
            assert is_lost(SCHEMA, damaged)
        else:  # a row is a set of entries: a part of it is a row
            assert not decode_rows(SCHEMA, [damaged]).corrupt.any()
    assert is_lost(SCHEMA, whole[-cut:] + whole[:-cut]) == bool(cut % entry_bytes(SCHEMA))


@given(compacted(), st.data())
def test_heads_and_tiles_that_are_not_whole_or_not_in_their_place_are_a_lost_row(
    row: tuple[RowSchema, bytes, Tiles, int, int], data: st.DataObject
) -> None:
    schema, whole, tiles, *_ = row
    size = entry_bytes(schema)
    slots = [whole[at : at + size] for at in range(0, len(whole), size)]
    assert len(slots) == head_slots(schema) + len(tiles) * tile_slots(schema)
    entry = encoded([(1, 2, 3, [0.5] * len(schema.columns))], schema)
    at = data.draw(st.integers(0, len(slots) - 1))
    without = slots[:at] + slots[at + 1 :]
    if without:
        assert is_lost(schema, b"".join(without))
        assert is_lost(schema, b"".join([*without, entry]))
    assert is_lost(schema, b"".join([*slots[:at], entry, *slots[at:]]))
    assert is_lost(schema, b"".join([*slots, slots[at]]))
    blank = encoded([(0, 0, 0, [0.0] * len(schema.columns))], schema)
    if len(slots) > 1:
        assert is_lost(schema, b"".join([*[blank] * at, slots[at]]))
        assert is_lost(schema, b"".join([*slots[:at], blank, *slots[at + 1 :]]))
    assert is_lost(schema, whole + whole), "two compacted rows are not one"
    assert is_lost(schema, whole + entry + whole)


@given(st.lists(entries, max_size=3), st.lists(entries, max_size=3))
def test_a_row_appended_to_another_is_the_union(one: list[PlainEntry], other: list[PlainEntry]) -> None:
    held = decode_rows(SCHEMA, [encoded(one) + encoded(other), encoded([*one, *other])])
    assert not held.corrupt.any()
    assert plain(held, 0) == plain(held, 1)


# ----------------------------------------------------------------------------------- the layout before this


def encoded_v1(row: Sequence[PlainEntry]) -> bytes:
    return b"".join(
        np.array([time], np.int64).tobytes()
        + np.array([i, mark], np.uint64).tobytes()
        + np.array(values, np.float64).tobytes()
        for time, i, mark, values in row
    )


@given(st.lists(st.lists(entries, max_size=4), max_size=4))
def test_rows_of_layout_1_are_read_and_carried_over(rows: list[list[PlainEntry]]) -> None:
    found, corrupt = decode_rows_v1(SCHEMA, [encoded_v1(row) for row in rows])
    assert not corrupt.any()
    assert found.row.tolist() == [number for number, row in enumerate(rows) for _ in row]
    for row in rows:
        assert from_v1(SCHEMA, encoded_v1(row)) == encoded(row)


@given(st.binary(max_size=200), st.lists(entries, min_size=1, max_size=3))
def test_a_row_of_layout_1_that_is_no_whole_number_of_entries_is_corrupt(
    garbage: bytes, row: list[PlainEntry]
) -> None:
    found, corrupt = decode_rows_v1(SCHEMA, [garbage, encoded_v1(row), None])
    broken = len(garbage) % 40 != 0
    assert corrupt.tolist() == [broken, False, False]
    assert (found.row == 0).sum() == (0 if broken else len(garbage) // 40)
    assert (found.row == 1).sum() == len(row)
    if broken:
        assert is_lost(SCHEMA, from_v1(SCHEMA, garbage))


@given(st.lists(entries, min_size=1, max_size=3))
def test_a_row_of_layout_1_under_a_key_of_layout_2_is_lost(row: list[PlainEntry]) -> None:
    assert is_lost(SCHEMA, encoded_v1(row))
