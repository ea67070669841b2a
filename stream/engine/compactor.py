"""Compaction of rows that have grown too long, a bounded part at a time.

What a row may be folded to is `features.compaction`'s to say, and that readers see the same before and
after. Replacing is a compare-and-set: a row that was appended to meanwhile is left for a later time.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from features.codec import decode_rows
from features.compaction import CompactedRow
from features.definition.model import RowKind, RowSchema
from features.store import OnlineStore
from stream.engine.compaction_plan import CompactionPlan, Due, Growth
from stream.metrics import MaterializeMetrics

STEP_ROWS_MAX = 16
STEP_BYTES_MAX = 1_000_000


Compact: TypeAlias = Callable[[RowSchema, bytes, int], CompactedRow | None]


class Compactor:
    """For one topic's rows, on the store of its materializer."""

    def __init__(
        self,
        store: OnlineStore,
        growths: Sequence[Growth],
        compact: Compact,
        metrics: MaterializeMetrics,
        ttl_ms: int | None,
        row_grace: int | None = None,
    ) -> None:
        """row_grace: where times are a sequence of each entity's own, a row is folded up to its own newest
        time less this; None folds up to the watermark.
        """
        self._store = store
        self._plan = CompactionPlan(growths)
        self._compact = compact
        self._metrics = metrics
        self._ttl_ms = ttl_ms
        self._row_grace = row_grace

    @property
    def has_due(self) -> bool:
        """Whether a row has grown too long."""
        return len(self._plan) > 0

    def appended(self, lengths: Mapping[bytes, int]) -> None:
        """The length of each row after an append."""
        sizes = np.fromiter(lengths.values(), np.int64, len(lengths))
        self._metrics.rows_grew(sizes)
        self._plan.grew(list(lengths), sizes)

    def step(self, watermark: int) -> None:
        """Look at some of the rows that are due."""
        due = self._plan.take(STEP_ROWS_MAX, STEP_BYTES_MAX)
        found: list[tuple[Due, bytes, CompactedRow]] = []
        for one, row in zip(due, self._store.read([one.key for one in due]), strict=True):
            compacted = None if row is None else self._compacted(one.growth.schema, row, watermark)
            if row is not None and compacted is not None:
                found.append((one, row, compacted))
            elif row is not None:
                self._plan.looked_at(one, len(row))
                self._metrics.compacted("needless")
        if found:
            self._replace(found)

    def forget(self) -> None:
        """The store lost its state."""
        self._plan.forget()

    def _compacted(self, schema: RowSchema, row: bytes, watermark: int) -> CompactedRow | None:
        if self._row_grace is not None:
            watermark = newest_of(schema, row) - self._row_grace
        return self._compact(schema, row, watermark)

    def _replace(self, found: Sequence[tuple[Due, bytes, CompactedRow]]) -> None:
        changes = [(due.key, row, compacted.data) for due, row, compacted in found]
        replaced = self._store.replace_all(changes, self._ttl_ms)
        for (due, _, compacted), done in zip(found, replaced, strict=True):
            if done:
                self._plan.looked_at(due, len(compacted.data))
                self._metrics.late(compacted.late)
            self._metrics.compacted("done" if done else "conflict")


def newest_of(schema: RowSchema, row: bytes) -> int:
    """The newest time in a row: of an event, or of a label's observation."""
    entries = decode_rows(schema, [row]).entries
    times = entries.times if schema.kind is RowKind.EVENTS else entries.marks.view(np.int64)
    return int(times.max()) if len(times) else 0
