"""History is read as live records are decoded: the same events, and the same ones left out."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.definition import parse_definition
from features.definition.model import Definition
from features.event import hash_ids
from features.golden import golden_inputs, golden_matrix
from features.past.columns import ID_BYTES_MAX, KEY_BYTES_MAX
from features.past.history import HistoryError, history_from_table
from features.past.offline import point_in_time_matrix
from features.past.table import SEQUENCE_MAX
from stream.pipeline import validate
from stream.pipeline.decode import Decoder
from stream.records import RecordBatch

NOW = 1_700_000_000_000
FIELDS = """
    shop: string
    number: {type: int64, personal: true}
    at: %s
    seen: {type: timestamp, missing: allow}
    till: {type: int64, missing: allow}
    open: {type: bool, missing: allow}
    amount: {type: float64, min: 0, max: 10, out_of_range: clip, missing: allow}
    weight: {type: float64, min: 0, max: 10, out_of_range: reject, missing: reject}
    tip: {type: float64, min: 0, max: 10, out_of_range: reject, missing: {default: 2.5}}
    gift: {type: bool, missing: {default: true}}
    note: {type: string, missing: {default: none}}
"""


def sales(time: str = "{field: at, unit: ms}", kind: str = "timestamp", delay: str = "1s") -> Definition:
    return parse_definition(
        f"""
name: sales
task: binary
event:
  id: [shop, number]
  time: {time}
  timezone: America/New_York
  fields: {FIELDS % kind}
