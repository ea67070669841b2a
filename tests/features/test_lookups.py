"""Lookups as bytes."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from features.definition.model import RowKind, RowSchema
from features.event import hash_texts
from features.lookup.codec import (
    JSON_BYTES_MAX,
    NEVER,
    Fields,
    Lookups,
    decode_lookups,
    encode_lookups,
    fingerprint,
    lookup_bytes,
)
from features.rows import entry_values
from features.timestamps import TIME_END_MS
from tests.features.lookup_cases import CUSTOMER, DEFINITION, NOW_MS, PAIR, batch

CONTRACT = Path(__file__).parents[2] / "docs" / "contracts" / "lookup.md"
numbers = st.floats(allow_infinity=False, width=64)
finite = st.floats(allow_infinity=False, allow_nan=False)
rows = st.tuples(st.integers(0, TIME_END_MS - 1), st.lists(numbers, min_size=3, max_size=3))


def packed(*held: tuple[int, list[float]], fields: Fields = CUSTOMER) -> list[bytes]:
    values = np.array([row for _, row in held], np.float64).reshape(len(held), len(fields))
    return encode_lookups(fields, np.array([time for time, _ in held], np.int64), values)


def one(value: bytes | None) -> Lookups:
    return decode_lookups(CUSTOMER, [value])


def is_unreadable(value: bytes) -> bool:
    """Whether it is reported, and gives nothing."""
    found = one(value)
    if found.unreadable[0]:
        assert np.isnan(found.values).all()
        assert found.written_at[0] == NEVER
    assert found.unreadable[0] != found.found[0]
    return bool(found.unreadable[0])


@given(st.lists(rows, max_size=6))
def test_packed_values_come_back_bit_for_bit(held: list[tuple[int, list[float]]]) -> None:
    found = decode_lookups(CUSTOMER, packed(*held))
    want = np.array([row for _, row in held], np.float64).reshape(len(held), 3)
    np.testing.assert_array_equal(found.values.view(np.uint64), want.view(np.uint64))
    assert found.written_at.tolist() == [time for time, _ in held]
    assert found.found.all()
    assert not found.unreadable.any()


@given(st.lists(st.one_of(st.none(), rows, st.binary(max_size=80)), max_size=8))
def test_each_value_of_a_batch_gives_what_it_gives_alone(
    held: list[bytes | tuple[int, list[float]] | None],
) -> None:
    values = [packed(row)[0] if isinstance(row, tuple) else row for row in held]
    together = decode_lookups(CUSTOMER, values)
    for at, value in enumerate(values):
        alone = one(value)
        np.testing.assert_array_equal(together.values[at], alone.values[0])
        assert together.written_at[at] == alone.written_at[0]
        assert (together.found[at], together.unreadable[at]) == (alone.found[0], alone.unreadable[0])


def test_what_is_absent_is_missing_and_not_unreadable() -> None:
    found = decode_lookups(CUSTOMER, [None, None])
    assert not found.found.any()
    assert not found.unreadable.any()
    assert np.isnan(found.values).all()


@given(rows, st.data())
def test_a_packed_value_with_any_byte_changed_is_unreadable(
    row: tuple[int, list[float]], data: st.DataObject
) -> None:
    value = bytearray(packed(row)[0])
    at = data.draw(st.integers(0, len(value) - 1))
    value[at] ^= data.draw(st.integers(1, 255))
    assert is_unreadable(bytes(value))


@given(rows, st.integers(0, 47), st.binary(min_size=1, max_size=8))
def test_a_packed_value_cut_or_continued_is_unreadable(
    row: tuple[int, list[float]], length: int, more: bytes
) -> None:
    value = packed(row)[0]
    assert is_unreadable(value[:length])
    assert is_unreadable(value + more)


@given(st.one_of(st.binary(max_size=100), st.text(max_size=50).map(str.encode)))
@example(b"")
@example(b"null")
@example(b"[]")
@example(b"{}")
@example(b'{"x":%b%b}' % (b"[" * 30_000, b"]" * 30_000))
@example(b'{"segment":"\\ud800"}')
def test_garbage_is_unreadable(garbage: bytes) -> None:
    assert is_unreadable(garbage) or isinstance(json.loads(garbage), dict)


@pytest.mark.parametrize(
    "fields",
    [
        (CUSTOMER[1], CUSTOMER[0], CUSTOMER[2]),
        (CUSTOMER[0], replace(CUSTOMER[1], is_category=False), CUSTOMER[2]),
        (CUSTOMER[0], CUSTOMER[1], replace(CUSTOMER[2], field="birth")),
        CUSTOMER[:2],
        (*CUSTOMER, PAIR[0]),
    ],
)
def test_values_of_another_field_list_are_unreadable(fields: Fields) -> None:
    value = packed((NOW_MS, [1.0] * len(fields)), fields=fields)[0]
    assert is_unreadable(value)
    assert fingerprint(fields) != fingerprint(CUSTOMER)


@pytest.mark.parametrize("time", [-1, TIME_END_MS, -(2**63), 2**63 - 1])
def test_a_time_that_is_none_makes_the_value_unreadable(time: int) -> None:
    assert is_unreadable(packed((time, [1.0, 2.0, 3.0]))[0])
    assert is_unreadable(b'{"written_at": %d}' % time)


@pytest.mark.parametrize("infinite", [np.inf, -np.inf])
def test_an_infinite_number_makes_the_value_unreadable(infinite: float) -> None:
    assert is_unreadable(packed((NOW_MS, [1.0, infinite, 3.0]))[0])


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
objects = st.fixed_dictionaries(
    {},
    optional={
        "credit_limit": st.one_of(
            st.none(), st.booleans(), st.integers(-(2**53), 2**53), numbers.filter(np.isfinite)
        ),
        "segment": st.one_of(st.none(), texts),
        "born": st.one_of(st.none(), st.integers(0, 3000)),
        "written_at": st.one_of(st.none(), st.integers(0, TIME_END_MS - 1)),
        "other": st.recursive(st.none() | texts, lambda inner: st.lists(inner, max_size=3), max_leaves=5),
    },
)


@given(objects)
def test_a_json_object_is_read_by_its_names(given_: dict[str, Any]) -> None:
    found = one(msgspec.json.encode(given_))
    limit, segment, born = (given_.get(name) for name in ("credit_limit", "segment", "born"))
    want = [
        np.nan if limit is None else float(limit),
        hash_texts([segment])[0],
        np.nan if born is None else born,
    ]
    np.testing.assert_array_equal(found.values[0], np.array(want, np.float64))
    written_at = given_.get("written_at")
    assert found.written_at[0] == (NEVER if written_at is None else written_at)
    assert found.found[0]


@pytest.mark.parametrize(
    "value",
    [
        b'{"credit_limit": "5000"}',
        b'{"segment": 3}',
        b'{"segment": true}',
        b'{"written_at": "2018-08-08T07:12:33Z"}',
        b'{"written_at": 1533712353.5}',
        b'{"credit_limit": 1e999}',
        b'{"credit_limit": NaN}',
        b'{"credit_limit": [1]}',
        b'{"credit_limit": 1',
        b'{"credit_limit": 1} 2',
    ],
)
def test_json_of_other_types_is_unreadable(value: bytes) -> None:
    assert is_unreadable(value)


def test_json_beyond_its_limit_is_unreadable() -> None:
    value = b'{"born": 1990}'
    assert not is_unreadable(value.ljust(JSON_BYTES_MAX))
    assert is_unreadable(value.ljust(JSON_BYTES_MAX + 1))


def test_json_as_long_as_a_packed_value_is_still_json() -> None:
    value = b'{"born": 1990}'.ljust(lookup_bytes(CUSTOMER))
    np.testing.assert_array_equal(one(value).values[0], [np.nan, np.nan, 1990])


def test_a_text_is_the_number_that_rows_keep_of_it() -> None:
    events = batch([(NOW_MS, "gold", None)])
    kept = entry_values(DEFINITION, RowSchema("customer", RowKind.EVENTS, ("customer",)), events)[0, 0]
    values = [b'{"segment": "gold"}', *packed((NOW_MS, [1.0, kept, 2.0]))]
    assert decode_lookups(CUSTOMER, values).values[:, 1].tolist() == [kept, kept]


def test_the_bytes_and_the_program_in_the_contract_are_what_is_read() -> None:
    contract = CONTRACT.read_text(encoding="utf-8")
    fields = (replace(CUSTOMER[1], field="segment"), replace(CUSTOMER[0], field="credit_limit"))
    blocks = re.findall(r"```(\w*)\n(.*?)```", contract, re.DOTALL)
    shown = next(text for language, text in blocks if language == "")
    program: dict[str, Any] = {}
    exec(next(text for language, text in blocks if language == "python"), program)
    values = [
        bytes.fromhex("".join(line[:24] for line in shown.splitlines())),
        program["pack"](1533712353000, "gold", 5000),
        next(text for language, text in blocks if language == "json").encode(),
    ]
    found = decode_lookups(fields, values)
    assert values[0] == values[1]
    assert found.written_at.tolist() == [1533712353000] * 3
    assert found.values.tolist() == [[hash_texts(["gold"])[0], 5000.0]] * 3
