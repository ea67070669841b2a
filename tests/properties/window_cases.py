"""Windows, rows and batches made of plain values, for the properties of the window engine."""

import math
from collections.abc import Sequence

import numpy as np

from features.codec import Entries
from features.definition.model import AggregateFunction, RowKind, Span, WindowFeature
from features.event import EventBatch, pack_positions
from features.rows import Rows, index_keys
from tests.properties.windows_reference import PlainEvent

FUNCTIONS: tuple[AggregateFunction, ...] = (
    "count", "sum", "mean", "min", "max", "std", "distinct_count", "first", "last", "time_since_last",
)  # fmt: skip


def window_of(
    kind: RowKind,
    function: AggregateFunction,
    span: Span,
    delay: int,
    where: str | None,
    current: bool,
    column: bool,
) -> WindowFeature:
    label = kind is RowKind.LABELS
    counted = "label" if label else "amount"
    return WindowFeature(
        name="w",
        entity="e",
        kind=kind,
        function=function,
        column=None if function == "time_since_last" or (function == "count" and not column) else counted,
        span=span,
        delay=delay,
        where=None if label else where,
        include_current=current and delay == 0 and not label,
        empty=math.nan if column else -1.0,
        std_of_one=0.0 if column else math.nan,
    )


def rows_of(
    entries: Sequence[PlainEvent], batch: Sequence[PlainEvent], columns: Sequence[str]
) -> tuple[Rows, EventBatch]:
    index = index_keys([event.key for event in batch])
    place = {key: at for at, key in enumerate(index.keys)}
    united = [*batch, *(entry for entry in entries if entry.key in place)]
    positions = pack_positions(np.array([e.mark[0] for e in united]), np.array([e.mark[1] for e in united]))
    rows = Rows(
        entries=Entries(
            row=np.array([place[e.key] for e in united]),
            times=np.array([e.time for e in united]),
            ids=np.array([e.id for e in united], dtype=np.uint64),
            marks=positions,
            values=np.array([e.values for e in united]).reshape(len(united), len(columns)),
        ),
        of_event=index.of_event,
        own=np.arange(len(batch)),
    )
    return rows, batch_of(batch)


def batch_of(batch: Sequence[PlainEvent]) -> EventBatch:
    return EventBatch(
        ids=[str(e.id) for e in batch],
        hashes=np.array([e.id for e in batch], dtype=np.uint64),
        times=np.array([e.time for e in batch]),
        positions=pack_positions(np.array([e.mark[0] for e in batch]), np.array([e.mark[1] for e in batch])),
        columns={},
        keys={"e": [e.key for e in batch]},
    )


def close(got: float, want: float) -> bool:
    return (math.isnan(got) and math.isnan(want)) or math.isclose(got, want, rel_tol=1e-12, abs_tol=1e-12)
