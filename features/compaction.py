"""Compaction of a row: what no window can reach is dropped, and the oldest that can is folded into tiles.

Windows give the same values, to the bit, on the row before and after, and whatever is appended later, for
every event that keeps the watermark's promise. An event that does not sees its windows' edges displaced to
where the row is folded, and is stamped `trimmed`.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from features.arrays import Ints
from features.codec import Entries, decode_rows, encode_entries, take_entries
from features.definition.kinds import RowKind, RowSchema
from features.windows.axis import Axis
from features.windows.folded import UNBOUNDED, Folded, encode_folded, tile_slots
from features.windows.tiles import fold, join_tiles, no_tiles, take_tiles, tile_numbers
from features.windows.timeline import first_of_each_id, latest_of_each_id, repeats_another, sort_entries


@dataclass(frozen=True, slots=True)
class CompactedRow:
    """The row to replace another by."""

    data: bytes
    folded: int
    """Entries that are in tiles now."""
    dropped: int
    """Entries that no window can reach, and repeated ones."""
    late: int
    """Entries from before the boundary, which came after that was folded: they are left out."""


def compact_row(schema: RowSchema, row: bytes, watermark: int) -> CompactedRow | None:
    """A shorter row that says the same; None where there is none, and for a corrupt row.

    watermark: what is older has come. Every event that is appended, or evaluated, from now on is at or after
    this time, and may see every entry that is there before it; in rows of labels, every label that comes from
    now on is observed after it, and for an event that is not older than `schema.delay` before it. Rows of the
    previous layout that readers unite with this one are not known here: compact when those are gone.
    """
    stored = decode_rows(schema, [row])
    if stored.corrupt.any():
        return None
    unbounded = np.array([UNBOUNDED])
    before = stored.folded or Folded(unbounded, unbounded, no_tiles(schema))
    boundary, whole_from = int(before.boundaries[0]), int(before.whole_from[0])
    entries, _ = sort_entries(stored.entries, Axis.over(stored.entries.times, 1))
    timely = entries.times >= boundary
    entries = take_entries(entries, timely)
    of_events = schema.kind is RowKind.EVENTS
    entries = take_entries(entries, first_of_each_id(entries) if of_events else ~repeats_another(entries))

    settled = _settled(schema, entries, watermark)
    cut = _cut(schema, entries.times[settled])
    reached = min(cut, _tile_begin(schema, watermark - schema.reach)) if schema.reach else cut
    whole = before.tiles.numbers * schema.resolution >= reached
    gone = entries.times < reached
    if gone.any() or not whole.all():
        whole_from = max(whole_from, reached)
    until = _worth_folding(schema, entries, reached, cut, watermark)
    boundary = max(boundary, until)
    folding = settled[(entries.times[settled] >= reached) & (entries.times[settled] < until)]
    tiles = take_tiles(before.tiles, whole)
    if len(folding):
        tiles = join_tiles(tiles, fold(schema, take_entries(entries, folding)))
    left = take_entries(entries, entries.times >= max(boundary, reached))
    data = encode_folded(schema, boundary, whole_from, _mark(row, watermark), tiles)
    data += encode_entries(left.times, left.ids, left.marks, left.values)
    if len(data) >= len(row):
        return None
    late, folded = int((~timely).sum()), len(folding)
    return CompactedRow(data, folded, len(stored.entries) - late - folded - len(left), late)


def _mark(row: bytes, watermark: int) -> int:
    """What tells the head of this compaction from that of any other which does not give the same row."""
    digest = hashlib.blake2b(row, digest_size=8, salt=watermark.to_bytes(8, "little", signed=True))
    return int.from_bytes(digest.digest(), "little")


def _settled(schema: RowSchema, entries: Entries, watermark: int) -> Ints:
    """The entries that everyone from the watermark on sees, in their order."""
    if schema.kind is RowKind.EVENTS:
        return np.flatnonzero(entries.times < watermark)
    known = np.flatnonzero(entries.marks.view(np.int64) <= watermark)
    latest = np.sort(known[latest_of_each_id(take_entries(entries, known))])
    return latest[entries.times[latest] <= watermark - schema.delay]


def _cut(schema: RowSchema, times: Ints) -> int:
    """Where the row is cut (`features.windows.cut`) for the first event to come, or `UNBOUNDED`."""
    if len(times) < schema.exact:
        return UNBOUNDED
    return _tile_begin(schema, int(times[-schema.exact]))


def _tile_begin(schema: RowSchema, time: int) -> int:
    return time // schema.resolution * schema.resolution if schema.resolution else time


def _worth_folding(schema: RowSchema, entries: Entries, begin: int, end: int, watermark: int) -> int:
    """Up to where the entries from `begin` on are folded, so that the row gets shortest; at most to `end`."""
    if not schema.resolution or not schema.reach:
        return UNBOUNDED
    among = (entries.times >= begin) & (entries.times < end)
    if schema.kind is RowKind.LABELS:  # what not everyone sees must not be folded, nor anything after it
        unknown = entries.times[among & (entries.marks.view(np.int64) > watermark)]
        if len(unknown):
            among &= entries.times < _tile_begin(schema, int(unknown[0]))
    numbers, counts = np.unique(tile_numbers(schema, entries.times[among]), return_counts=True)
    gains = np.cumsum(counts - tile_slots(schema))
    if not len(gains) or gains.max() <= 0:
        return UNBOUNDED
    return int(numbers[gains.argmax()] + 1) * schema.resolution
