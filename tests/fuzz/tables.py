"""Tables of history: offline, the same rows are events as in the stream, with the same values."""

import re
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from features.definition.model import Definition, Field
from features.past.columns import EventColumns, read_columns
from features.past.table import ColumnError, TableReader
from features.past.texts import Texts
from features.timestamps import PATTERN
from tests.fuzz.drawing import Drawing
from tests.fuzz.events import EVENT_DECODERS, EVENTS
from tests.stream.definitions import ORDER_MS, records

ROWS_MAX = 4
PIECES = ("", "a", "é", "\x1f", "\\", "x" * 86, "é" * 43, "\x00", "7", "𝄞")
DAYS = (
    "1970-01-01",
    "2024-02-29",
    "2023-02-29",
    "2024-03-31",
    "2024-10-27",
    "9999-12-31",
    "1969-12-31",
    "0000-01-01",
)
ZONES = ("", "Z", "+02:00", "-2359", "+24", "z")
WHOLE = (0, 1, -1, ORDER_MS, 2**53 - 1, 2**53, -(2**53), 2**53 + 1, 2**63 - 1, -(2**63), 253_402_300_800_000)
FLOATS = (
    0.0,
    -0.0,
    1.0,
    1e300,
    5e-324,
    0.1,
    1.001,
    ORDER_MS / 1000,
    float(ORDER_MS),
    253_402_300_799.9995,
    50.0,
    1e3,
)


def tables(data: bytes) -> None:
    """Byte 0: the use case; then rows, field by field, and how the table holds them."""
    draw = Drawing(data)
    at = draw.below(len(EVENTS))
    definition = EVENTS[at]
    rows = [
        {field.name: _value(draw, definition, field) for field in definition.fields}
        for _ in range(1 + draw.below(ROWS_MAX))
    ]
    decoded = EVENT_DECODERS[at].decode(records([msgspec.json.encode(row) for row in rows]))
    columns = {f.name: _array(draw, definition, f, [row[f.name] for row in rows]) for f in definition.fields}
    wanted = {field.name for field in definition.fields}
    try:
        found, places = read_columns(definition, TableReader(definition, pa.table(columns)), wanted)
    except ColumnError:
        # What is not even written as a time is a mistake of the whole file.
        clocks = [f.name for f in definition.fields if f.type == "timestamp"]
        texts = [row[name] for row in rows for name in clocks if isinstance(row[name], str)]
        assert not all(re.fullmatch(PATTERN, text) for text in texts)
        return
    assert places.tolist() == decoded.index.tolist(), (rows, decoded.rejected)
    live = decoded.events
    assert list(Texts(found.ids)) == list(live.ids)
    np.testing.assert_array_equal(found.times, live.times)
    for name, column in live.columns.items():
        np.testing.assert_array_equal(found.columns[name], column, err_msg=name)
    for name, keys in live.keys.items():
        assert _texts(found, name) == list(keys)


def table_seeds() -> list[bytes]:
    """Rows of each use case that draw this and that."""
    return [bytes([at, 3, *((7 * i * (at + 3)) % 251 for i in range(120))]) for at in range(len(EVENTS))]


def _texts(found: EventColumns, entity: str) -> list[str | None]:
    held: Any = found.keys[entity]
    return list(held.cast(pa.string()).to_pylist())


def _value(draw: Drawing, definition: Definition, field: Field) -> Any:
    """Of the field's JSON type, or None."""
    kind = draw.below(8)
    if kind == 0:
        return None
    if field.type == "string":
        return "".join(draw.choice(PIECES) for _ in range(draw.below(5))) if kind > 1 else "order"
    if field.type == "bool":
        return draw.flag()
    is_time = field.name == definition.time.field or field.type == "timestamp"
    unit = definition.time.unit
    if field.type == "int64" or (is_time and unit == "us"):
        return draw.choice(WHOLE) if kind < 5 else draw.int64() if kind == 5 else draw.below(1_000)
    if is_time and unit == "iso8601":
        return _date_time(draw)
    number = draw.choice(FLOATS) if kind < 6 else draw.float64()
    return number if np.isfinite(number) else None


def _date_time(draw: Drawing) -> str:
    hour, minute, second = draw.below(26), draw.below(62), draw.below(62)
    clock = f"{hour:02}:{minute:02}" + (f":{second:02}" if draw.flag() else "")
    fraction = draw.choice(("", ".5", ",123456789", ".9999", "."))
    return draw.choice(DAYS) + draw.choice(("T", " ")) + clock + fraction + draw.choice(ZONES)


def _array(draw: Drawing, definition: Definition, field: Field, values: list[Any]) -> Any:
    """The values as one of the types that a file may hold them in."""
    unit = definition.time.unit
    if field.type == "timestamp" and unit not in (None, "iso8601"):
        return pa.array(values, pa.int64() if unit == "us" else pa.float64())
    if field.type in ("string", "timestamp"):
        kinds = (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()))
        plain = pa.array(values, pa.string())
        return plain.cast(kinds[draw.below(3 if field.type == "string" else 2)])
    if field.type == "bool":
        return pa.array(values, pa.bool_()).cast(pa.int8() if draw.flag() else pa.bool_())
    if field.type == "int64" and draw.flag() and all(v is None or abs(v) < 2**53 for v in values):
        return pa.array([None if v is None else float(v) for v in values], pa.float64())
    return pa.array(values, pa.int64() if field.type == "int64" else pa.float64())
