"""Batches that are too mixed in time, or come only once, on disk: a file for each stretch of time."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.arrays import Column, Ints, UInts
from features.past.columns import EventColumns
from features.past.order import NEVER, Extent, Slice

SAMPLES = 1_000
FILES_MAX = 256
"""How many stretches are open at a time."""
_FIELD, _KEY = "field ", "key "
"""What names of columns begin with; the rest is the field's or the entity's."""


@dataclass(frozen=True, slots=True)
class SpilledBatches:
    """Files as `Batches`."""

    paths: Sequence[Path]
    extents: Sequence[Extent]

    def read(self, number: int) -> Slice:
        """See `Batches.read`."""
        return _slice(pq.read_table(self.paths[number], use_threads=False))


def boundaries(samples: Sequence[Ints], rows: Sequence[int], rows_max: int) -> Ints:
    """Times that cut a history into stretches of about `rows_max` events.

    samples: of each batch, times at equal distances in rank. rows: how many it has.
    """
    stretches = min(FILES_MAX, -(-sum(rows) // rows_max))
    if stretches < 2:
        return np.empty(0, np.int64)
    times = np.concatenate(list(samples))
    weights = np.concatenate(
        [np.full(len(some), n / len(some)) for some, n in zip(samples, rows, strict=True)]
    )
    order = np.argsort(times)
    reached = np.cumsum(weights[order]) / weights.sum()
    cuts = np.searchsorted(reached, np.arange(1, stretches) / stretches)
    return np.unique(times[order[np.minimum(cuts, len(order) - 1)]])


def sample(times: Ints) -> Ints:
    """At most about `SAMPLES` of the times, at equal distances in rank."""
    return np.sort(times)[:: max(1, len(times) // SAMPLES)]


def write_part(path: Path, part: Slice) -> Extent:
    """Write events, of which there are some, into a file of their own."""
    pq.write_table(_table(part), path, compression="lz4", use_dictionary=False)
    return _with(Extent(0, NEVER, 0), part.events.times)


def spill(slices: Iterable[Slice], cuts: Ints, folder: Path) -> SpilledBatches:
    """Write the events into files, of which the i-th has those before `cuts[i]`, the last the rest."""
    extents = [Extent(0, NEVER, 0)] * (len(cuts) + 1)
    paths = [folder / f"{number}.parquet" for number in range(len(extents))]
    with ExitStack() as stack:
        writers: dict[int, pq.ParquetWriter] = {}
        for part in slices:
            stretch = np.searchsorted(cuts, part.events.times, side="right")
            for number in np.unique(stretch).tolist():
                some = part.take(np.flatnonzero(stretch == number))
                table = _table(some)
                if number not in writers:
                    writer = pq.ParquetWriter(
                        paths[number], table.schema, compression="lz4", use_dictionary=False
                    )
                    writers[number] = stack.enter_context(writer)
                writers[number].write_table(table)
                extents[number] = _with(extents[number], some.events.times)
    there = [number for number, extent in enumerate(extents) if extent.rows]
    return SpilledBatches([paths[n] for n in there], [extents[n] for n in there])


def _with(extent: Extent, times: Ints) -> Extent:
    return Extent(
        extent.rows + len(times), min(extent.first, int(times.min())), max(extent.last, int(times.max()))
    )


def _table(part: Slice) -> pa.Table:
    events = part.events
    columns: dict[str, Any] = {
        "id": events.ids.cast(pa.string()),
        "time": pa.array(events.times),
        "position": pa.array(part.positions),
        "label": pa.array(events.labels),
        "observed_at": pa.array(events.observed_at),
    }
    for name, column in events.columns.items():
        columns[_FIELD + name] = pa.array(column, pa.string() if column.dtype == object else pa.float64())
    columns |= {_KEY + name: keys.cast(pa.string()) for name, keys in events.keys.items()}
    return pa.table(columns)


def _slice(table: pa.Table) -> Slice:
    def numbers(name: str) -> Any:
        return table.column(name).to_numpy()

    positions: UInts = numbers("position")
    events = EventColumns(
        ids=table.column("id"),
        times=numbers("time"),
        columns=dict(_columns(table)),
        keys={name: table.column(_KEY + name) for name in _names(table, _KEY)},
        labels=numbers("label"),
        observed_at=numbers("observed_at"),
    )
    return Slice(events, positions)


def _columns(table: pa.Table) -> Iterator[tuple[str, Column]]:
    for name in _names(table, _FIELD):
        column = table.column(_FIELD + name)
        if pa.types.is_string(column.type):
            yield name, np.array(column.to_pylist(), dtype=object)
        else:
            yield name, column.to_numpy()


def _names(table: pa.Table, kind: str) -> list[str]:
    return [name.removeprefix(kind) for name in table.column_names if name.startswith(kind)]
