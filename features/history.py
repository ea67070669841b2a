"""History: events and labels from a file, in the canonical order that makes training reproducible."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from features.arrays import Bools, Column, Floats, Ints
from features.codec import Entries
from features.definition.model import Definition, Field, RecordLabel
from features.event import HISTORY_PARTITION, EventBatch, entity_key, hash_ids, pack_positions
from features.rows import index_keys
from features.timestamps import INVALID, iso8601_times, local_times, numeric_times

if TYPE_CHECKING:
    import pyarrow as pa

OBSERVED_AT = "observed_at"
"""A column of this name says when each label became known; without it the label's delay does."""


class HistoryError(ValueError):
    """The file lacks a column of the definition, or holds values it cannot mean."""


@dataclass(frozen=True, slots=True)
class History:
    """n events sorted by (time, row of the file), and what became of them.

    Positions are (-1, rank in that order): a file says nothing of arrival beyond its order in time.
    """

    events: EventBatch
    labels: Floats
    """Shape (n,): the label (a class's index for multiclass); NaN where there is none."""
    observed_at: Ints
    """Shape (n,): when each label became visible, in the time unit."""
    rejected: int = 0
    """Rows of the file that were left out because live decoding would reject them."""

    def __len__(self) -> int:
        return len(self.events)

    def take(self, index: Ints) -> "History":
        """The history at `index`; positions stay what they were."""
        return History(self.events.take(index), self.labels[index], self.observed_at[index], self.rejected)

    def label_entries(self, entity: str) -> Entries:
        """One entry per known label, its row numbered as `index_keys(events.keys[entity])` does."""
        row = index_keys(self.events.keys[entity]).of_event
        known = np.flatnonzero(~np.isnan(self.labels) & (row >= 0))
        return Entries(
            row=row[known],
            times=self.events.times[known],
            ids=self.events.hashes[known],
            marks=self.observed_at[known].view(np.uint64),
            values=self.labels[known].reshape(-1, 1),
        )


def history_from_table(definition: Definition, table: "pa.Table") -> History:
    """Read a table whose columns are the definition's fields and, for labels by record, the label's field.

    Ids and keys may be numbers (they are read as text); times are Arrow timestamps, or written as the
    definition says. Fields are treated as live decoding treats them: clipped where the definition says so,
    and rows left out that would be rejected. Raises `HistoryError` naming every missing column at once.
    """
    label = definition.label if isinstance(definition.label, RecordLabel) else None
    wanted = [field.name for field in definition.fields]
    missing = [name for name in wanted if name not in table.column_names]
    if missing:
        raise HistoryError(
            f"the table lacks the columns {', '.join(missing)}; it has {', '.join(table.column_names)}: "
            "rename or add them"
        )
    times = _times(definition, table)
    accepted = np.flatnonzero(_accepted(definition, table))
    order = accepted[np.argsort(times[accepted], kind="stable")]
    rejected = len(times) - len(order)
    table, times = table.take(order), times[order]
    texts = _Texts(table)
    columns = {field.name: _column(definition, field, table, times) for field in definition.fields}
    ids = texts.joined(definition.id_fields)
    if any(i is None for i in ids):
        raise HistoryError(
            f"the table has rows without {', '.join(definition.id_fields)}: every event needs its id"
        )
    events = EventBatch(
        ids=[i for i in ids if i is not None],
        hashes=hash_ids(i for i in ids if i is not None),
        times=times,
        positions=pack_positions(np.full(len(times), HISTORY_PARTITION), np.arange(len(times))),
        columns=columns,
        keys={entity.name: texts.joined(entity.fields) for entity in definition.entities},
    )
    labels = np.full(len(times), np.nan)
    observed_at = times.copy()
    if label is not None and label.field in table.column_names:
        labels = _labels(label, table)
        observed_at = times + label.delay
        if OBSERVED_AT in table.column_names:
            observed_at = _clock_ms(definition, table, OBSERVED_AT)
    return History(events, labels, observed_at, rejected)


