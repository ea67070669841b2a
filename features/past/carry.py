"""What of the past events can still be seen from later ones: all that need be kept of it."""

import numpy as np

from features.arrays import Bools, Ints, UInts
from features.definition.model import Definition, RowKind, RowSchema, WindowFeature
from features.event import EventBatch
from features.past.columns import EventColumns
from features.rows import index_keys


def still_seen(definition: Definition, batch: EventBatch, events: EventColumns) -> Bools:
    """Which of n events, sorted by (time, position), some window of an event not before the last can see.

    events: the same, for what is known of their labels.
    """
    keep = np.zeros(len(batch), np.bool_)
    for schema in definition.rows:
        row = index_keys(batch.keys[schema.entity]).of_event
        windows = [w for w in definition.windows if (w.entity, w.kind) == (schema.entity, schema.kind)]
        if schema.kind is RowKind.EVENTS:
            held = (row >= 0) & _first_of_each_id(row, batch.hashes, batch.positions)
            settles_at = batch.times
        else:
            held = (row >= 0) & ~np.isnan(events.labels)
            settles_at = events.observed_at
        keep |= held & _reached(schema, windows, row, batch.times, settles_at, held)
    return keep


def _reached(
    schema: RowSchema, windows: list[WindowFeature], row: Ints, times: Ints, settles_at: Ints, held: Bools
) -> Bools:
    """Which entries a window reaches: by time, or as one of the newest of its row.

    A window's edge may be displaced down by less than the schema's resolution. settles_at: from when on an
    entry can be seen at all.
    """
    last = int(times[-1]) if len(times) else 0
    reached = np.zeros(len(times), np.bool_)
    if any(window.span.kind == "time" for window in windows):
        reach = max(w.span.length + w.delay for w in windows if w.span.kind == "time")
        reached = times > last - reach - schema.resolution
    counted = [window for window in windows if window.span.kind == "events"]
    if counted:
        newer = last - max(window.delay for window in counted) - schema.resolution
        open_yet = (times > newer) | (settles_at > last)
        newest = max(schema.exact, *(window.span.length for window in counted))
        reached = reached | open_yet | _newest(row, times, held & ~open_yet, newest, schema.resolution)
    return reached


def _newest(row: Ints, times: Ints, among: Bools, count: int, resolution: int) -> Bools:
    """Of the entries `among` them, the last `count` of each row, and what may share the first one's tile.

    Without tiles the cut of a row lies at the time of its `exact`-th newest entry, with all that share it.
    """
    places = np.flatnonzero(among)
    order = places[np.argsort(row[places], kind="stable")]
    sorted_row = row[order]
    starts = np.searchsorted(sorted_row, sorted_row, side="left")
    ends = np.searchsorted(sorted_row, sorted_row, side="right")
    cut = times[order[np.maximum(ends - count, starts)]] - max(resolution - 1, 0)
    newest = np.zeros(len(row), np.bool_)
    newest[order[times[order] >= cut]] = True
    return newest


def _first_of_each_id(row: Ints, ids: UInts, positions: UInts) -> Bools:
    """Of entries with the same row and id, the one with the first position: the only one that counts."""
    first = np.ones(len(ids), np.bool_)
    by_id = np.sort(ids)
    if (by_id[1:] != by_id[:-1]).all():
        return first
    order = np.lexsort((positions, ids, row))
    first[order[1:]] = (ids[order[1:]] != ids[order[:-1]]) | (row[order[1:]] != row[order[:-1]])
    return first
