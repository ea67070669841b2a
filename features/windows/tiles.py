"""Entries folded into tiles: what remains of a stretch of time when its entries need not be told apart.

Tile number n of a schema covers the event times from n * resolution to before (n + 1) * resolution. Sums are
taken in the order of ids, so a tile is the same to the bit whoever folds it, and when.
"""

import numpy as np

from features.arrays import Bools, Floats, Ints
from features.codec import Entries
from features.definition.kinds import RowSchema
from features.windows.aggregate import Segments, reduce_segments
from features.windows.folded import MOMENTS, Tiles, value_columns


def tile_numbers(schema: RowSchema, times: Ints) -> Ints:
    """The tiles that `times` lie in."""
    return np.floor_divide(times, schema.resolution)


def fold(schema: RowSchema, entries: Entries) -> Tiles:
    """The tiles of entries that are sorted by (row, time, mark, id), each id once."""
    m = len(entries)
    numbers = tile_numbers(schema, entries.times)
    new = np.ones(m, np.bool_)
    new[1:] = (entries.row[1:] != entries.row[:-1]) | (numbers[1:] != numbers[:-1])
    starts = np.flatnonzero(new)
    tile = np.cumsum(new) - 1
    by_id = np.lexsort((entries.ids, tile))
    columns, groups = value_columns(schema), (None, *schema.conditions)
    shape = (len(starts), len(groups))
    counts, firsts, lasts = (np.zeros(shape, np.int64) for _ in range(3))
    moments = np.zeros((*shape, len(columns), MOMENTS))
    for g, condition in enumerate(groups):
        kept = np.ones(m, np.bool_)
        if condition is not None:
            kept = entries.values[:, schema.columns.index(condition)] == 1.0
        held = np.flatnonzero(kept)
        some, within = _segments(tile[held], len(starts))
        counts[some, g] = within.end - within.start
        firsts[some, g] = entries.times[held[within.start]]
        lasts[some, g] = entries.times[held[within.end - 1]]
        for v, name in enumerate(columns):
            values = entries.values[:, schema.columns.index(name)]
            moments[:, g, v] = _moments(values, kept & ~np.isnan(values), tile, by_id, len(starts))
    return Tiles(entries.row[starts], numbers[starts], counts, firsts, lasts, moments)


def take_tiles(tiles: Tiles, index: Ints | Bools) -> Tiles:
    """The tiles at `index`, an index or a mask."""
    return Tiles(
        row=tiles.row[index],
        numbers=tiles.numbers[index],
        counts=tiles.counts[index],
        firsts=tiles.firsts[index],
        lasts=tiles.lasts[index],
        moments=tiles.moments[index],
    )


def join_tiles(one: Tiles, other: Tiles) -> Tiles:
    """Tiles of the same schema and row numbering, sorted; no tile is in both."""
    joined = Tiles(
        row=np.concatenate([one.row, other.row]),
        numbers=np.concatenate([one.numbers, other.numbers]),
        counts=np.concatenate([one.counts, other.counts]),
        firsts=np.concatenate([one.firsts, other.firsts]),
        lasts=np.concatenate([one.lasts, other.lasts]),
        moments=np.concatenate([one.moments, other.moments]),
    )
    return take_tiles(joined, np.lexsort((joined.numbers, joined.row)))


def no_tiles(schema: RowSchema) -> Tiles:
    none: Ints = np.empty(0, np.int64)
    each = np.empty((0, 1 + len(schema.conditions)), np.int64)
    return Tiles(none, none, each, each, each, np.empty((*each.shape, len(value_columns(schema)), MOMENTS)))


def _segments(tile: Ints, count: int) -> tuple[Ints, Segments]:
    """Of ascending tile indexes: which of `count` tiles occur, and where."""
    edges = np.searchsorted(tile, np.arange(count + 1))
    some = np.flatnonzero(edges[1:] > edges[:-1])
    return some, Segments(edges[some], edges[some + 1])


def _moments(values: Floats, present: Bools, tile: Ints, by_id: Ints, count: int) -> Floats:
    """What tiles keep of a column, of the values that are present: shape (count, `MOMENTS`)."""
    found = np.full((count, MOMENTS), np.nan)
    found[:, :3] = 0.0
    held = np.flatnonzero(present)
    some, within = _segments(tile[held], count)
    n = (within.end - within.start).astype(np.float64)
    x = values[by_id[present[by_id]]]
    # No window need ever ask for what overflows here.
    with np.errstate(over="ignore", invalid="ignore"):
        total = reduce_segments(np.add, x, within)
        deviations = (x - np.repeat(total / n, within.end - within.start)) ** 2
        found[some, 2] = reduce_segments(np.add, deviations, within)
    found[some, 0] = n
    found[some, 1] = total
    found[some, 3] = reduce_segments(np.minimum, x, within)
    found[some, 4] = reduce_segments(np.maximum, x, within)
    found[some, 5] = values[held[within.start]]
    found[some, 6] = values[held[within.end - 1]]
    return found
