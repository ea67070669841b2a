"""History: events and labels from a file, in the canonical order that makes training reproducible."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features.arrays import Bools, Column, Floats, Ints
from features.codec import Entries
from features.definition.model import Definition, Field, RecordLabel
from features.event import HISTORY_PARTITION, EventBatch, entity_key, hash_ids, pack_positions
from features.rows import index_keys
from features.table import ColumnError, TableReader, Times, floats, strings

if TYPE_CHECKING:
    import pyarrow as pa

OBSERVED_AT = "observed_at"
"""A column of this name says when each label became known; without it, or at null, the label's delay does."""
ID_BYTES_MAX = 256
KEY_BYTES_MAX = 512
"""What live decoding holds ids and keys to; a test keeps the two alike."""


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

    Types need not be the declared ones (see `features.table`); times are Arrow timestamps, or written as
    the definition says. Fields are treated as live decoding treats them: clipped where the definition
    says so, and rows left out that would be rejected. Raises `HistoryError` naming every missing column at
    once, or the first value that means nothing.
    """
    wanted = [field.name for field in definition.fields]
    missing = [name for name in wanted if name not in table.column_names]
    if missing:
        raise HistoryError(
            f"the table lacks the columns {', '.join(missing)}; it has {', '.join(table.column_names)}: "
            "rename or add them"
        )
    try:
        return _read(definition, TableReader(definition, table))
    except ColumnError as error:
        raise HistoryError(str(error)) from None


def _read(definition: Definition, reader: TableReader) -> History:
    time = reader.times(definition.time.field)
    accepted = ~(time.missing | time.beyond)
    columns: dict[str, Column] = {}
    parts: dict[str, Sequence[str | None]] = {}
    keyed = {*definition.id_fields}.union(*(entity.fields for entity in definition.entities))
    for field in definition.fields:
        column, valid = _column(definition, field, reader, time)
        columns[field.name], passed = _checked(field, column)
        accepted &= valid & passed
        if field.name in keyed:
            parts[field.name] = strings(reader.declared(field))
    ids = _joined(parts, definition.id_fields)
    keys = {entity.name: _joined(parts, entity.fields) for entity in definition.entities}
    for name in definition.id_fields:
        accepted &= np.array([text not in (None, "") for text in parts[name]], np.bool_)
    accepted &= ~_longer(ids, ID_BYTES_MAX)
    for joined in keys.values():
        accepted &= ~_longer(joined, KEY_BYTES_MAX)

    labels, observed_at = _labels(definition, reader, time.values)
    kept = np.flatnonzero(accepted)
    order = kept[np.argsort(time.values[kept], kind="stable")]
    known_ids = [ids[i] or "" for i in order.tolist()]
    events = EventBatch(
        ids=known_ids,
        hashes=hash_ids(known_ids),
        times=time.values[order],
        positions=pack_positions(np.full(len(order), HISTORY_PARTITION), np.arange(len(order))),
        columns={name: column[order] for name, column in columns.items()},
        keys={name: [joined[i] for i in order.tolist()] for name, joined in keys.items()},
    )
    return History(events, labels[order], observed_at[order], len(accepted) - len(order))


def _column(
    definition: Definition, field: Field, reader: TableReader, time: Times
) -> tuple[Column, Bools | np.bool_]:
    """A field's values, and where they are possible in a live event."""
    if field.name == definition.time.field:
        return time.values.astype(np.float64), np.True_
    if field.type == "timestamp":
        times = reader.clock(field.name)
        return np.where(times.missing, np.nan, times.values.astype(np.float64)), ~times.beyond
    column = reader.declared(field)
    if field.type == "string":
        return np.array(strings(column), dtype=object), np.True_
    values = floats(column)
    return values, ~np.isinf(values)  # JSON has no infinity


def _checked(field: Field, column: Column) -> tuple[Column, Bools]:
    """The column, clipped where the field says so, and where its policies reject nothing."""
    passed = np.ones(len(column), np.bool_)
    if field.missing == "reject":
        is_text = column.dtype == object
        passed &= np.array([v is not None for v in column], np.bool_) if is_text else ~np.isnan(column)
    if field.minimum is None and field.maximum is None:
        return column, passed
    if field.out_of_range == "reject":
        low = -np.inf if field.minimum is None else field.minimum
        high = np.inf if field.maximum is None else field.maximum
        passed &= ~((column < low) | (column > high))
    clipped = np.clip(column, field.minimum, field.maximum) if field.out_of_range == "clip" else column
    return clipped, passed


def _joined(parts: Mapping[str, Sequence[str | None]], names: Sequence[str]) -> Sequence[str | None]:
    if len(names) == 1:
        return parts[names[0]]
    rows = zip(*(parts[name] for name in names), strict=True)
    return [None if None in texts else entity_key([t for t in texts if t is not None]) for texts in rows]


def _longer(texts: Sequence[str | None], bytes_max: int) -> Bools:
    return np.array([text is not None and len(text.encode()) > bytes_max for text in texts], np.bool_)


def _labels(definition: Definition, reader: TableReader, times: Ints) -> tuple[Floats, Ints]:
    """Labels (NaN: none), and when each became visible, which only rows with a label can say."""
    label, columns = definition.label, reader.table.column_names
    if not isinstance(label, RecordLabel) or label.field not in columns:
        return np.full(len(times), np.nan), times
    labels = _classes(label, reader) if label.classes else reader.numbers(label.field)
    default = times + label.delay
    if OBSERVED_AT not in columns:
        return labels, default
    observed_at = reader.times(OBSERVED_AT, ~np.isnan(labels))
    reader.refuse(OBSERVED_AT, observed_at.beyond, "is beyond what times may be")
    return labels, np.where(observed_at.missing, default, observed_at.values)


def _classes(label: RecordLabel, reader: TableReader) -> Floats:
    place = {name: float(at) for at, name in enumerate(label.classes)}
    names = reader.texts(label.field)
    unknown = sorted({name for name in names if name is not None and name not in place})
    if unknown:
        shown = "" if reader.is_personal(label.field) else f" {', '.join(unknown)}"
        raise HistoryError(f"column {label.field} has classes{shown} that `classes` does not list")
    return np.array([np.nan if name is None else place[name] for name in names], np.float64)
