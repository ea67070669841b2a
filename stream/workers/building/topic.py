"""The events topic, and the labels topic, as a history: positions are the records' own."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from features.arrays import Ints
from features.definition.model import Definition, RowKind
from features.event import EventBatch
from features.past.build import fields_read
from features.past.columns import EventColumns
from features.past.labels import LabelRecords
from features.past.order import Extent, Slice, join_slices, waiting_rows
from stream.pipeline.decode import Decoder
from stream.pipeline.labels import DecodedLabels, LabelDecoder
from stream.records import RecordBatch
from stream.workers.building.spill import SpilledBatches, boundaries, sample, spill, write_part
from stream.workers.progress import Advance


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which part of a topic: events of times from the first to before the second."""

    definition: Definition
    between: tuple[int, int]
    future_limit_ms: int
    """How far event times may be ahead of their records."""

    @property
    def oldest_record_ms(self) -> int:
        """No older record can hold such an event: its time would lie too far ahead."""
        return 0 if self.definition.time.is_sequence else self.between[0] - self.future_limit_ms


def read_events(
    wanted: Wanted, batches: Iterable[RecordBatch], folder: Path, rows_max: int, advance: Advance
) -> tuple[SpilledBatches, int]:
    """Bring the events of a topic into files of `folder`; also returns how many records were rejected."""
    rejected = 0

    def counted() -> Iterator[Slice]:
        nonlocal rejected
        decoder = Decoder(wanted.definition, future_limit_ms=wanted.future_limit_ms)
        for records in batches:
            decoded = decoder.decode(records)
            rejected += len(decoded.rejected)
            times = decoded.events.times
            inside = np.flatnonzero((times >= wanted.between[0]) & (times < wanted.between[1]))
            yield _slice(wanted.definition, decoded.events.take(inside))
            advance(len(records))

    paths: list[Path] = []
    extents: list[Extent] = []
    samples: list[Ints] = []
    for part in _gathered(counted(), rows_max):
        paths.append(folder / f"read-{len(paths)}.parquet")
        extents.append(write_part(paths[-1], part))
        samples.append(sample(part.events.times))
    read = SpilledBatches(paths, extents)
    if waiting_rows(extents) <= rows_max:
        return read, rejected
    cuts = boundaries(samples, [extent.rows for extent in extents], rows_max)
    return spill((read.read(number) for number in range(len(paths))), cuts, folder), rejected


def read_labels(wanted: Wanted, batches: Iterable[RecordBatch], advance: Advance) -> LabelRecords:
    """All labels that may belong to such events; they are held in memory."""
    decoder = LabelDecoder(wanted.definition, future_limit_ms=wanted.future_limit_ms)
    parts: list[DecodedLabels] = []
    for records in batches:
        parts.append(decoder.decode(records))
        advance(len(records))
    entities = [row.entity for row in wanted.definition.rows if row.kind is RowKind.LABELS]
    none: Ints = np.empty(0, np.int64)
    return LabelRecords(
        ids=np.concatenate([none.astype(np.uint64), *(part.hashes for part in parts)]),
        times=np.concatenate([none, *(part.times for part in parts)]),
        observed_at=np.concatenate([none, *(part.observed_at for part in parts)]),
        labels=np.concatenate([np.empty(0), *(part.labels for part in parts)]),
        keys={name: [key for part in parts for key in _keys(part, name)] for name in entities},
    )


def _keys(labels: DecodedLabels, entity: str) -> list[str | None]:
    """Keys of labels that name all that windows need."""
    pairs = zip(labels.keys[entity], labels.complete.tolist(), strict=True)
    return [key if complete else None for key, complete in pairs]


def _gathered(slices: Iterator[Slice], rows_min: int) -> Iterator[Slice]:
    """The same events in larger parts."""
    waiting: list[Slice] = []
    for part in slices:
        waiting.append(part)
        if sum(map(len, waiting)) >= rows_min:
            yield join_slices(waiting)
            waiting = []
    if any(map(len, waiting)):
        yield join_slices(waiting)


def _slice(definition: Definition, events: EventBatch) -> Slice:
    columns = EventColumns(
        ids=pa.chunked_array([pa.array(events.ids, pa.string())]),
        times=events.times,
        columns={name: events.columns[name] for name in sorted(fields_read(definition))},
        keys={name: pa.chunked_array([pa.array(keys, pa.string())]) for name, keys in events.keys.items()},
        labels=np.full(len(events), np.nan),
        observed_at=events.times,
    )
    return Slice(columns, events.positions)