def _accepted(definition: Definition, table: "pa.Table") -> Bools:
    """Which rows live decoding would take: no field missing or out of range whose policy is to reject."""
    accepted = np.ones(len(table), np.bool_)
    for field in definition.fields:
        column = table.column(field.name)
        if field.missing == "reject":
            accepted &= np.asarray(column.is_valid().to_numpy())
        if field.out_of_range == "reject" and (field.minimum is not None or field.maximum is not None):
            numbers = _numbers(column)
            low = -np.inf if field.minimum is None else field.minimum
            high = np.inf if field.maximum is None else field.maximum
            accepted &= ~((numbers < low) | (numbers > high))
    return accepted


class _Texts:
    """Columns as text, each converted once."""

    def __init__(self, table: "pa.Table") -> None:
        self._table = table
        self._made: dict[str, list[str | None]] = {}

    def of(self, name: str) -> list[str | None]:
        if name not in self._made:
            import pyarrow as pa  # noqa: PLC0415  only offline code needs Arrow; the scorer must not load it

            self._made[name] = self._table.column(name).cast(pa.string()).to_pylist()
        return self._made[name]

    def joined(self, names: tuple[str, ...]) -> list[str | None]:
        if len(names) == 1:
            return self.of(names[0])
        parts = zip(*(self.of(name) for name in names), strict=True)
        return [None if None in part else entity_key([p for p in part if p is not None]) for part in parts]


def _times(definition: Definition, table: "pa.Table") -> Ints:
    name = definition.time.field
    column = table.column(name)
    if column.null_count:
        raise HistoryError(f"column {name} has {column.null_count} empty values: every event needs its time")
    if definition.time.is_sequence:
        return np.asarray(column.to_numpy(), dtype=np.int64)
    return _clock_ms(definition, table, name)


def _clock_ms(definition: Definition, table: "pa.Table", name: str) -> Ints:
    """A column of times as ms since the epoch; `HistoryError` for a value that is none."""
    import pyarrow as pa  # noqa: PLC0415  as above

    column = table.column(name)
    unit = definition.time.unit or "iso8601"
    if pa.types.is_timestamp(column.type):
        whole = column.cast(pa.timestamp("ms", column.type.tz), safe=False).cast(pa.int64())
        local = np.asarray(whole.to_numpy(), dtype=np.int64)
        return local if column.type.tz else local_times(local, definition.timezone)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        times = iso8601_times([text or "" for text in column.to_pylist()], definition.timezone)
    elif unit != "iso8601":
        times = numeric_times(column.to_pylist(), unit)
    else:
        raise HistoryError(f"column {name} is {column.type}: an ISO 8601 time is a timestamp or a text")
    bad = np.flatnonzero(times == INVALID)
    if len(bad):
        raise HistoryError(
            f"column {name}: row {bad[0]} ({column[int(bad[0])]}) is no time, and {len(bad) - 1} more"
        )
    return times


def _column(definition: Definition, field: Field, table: "pa.Table", times: Ints) -> Column:
    import pyarrow as pa  # noqa: PLC0415  as above

    if field.name == definition.time.field:
        return times.astype(np.float64)
    column = table.column(field.name)
    if field.type == "string":
        return np.array(column.cast(pa.string()).to_pylist(), dtype=object)
    if field.type == "timestamp":
        known = column.is_valid().to_numpy()
        values = np.full(len(table), np.nan)
        index = np.flatnonzero(known)
        values[index] = _clock_ms(definition, table.take(index), field.name)
        return values
    numbers = _numbers(column)
    return np.clip(numbers, field.minimum, field.maximum) if field.out_of_range == "clip" else numbers


def _numbers(column: "pa.ChunkedArray[Any]") -> Floats:
    import pyarrow as pa  # noqa: PLC0415  as above

    return np.array(column.cast(pa.float64()).to_numpy(), dtype=np.float64)


def _labels(label: RecordLabel, table: "pa.Table") -> Floats:
    import pyarrow as pa  # noqa: PLC0415  as above

    column = table.column(label.field)
    if not label.classes:
        return np.array(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
    place = {name: float(at) for at, name in enumerate(label.classes)}
    names = column.cast(pa.string()).to_pylist()
    unknown = sorted({name for name in names if name is not None and name not in place})
    if unknown:
        raise HistoryError(
            f"column {label.field} has the classes {', '.join(unknown)}, which `classes` does not list"
        )
    return np.array([np.nan if name is None else place[name] for name in names])
