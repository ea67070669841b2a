"""Columns of an Arrow table, read as what the definition declares them to be.

A column may be of another type than its field as long as every value means one of the declared type:
whole floats for an int64 (integers with nulls are often held so), 0 and 1 for a bool, numbers for a
string. NaN is null.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from features.arrays import Bools, Floats, Ints
from features.definition.model import Definition, Field, TimeUnit
from features.timestamps import INVALID, PATTERN, TIME_END_MS, iso8601_times, local_times, numeric_times

if TYPE_CHECKING:
    import pyarrow as pa

    Chunked: TypeAlias = pa.ChunkedArray[Any]

SEQUENCE_MAX = 2**53 - 1
"""What live decoding holds sequence numbers to; a test keeps the two alike."""
_SHAPE = re.compile(PATTERN)


class ColumnError(ValueError):
    """A value that means nothing of the declared type. Names column and row, but no personal value."""


@dataclass(frozen=True, slots=True)
class Times:
    """A column of times in the time unit, shape (n,)."""

    values: Ints
    """0 where there is none."""
    missing: Bools
    beyond: Bools
    """Where there is one, but outside of what a live event may have."""


@dataclass(frozen=True, slots=True)
class TableReader:
    """Reads columns by name; its methods raise `ColumnError`."""

    definition: Definition
    table: "pa.Table"
    first_row: int = 0
    """The number in its file of the table's first row."""

    def declared(self, field: Field) -> "Chunked":
        """A field's column as the field's type; no timestamp."""
        import pyarrow as pa  # noqa: PLC0415  only offline code needs Arrow; the scorer must not load it

        if field.type == "string":
            return self._text(field.name)
        column = self._present(field.name)
        if field.type == "bool" and not _is_text(column):
            column = self._cast(field.name, column, pa.int64())
            values = floats(column)
            odd = np.flatnonzero(~np.isnan(values) & (values != 0) & (values != 1))
            if len(odd):
                raise self._error(field.name, int(odd[0]), "is no bool: write true and false, or 1 and 0")
        types: dict[str, pa.DataType] = {"int64": pa.int64(), "float64": pa.float64()}
        return self._cast(field.name, column, types.get(field.type, pa.bool_()))

    def numbered(self, field: Field) -> "Chunked":
        """A field's column as texts; as integers where it holds integers, since their texts say no more."""
        import pyarrow as pa  # noqa: PLC0415  as above

        if field.type == "string" and pa.types.is_integer(self.table.column(field.name).type):
            return self.table.column(field.name)
        column = self.declared(field)
        return column if pa.types.is_integer(column.type) else column.cast(pa.string())

    def keys(self, field: Field) -> "Chunked":
        """A field's column as texts, each distinct integer of it written once."""
        import pyarrow as pa  # noqa: PLC0415  as above

        column = self.table.column(field.name)
        if field.type != "string" or not pa.types.is_integer(column.type):
            return self.declared(field).cast(pa.string())
        chunks: list[Any] = column.dictionary_encode().chunks
        texts: Any = [
            pa.DictionaryArray.from_arrays(c.indices, c.dictionary.cast(pa.string())) for c in chunks
        ]
        kind: Any = pa.dictionary(pa.int32(), pa.string())
        encoded: Chunked = pa.chunked_array(texts, kind)
        return encoded

    def texts(self, name: str) -> list[str | None]:
        """A column of names."""
        return strings(self._text(name))

    def numbers(self, name: str) -> Floats:
        """A column of numbers or truth values; NaN is null."""
        import pyarrow as pa  # noqa: PLC0415  as above

        return floats(self._cast(name, self._present(name), pa.float64()))

    def times(self, name: str, where: Bools | None = None) -> Times:
        """A column of event times, in the time unit; only those at `where`, if given."""
        return self._sequence(name, where) if self.definition.time.is_sequence else self.clock(name, where)

    def clock(self, name: str, where: Bools | None = None, unit: TimeUnit | None = None) -> Times:
        """A column of timestamps as ms since the epoch. What is not even written as one is an error.

        unit: that of numbers, if it is not the definition's.
        """
        import pyarrow as pa  # noqa: PLC0415  as above

        column = self._present(name, where)
        missing = are_null(column)
        unit, timezone = unit or self.definition.time.unit or "iso8601", self.definition.timezone
        if pa.types.is_null(column.type):
            times = np.zeros(len(column), np.int64)
        elif pa.types.is_timestamp(column.type):
            times = _timestamps(column, timezone)
        elif _is_text(column):
            times = self._written(name, strings(column), timezone)
        elif unit != "iso8601":
            numbers = self._cast(name, column, pa.int64() if unit == "us" else pa.float64())
            times = numeric_times(numbers.to_pylist(), unit)
        else:
            raise ColumnError(f"column {name} is {column.type}: an ISO 8601 time is a timestamp or a text")
        if missing.any():
            times = np.where(missing, 0, times)
        return Times(times, missing, times == INVALID)

    def refuse(self, name: str, bad: Bools, cause: str) -> None:
        """`ColumnError` for the first of `bad`, if there is one."""
        rows = np.flatnonzero(bad)
        if len(rows):
            raise self._error(name, int(rows[0]), f"{cause}, and {len(rows) - 1} more")

    def is_personal(self, name: str) -> bool:
        return any(field.personal for field in self.definition.fields if field.name == name)

    def _sequence(self, name: str, where: Bools | None) -> Times:
        import pyarrow as pa  # noqa: PLC0415  as above

        column = self._cast(name, self._present(name, where), pa.int64())
        numbers = _integers(column)
        return Times(numbers, are_null(column), (numbers > SEQUENCE_MAX) | (numbers < -SEQUENCE_MAX))

    def _written(self, name: str, texts: list[str | None], timezone: str) -> Ints:
        times = iso8601_times([text or "" for text in texts], timezone)
        bad = np.zeros(len(texts), np.bool_)
        for row in np.flatnonzero(times == INVALID).tolist():
            text = texts[row]
            bad[row] = text is not None and _SHAPE.fullmatch(text) is None
        self.refuse(name, bad, "is no time")
        return times

    def _text(self, name: str) -> "Chunked":
        import pyarrow as pa  # noqa: PLC0415  as above

        column = self._present(name)
        if pa.types.is_floating(column.type):
            column = self._cast(name, column, pa.int64())
        return self._cast(name, column, pa.string())

    def _present(self, name: str, where: Bools | None = None) -> "Chunked":
        """The column with NaN, and what is not `where`, as null."""
        import pyarrow as pa  # noqa: PLC0415  as above

        column = self.table.column(name)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        kept = np.ones(len(column), np.bool_) if where is None else where
        if pa.types.is_floating(column.type):
            kept = kept & ~np.isnan(floats(column.cast(pa.float64())))
        if kept.all():
            return column
        # A null among the places gives a null.
        return column.take(pa.array(np.arange(len(column)), pa.int64(), mask=~kept))

    def _cast(self, name: str, column: "Chunked", to: "pa.DataType") -> "Chunked":
        """Exactly, but for floats, which are rounded as JSON's numbers are."""
        import pyarrow as pa  # noqa: PLC0415  as above

        safe = not pa.types.is_floating(to)
        try:
            return column.cast(to, safe=safe)
        except pa.ArrowNotImplementedError:
            raise ColumnError(f"column {name} is {column.type}: it cannot be read as {to}") from None
        except pa.ArrowInvalid:
            row = _first_misfit(column, to, safe=safe)
        raise self._error(name, row, f"is no {to}; the column is {column.type}")

    def _error(self, name: str, row: int, cause: str) -> ColumnError:
        value = "personal" if self.is_personal(name) else repr(self.table.column(name)[row].as_py())
        return ColumnError(f"column {name}: row {self.first_row + row} ({value}) {cause}")


