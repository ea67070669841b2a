"""What may happen to a row in the store: appends, repeats, and compactions by two at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from features.codec import encode_entries
from features.compaction import compact_row
from features.definition.model import RowKind, RowSchema
from features.event import pack_positions
from features.stores.memory import MemoryStore
from tests.properties.windows_reference import PlainEvent

KEY = b"row"


@dataclass
class Story:
    """What happened to a row: everything that was appended, and the row as the store holds it."""

    entries: list[PlainEvent]
    stored: bytes
    watermark: int
    """The latest that any compaction took."""
    compactions: int
    batch: list[PlainEvent]


def encoded(schema: RowSchema, entries: Sequence[PlainEvent]) -> bytes:
    if schema.kind is RowKind.EVENTS:
        partitions, offsets = (np.array([e.mark[at] for e in entries], np.int64) for at in range(2))
        marks = pack_positions(partitions, offsets)
    else:
        marks = np.array([e.mark[0] for e in entries], np.int64).view(np.uint64)
    return encode_entries(
        np.array([e.time for e in entries], np.int64),
        np.array([e.id for e in entries], np.uint64),
        marks,
        np.array([e.values for e in entries], np.float64).reshape(len(entries), len(schema.columns)),
    )


def row_after(
    draw: st.DrawFn, schema: RowSchema, entries: Sequence[PlainEvent], steps: Sequence[int]
) -> Story:
    """Append the entries in random order, but for what comes after a compaction being younger than it may be.

    steps: the watermarks at which two compactors look at the row, ascending.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    store = MemoryStore(lambda: 0)
    left = list(entries)
    appended: list[PlainEvent] = []
    story = Story(appended, b"", -(10**6), 0, [])

    def append(some: Sequence[PlainEvent]) -> None:
        shuffled = [some[i] for i in rng.permutation(len(some))]
        appended.extend(shuffled)
        store.append([(KEY, encoded(schema, shuffled))], None)

    def again(share: float) -> None:
        """Deliver some of what came once more, whatever its age."""
        if appended:
            append([appended[int(i)] for i in rng.integers(len(appended), size=int(share * len(appended)))])

    for watermark in steps:
        due = [e for e in left if _is_due(schema, e, watermark) or rng.random() < 0.3]
        left = [e for e in left if e not in due]
        append(due)
        again(0.1)
        (seen,) = store.read([KEY])
        assert seen is not None
        attempts = []
        for other in (watermark, watermark - int(rng.integers(0, 15))):
            compacted = compact_row(schema, seen, other)
            if compacted is not None:
                attempts.append((other, compacted))
        for at in rng.permutation(len(attempts)).tolist():
            other, compacted = attempts[at]
            if rng.random() < 0.2:
                again(0.05)
            if store.replace(KEY, seen, compacted.data, None):
                assert len(compacted.data) < len(seen)
                story.watermark = max(story.watermark, other)
                story.compactions += 1
        again(0.05)
    append(left)
    again(0.1)
    (story.stored,) = (row or b"" for row in store.read([KEY]))
    return story


def _is_due(schema: RowSchema, entry: PlainEvent, watermark: int) -> bool:
    """Whether an entry must have come for compaction to take this watermark."""
    if schema.kind is RowKind.EVENTS:
        return entry.time < watermark
    return entry.mark[0] <= watermark or entry.time <= watermark - schema.delay
