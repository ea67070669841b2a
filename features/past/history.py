"""History: events and labels from a file, in the canonical order that makes training reproducible."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from features.arrays import Floats, Ints, UInts
from features.codec import Entries
from features.definition.model import Definition
from features.event import HISTORY_PARTITION, EventBatch, hash_ids, pack_positions
from features.lookup.history import LookupHistory
from features.past.columns import read_columns
from features.past.table import ColumnError, TableReader, strings
from features.rows import index_keys

if TYPE_CHECKING:
    import pyarrow as pa


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
    lookups: Mapping[str, LookupHistory] = field(default_factory=dict)
    """What others had written, by entity."""

    def __len__(self) -> int:
        return len(self.events)

    def take(self, index: Ints) -> "History":
        """The history at `index`; positions stay what they were."""
        return replace(
            self,
            events=self.events.take(index),
            labels=self.labels[index],
            observed_at=self.observed_at[index],
        )

    def lookup_columns(self) -> dict[str, Floats]:
        """Every lookup feature as it was at each event: shape (n,) by name, as `FeaturePlan` takes them."""
        columns: dict[str, Floats] = {}
        for entity, history in self.lookups.items():
            columns |= history.columns(self.events.keys[entity], self.events.times)
        return columns

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


def history_from_table(definition: Definition, table: "pa.Table", first_row: int = 0) -> History:
    """Read a table whose columns are the definition's fields and, for labels by record, the label's field.

    Types need not be the declared ones (see `features.past.table`); times are Arrow timestamps, or written as
    the definition says. Fields are treated as live decoding treats them: clipped where the definition
    says so, and rows left out that would be rejected. first_row: of a file that is read in parts, how many
    rows come before. Raises `HistoryError` naming every missing column at once, or the first value that
    means nothing.
    """
    check_columns(definition, table.column_names)
    wanted = {field.name for field in definition.fields}
    try:
        read, _ = read_columns(definition, TableReader(definition, table, first_row), wanted)
    except ColumnError as error:
        raise HistoryError(str(error)) from None
    rejected = table.num_rows - len(read)
    read = read.take(np.argsort(read.times, kind="stable"))
    ids = [text or "" for text in strings(read.ids)]
    events = EventBatch(
        ids=ids,
        hashes=hash_ids(ids),
        times=read.times,
        positions=history_positions(first_row, len(read)),
        columns=read.columns,
        keys={name: strings(keys) for name, keys in read.keys.items()},
    )
    return History(events, read.labels, read.observed_at, rejected)


def check_columns(definition: Definition, names: Sequence[str]) -> None:
    """Raises `HistoryError` where a table with columns of these `names` lacks fields of the definition."""
    missing = [field.name for field in definition.fields if field.name not in names]
    if missing:
        raise HistoryError(
            f"the table lacks the columns {', '.join(missing)}; it has {', '.join(names)}: rename or add them"
        )


def history_positions(first: int, n: int) -> UInts:
    """The positions of n events of history, `first` of which come before them in time."""
    return pack_positions(np.array([HISTORY_PARTITION]), np.arange(first, first + n))