def strings(column: "Chunked") -> list[str | None]:
    """The texts in which values stand in ids and keys: integers exact, true and false."""
    import pyarrow as pa  # noqa: PLC0415  as above

    texts: list[str | None] = column.cast(pa.string()).to_pylist()
    return texts


def floats(column: "Chunked") -> Floats:
    """NaN is null."""
    import pyarrow as pa  # noqa: PLC0415  as above

    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)


def _integers(column: "Chunked") -> Ints:
    """Exact; 0 is null."""
    if column.null_count:  # numpy would have them as floats, which are not exact
        return np.array([0 if value is None else value for value in column.to_pylist()], dtype=np.int64)
    return np.asarray(column.to_numpy(), dtype=np.int64)


def are_null(column: "Chunked") -> Bools:
    return ~np.asarray(column.is_valid().to_numpy(), np.bool_)


def _is_text(column: "Chunked") -> bool:
    import pyarrow as pa  # noqa: PLC0415  as above

    return pa.types.is_string(column.type) or pa.types.is_large_string(column.type)


def _timestamps(column: "Chunked", timezone: str) -> Ints:
    """Arrow timestamps as ms since the epoch, `INVALID` where out of range; without a zone they are local."""
    import pyarrow as pa  # noqa: PLC0415  as above

    whole = column.cast(pa.timestamp("ms", column.type.tz), safe=False).cast(pa.int64())
    times = _integers(whole)
    valid = (times >= 0) & (times < TIME_END_MS)
    if not column.type.tz:
        times = local_times(np.where(valid, times, 0), timezone)
        valid &= (times >= 0) & (times < TIME_END_MS)
    return np.where(valid, times, INVALID)


def _first_misfit(column: "Chunked", to: "pa.DataType", *, safe: bool) -> int:
    """The first row that cannot be cast, found by halves."""
    import pyarrow as pa  # noqa: PLC0415  as above

    start, end = 0, len(column)
    while end - start > 1:
        middle = (start + end) // 2
        try:
            column.slice(start, middle - start).cast(to, safe=safe)
            start = middle
        except pa.ArrowInvalid:
            end = middle
    return start