entities: {{shop: shop, till: [shop, till, open]}}
label: {{field: bad, delay: {delay}}}
history: none
features: [{{fields: [amount]}}, {{window: {{entity: till, spans: [3 events], aggregates: [count]}}}}]
rules: [{{otherwise: 0.1}}]
decisions: [{{otherwise: go}}]
""",
        "sales.yaml",
    )


CLOCK = sales()
TEXTS = sales("{field: at, unit: iso8601}")
STEPS = sales("{sequence: at, per: shop}", "int64", "5")
SALE: dict[str, Any] = {
    "shop": "a", "number": 1, "at": NOW, "seen": NOW, "till": 10_000_000_000, "open": True,
    "amount": 1.0, "weight": 1.0, "tip": 1.0, "gift": False, "note": "a",
}  # fmt: skip
TYPES: dict[str, pa.DataType] = {
    "shop": pa.string(), "number": pa.int64(), "till": pa.int64(), "open": pa.bool_(),
    "amount": pa.float64(), "weight": pa.float64(), "tip": pa.float64(), "gift": pa.bool_(),
    "note": pa.string(),
}  # fmt: skip


def table(rows: list[dict[str, Any]], **types: pa.DataType) -> pa.Table:
    """The rows as a table; columns are of the declared types but for `types`."""
    columns: dict[str, pa.Array[Any]] = {}
    for name in SALE:
        values = [row.get(name) for row in rows]
        if name in types and pa.types.is_floating(types[name]):
            values = [None if value is None else float(value) for value in values]
        kind = types.get(name, TYPES.get(name))
        columns[name] = pa.array(values) if kind is None else pa.array(values, kind)
    return pa.table(columns)


def assert_live(definition: Definition, rows: list[dict[str, Any]], file: pa.Table) -> None:
    """Both ways the same events, up to the order, which in history is that of time."""
    n = len(rows)
    values: list[bytes | None] = [msgspec.json.encode(row) for row in rows]
    records = RecordBatch(
        "t", np.zeros(n, np.int64), np.arange(n), np.full(n, -1), [None] * n, values, lambda _: []
    )
    decoded = Decoder(definition, future_limit_ms=0).decode(records)
    live = decoded.events.take(np.argsort(decoded.events.times, kind="stable"))
    history = history_from_table(definition, file)
    assert history.events.ids == live.ids
    assert history.events.keys == live.keys
    assert history.rejected == len(decoded.rejected)
    np.testing.assert_array_equal(history.events.hashes, live.hashes)
    np.testing.assert_array_equal(history.events.times, live.times)
    for name, column in live.columns.items():
        np.testing.assert_array_equal(history.events.columns[name], column, err_msg=name)


_NUMBERS = st.sampled_from([None, 0.0, -0.5, 5.5, 10.0, 1e300, -1e-9])
_STEPS = st.sampled_from([None, 0, 7, -7, 2**53 - 1, 2**53, -(2**53)])
_MS = st.sampled_from([None, 0, NOW, NOW + 1, -1, 253_402_300_799_999, 253_402_300_800_000])
_ROW: dict[str, st.SearchStrategy[Any]] = {
    "shop": st.sampled_from([None, "", "a", "é\x1f\\", "x" * 250, "x" * 257, "é" * 400]),
    "number": st.sampled_from([None, 0, -3, 10_000_000_000, 2**52 + 1]),
    "till": st.sampled_from([None, 0, 10_000_000_000]),
    "open": st.sampled_from([None, True, False]),
    "amount": _NUMBERS,
    "weight": _NUMBERS,
    "tip": _NUMBERS,
    "gift": st.sampled_from([None, True, False]),
    "note": st.sampled_from([None, "", "b"]),
}
_HELD = st.fixed_dictionaries(
    {},
    optional={
        "shop": st.sampled_from([pa.large_string(), pa.dictionary(pa.int32(), pa.string())]),
        "number": st.just(pa.float64()),
        "till": st.sampled_from([pa.float64(), pa.string()]),
        "open": st.sampled_from([pa.float64(), pa.int8()]),
    },
)


def held(rows: list[dict[str, Any]], types: dict[str, pa.DataType]) -> pa.Table:
    odd = {name: kind for name, kind in types.items() if not pa.types.is_string(kind) and name != "open"}
    whole = table(rows, **odd)
    for name in set(types) - set(odd):
        place = whole.column_names.index(name)
        whole = whole.set_column(place, name, whole.column(name).cast(types[name]))
    return whole


@given(st.lists(st.fixed_dictionaries({**_ROW, "at": _MS, "seen": _MS}), min_size=1, max_size=6), _HELD)
def test_a_file_gives_what_the_same_rows_give_live(
    rows: list[dict[str, Any]], types: dict[str, pa.DataType]
) -> None:
    assert_live(CLOCK, rows, held(rows, types))


@given(st.lists(st.fixed_dictionaries({**_ROW, "at": _STEPS}), min_size=1, max_size=6), _HELD)
def test_a_file_under_sequence_time_gives_what_the_same_rows_give_live(
    rows: list[dict[str, Any]], types: dict[str, pa.DataType]
) -> None:
    assert_live(STEPS, rows, held(rows, types))


ZONED = ["2024-07-01T12:00:00Z", "2024-01-01T12:00:00.25+02:00", "1970-01-01T00:00:00+01:00"]
LOCAL = ["2024-07-01T12:00:00", "2024-01-01T12:00:00.250", "1969-12-31T23:00:00", "1970-01-01T00:00:00"]


@pytest.mark.parametrize("texts", [ZONED, LOCAL])
def test_texts_and_arrow_timestamps_are_the_times_they_are_live(texts: list[str]) -> None:
    rows = [{**SALE, "number": i, "at": text, "seen": text} for i, text in enumerate(texts)]
    assert_live(TEXTS, rows, table(rows, at=pa.string(), seen=pa.string()))
    moments = [datetime.fromisoformat(text) for text in texts]
    zone = "UTC" if texts is ZONED else None
    moments = [m.astimezone(UTC) if zone else m for m in moments]
    file = table([{**row, "at": m, "seen": m} for row, m in zip(rows, moments, strict=True)],
                 at=pa.timestamp("us", zone), seen=pa.timestamp("us", zone))  # fmt: skip
    assert_live(TEXTS, rows, file)


def test_a_default_stands_in_for_what_is_missing() -> None:
    rows = [{**SALE, "number": 1, "tip": None, "gift": None, "note": None}, {**SALE, "number": 2}]
    columns = history_from_table(CLOCK, table(rows)).events.columns
    assert columns["tip"].tolist() == [2.5, 1]
    assert columns["gift"].tolist() == [1, 0]
    assert columns["note"].tolist() == ["none", "a"]
    assert_live(CLOCK, rows, table(rows))


def test_nan_is_null_and_infinity_no_number() -> None:
    rows = [{**SALE, "number": i, "amount": v} for i, v in enumerate([np.nan, np.inf, 3.0])]
    history = history_from_table(CLOCK, table([*rows, {**SALE, "weight": np.nan}]))
    np.testing.assert_array_equal(history.events.columns["amount"], [np.nan, 3.0])
    assert history.rejected == 2


def test_the_limits_are_those_of_live_decoding() -> None:
    assert ID_BYTES_MAX == validate.ID_BYTES_MAX
    assert KEY_BYTES_MAX == validate.KEY_BYTES_MAX
    assert SEQUENCE_MAX == validate.SEQUENCE_MAX


@pytest.mark.parametrize(
    ("name", "column", "match"),
    [
        ("till", pa.array([1.0, None, 2.5]), r"column till: row 2 \(2\.5\) is no int64"),
        ("till", pa.array(["1", "2", "many"]), r"column till: row 2 \('many'\) is no int64"),
        ("open", pa.array([0, 1, 2]), r"column open: row 2 \(2\) is no bool"),
        ("number", pa.array([1.0, 2.0, 77.5]), r"column number: row 2 \(personal\) is no int64"),
        (
            "seen",
            pa.array(["2024-01-01T00:00:00", None, "soon"]),
            r"column seen: row 2 \('soon'\) is no time",
        ),
        ("weight", pa.array([[1], [2], [3]]), r"column weight is list.*: it cannot be read as double"),
    ],
)
def test_a_value_of_no_such_type_is_named_but_not_if_it_is_personal(
    name: str, column: "pa.Array[Any]", match: str
) -> None:
    file = table([{**SALE, "number": i} for i in range(3)])
    with pytest.raises(HistoryError, match=match) as caught:
        history_from_table(CLOCK, file.set_column(file.column_names.index(name), name, column))
    assert "77" not in str(caught.value)


def observed(definition: Definition, labels: list[bool | None], column: "pa.Array[Any]") -> list[int]:
    start = NOW if definition is CLOCK else 1
    file = table([{**SALE, "number": i, "at": start + i, "seen": None} for i in range(len(labels))])
    file = file.append_column("bad", pa.array(labels, pa.bool_())).append_column("observed_at", column)
    times: list[int] = history_from_table(definition, file).observed_at.tolist()
    return times


@pytest.mark.parametrize(
    "column",
    [
        pa.array([NOW + 9, None, None], pa.timestamp("ms", "UTC")),
        pa.array([NOW + 9, None, 5]),
        pa.array([NOW + 9.0, np.nan, np.nan]),
        pa.array(["2023-11-14T22:13:20.009Z", None, "not known"]),
    ],
)
def test_a_label_of_unknown_observation_is_visible_after_its_delay(column: "pa.Array[Any]") -> None:
    assert observed(CLOCK, [True, False, None], column) == [NOW + 9, NOW + 1001, NOW + 1002]


def test_observation_under_sequence_time_is_a_number() -> None:
    assert observed(STEPS, [True, False, None], pa.array([3, None, 4])) == [3, 7, 8]


@pytest.mark.parametrize(("definition", "column"), [(CLOCK, [-1]), (STEPS, [2**53])])
def test_an_impossible_observation_is_refused(definition: Definition, column: list[int]) -> None:
    with pytest.raises(HistoryError, match=r"column observed_at: row 0 .* is beyond"):
        observed(definition, [True], pa.array(column))


def test_golden_cases_do_not_tell_personal_ids_and_their_features_stay() -> None:
    rows = [{**SALE, "shop": "anna@x.org", "number": 7000 + i, "at": NOW + i // 2} for i in range(8)]
    again = [{**rows[3], "at": NOW + 9}]
    history = history_from_table(CLOCK, table([*rows, *again]))
    index = np.array([8, 5, 3])
    inputs = golden_inputs(CLOCK, history, index)
    assert [case["id"] for case in inputs] == ["case-0", "case-1", "case-2"]
    assert "700" not in str([case["id"] for case in inputs] + [case["fields"]["number"] for case in inputs])
    events, matrix = golden_matrix(CLOCK, inputs)
    np.testing.assert_array_equal(events.hashes, hash_ids(events.ids))
    np.testing.assert_array_equal(matrix, point_in_time_matrix(CLOCK, history, index))
