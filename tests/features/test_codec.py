"""Entries as bytes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from features.codec import decode_rows, encode_entries, entry_bytes, split_entries
from features.definition.model import RowKind, RowSchema

numbers = st.floats(width=64)
entries = st.tuples(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.lists(numbers, min_size=2, max_size=2),
)
SCHEMA = RowSchema("e", RowKind.EVENTS, ("a", "b"))


def encoded(rows: list[tuple[int, int, int, list[float]]]) -> bytes:
    return encode_entries(
        np.array([r[0] for r in rows], dtype=np.int64),
        np.array([r[1] for r in rows], dtype=np.uint64),
        np.array([r[2] for r in rows], dtype=np.uint64),
        np.array([r[3] for r in rows], dtype=np.float64).reshape(len(rows), 2),
    )


@given(st.lists(st.lists(entries, max_size=5), max_size=5))
def test_rows_come_back_bit_for_bit(rows: list[list[tuple[int, int, int, list[float]]]]) -> None:
    decoded, corrupt = decode_rows(SCHEMA, [encoded(row) for row in rows])
    flat = [(number, entry) for number, row in enumerate(rows) for entry in row]
    assert not corrupt.any()
    assert decoded.row.tolist() == [number for number, _ in flat]
    assert decoded.times.tolist() == [entry[0] for _, entry in flat]
    assert decoded.ids.tolist() == [entry[1] for _, entry in flat]
    assert decoded.marks.tolist() == [entry[2] for _, entry in flat]
    want = np.array([entry[3] for _, entry in flat], dtype=np.float64).reshape(len(flat), 2)
    np.testing.assert_array_equal(decoded.values.view(np.uint64), want.view(np.uint64))


@given(st.lists(entries, max_size=5))
def test_appending_entry_by_entry_gives_the_same_row(row: list[tuple[int, int, int, list[float]]]) -> None:
    parts = split_entries(encoded(row), SCHEMA)
    assert len(parts) == len(row)
    assert b"".join(parts) == encoded(row)


def test_an_absent_row_is_an_empty_one() -> None:
    decoded, corrupt = decode_rows(SCHEMA, [None, b"", None])
    assert len(decoded) == 0
    assert corrupt.tolist() == [False, False, False]


@given(st.binary(max_size=200), st.lists(entries, min_size=1, max_size=3))
def test_a_row_that_is_no_whole_number_of_entries_is_corrupt_and_gives_none(
    garbage: bytes, row: list[tuple[int, int, int, list[float]]]
) -> None:
    decoded, corrupt = decode_rows(SCHEMA, [garbage, encoded(row)])
    broken = len(garbage) % entry_bytes(SCHEMA) != 0
    assert corrupt.tolist() == [broken, False]
    assert (decoded.row == 0).sum() == (0 if broken else len(garbage) // entry_bytes(SCHEMA))
    assert (decoded.row == 1).sum() == len(row)


def test_the_layout_is_the_one_the_docstring_draws() -> None:
    data = encoded([(1, 2, 3, [0.5, -1.0])])
    assert data.hex() == "010000000000000002000000000000000300000000000000000000000000e03f000000000000f0bf"
