"""Aggregates over segments of an array, each computed from its own values alone.

Sums are taken per segment (`np.add.reduceat`), not as differences of prefix sums: so a window's
value is the same to the bit whatever stands before it, in a batch of one or of thousands.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from features.arrays import Bools, Floats, Ints
from features.definition.model import AggregateFunction
from features.windows.axis import ragged_arange


class Moment(IntEnum):
    """What is known of several values at once; the order in which tiles keep it."""

    COUNT = 0
    SUM = 1
    SQUARES = 2
    """The sum of squared deviations from their mean."""
    MIN = 3
    MAX = 4
    FIRST = 5
    LAST = 6


MANY = 1 << 12
"""How many sums are worth a look at whether there is a short cut to them."""
SAMPLE = 64
"""So many values are looked at first: most that are not whole are found out among them."""
EXACT = 2.0**53
"""Whole numbers below it, and so all their sums below it, are exact."""


@dataclass(frozen=True, slots=True)
class Segments:
    """q half-open ranges [start, end) of an array."""

    start: Ints
    end: Ints

    def of(self, some: Bools) -> "Segments":
        return Segments(self.start[some], self.end[some])


def aggregate(
    function: AggregateFunction,
    values: Floats,
    segments: Segments,
    empty: float,
    std_of_one: float,
    running: Floats | None = None,
) -> Floats:
    """The aggregate of `values` (no NaN among them) over each segment: shape (q,).

    running: `running_sums(values)`, where that is known.
    """
    counts = segments.end - segments.start
    if function == "count":
        return counts.astype(np.float64)
    if function == "distinct_count":
        return _distinct_count(values, segments)
    result = np.full(len(counts), empty)
    some = np.flatnonzero(counts > 0)
    start, end, counts = segments.start[some], segments.end[some], counts[some]
    match function:
        case "sum":
            result[some] = _sums(values, start, end, running)
        case "mean":
            result[some] = _sums(values, start, end, running) / counts
        case "min":
            result[some] = _reduce(np.minimum, values, start, end)
        case "max":
            result[some] = _reduce(np.maximum, values, start, end)
        case "first":
            result[some] = values[start]
        case "last":
            result[some] = values[end - 1]
        case "std":
            result[some] = _std(values, start, end, std_of_one)
        case _:
            raise AssertionError(function)
    return result


def aggregate_both(
    function: AggregateFunction, moments: Floats, tiles: Segments, values: Floats, segments: Segments,
    empty: float, std_of_one: float,
) -> Floats:  # fmt: skip
    """The aggregate of the values that segments of tiles stand for, and of `values` after them: shape (q,).

    moments: shape (tiles, len(Moment)); none of them is of no values. Of all but distinct counts.
    """
    before = np.zeros(len(moments) + 1)
    np.cumsum(moments[:, Moment.COUNT], out=before[1:])  # whole numbers, so that differences are exact
    older = before[tiles.end] - before[tiles.start]
    counts = older + (segments.end - segments.start)
    if function == "count":
        return counts
    some = counts > 0
    result = np.full(len(counts), empty)
    tiles, segments = tiles.of(some), segments.of(some)
    counts, older = counts[some], older[some]

    def united(ufunc: np.ufunc, moment: Moment, nothing: float) -> Floats:
        folded = _reduce_some(ufunc, moments[:, moment], tiles, nothing)
        return np.asarray(ufunc(folded, _reduce_some(ufunc, values, segments, nothing)))

    match function:
        case "sum":
            result[some] = united(np.add, Moment.SUM, 0.0)
        case "mean":
            result[some] = united(np.add, Moment.SUM, 0.0) / counts
        case "min":
            result[some] = united(np.minimum, Moment.MIN, np.inf)
        case "max":
            result[some] = united(np.maximum, Moment.MAX, -np.inf)
        case "first":
            result[some] = _either(older > 0, moments[:, Moment.FIRST], tiles.start, values, segments.start)
        case "last":
            newer = segments.end > segments.start
            result[some] = _either(newer, values, segments.end - 1, moments[:, Moment.LAST], tiles.end - 1)
        case "std":
            mean = united(np.add, Moment.SUM, 0.0) / counts
            squares = _squares_of_tiles(moments, tiles, mean) + _squares(values, segments, mean)
            result[some] = np.where(counts > 1, np.sqrt(squares / np.maximum(counts - 1, 1)), std_of_one)
        case _:
            raise AssertionError(function)
    return result


def reduce_segments(ufunc: np.ufunc, values: Floats, segments: Segments) -> Floats:
    """`ufunc` over each of the segments, of which none is empty: shape (q,)."""
    return _reduce(ufunc, values, segments.start, segments.end)


def _reduce_some(ufunc: np.ufunc, values: Floats, segments: Segments, nothing: float) -> Floats:
    """`ufunc` over each of the segments; `nothing` for empty ones."""
    some = segments.end > segments.start
    reduced = np.full(len(some), nothing)
    reduced[some] = _reduce(ufunc, values, segments.start[some], segments.end[some])
    return reduced


def _either(first: Bools, ones: Floats, one: Ints, others: Floats, other: Ints) -> Floats:
    """`ones[one]` where `first` holds, else `others[other]`."""
    chosen = np.empty(len(first))
    chosen[first], chosen[~first] = ones[one[first]], others[other[~first]]
    return chosen


def _reduce(ufunc: np.ufunc, values: Floats, start: Ints, end: Ints) -> Floats:
    """`ufunc` over each of the non-empty segments.

    reduceat takes edges in pairs and also reduces the gaps between them; visiting the segments by
    their start keeps the gaps short.
    """
    if not len(start):
        return np.empty(0)
    edges = np.empty(2 * len(start), np.int64)
    if (start[1:] >= start[:-1]).all():
        edges[0::2], edges[1::2] = start, end
        return _reduce_between(ufunc, values, edges)
    order = np.argsort(start, kind="stable")
    edges[0::2], edges[1::2] = start[order], end[order]
    reduced = np.empty(len(start))
    reduced[order] = _reduce_between(ufunc, values, edges)
    return reduced


def _reduce_between(ufunc: np.ufunc, values: Floats, edges: Ints) -> Floats:
    """`ufunc` from each even edge to the next."""
    # reduceat takes no edge at the end of the values, but needs none there to go on to the end.
    if edges[-1] == len(values) and edges[:-1].max() < len(values):
        return ufunc.reduceat(values, edges[:-1])[0::2]
    if edges.max() == len(values):
        values = np.append(values, 0.0)
    return ufunc.reduceat(values, edges)[0::2]


def running_sums(values: Floats) -> Floats | None:
    """The sums of the first 0, 1, … values, if they are exact: of whole numbers, none below 0; else None."""
    for some in (values[:SAMPLE], values):
        if np.signbit(some).any() or (some != np.floor(some)).any():
            return None
    before = np.zeros(len(values) + 1)
    np.cumsum(values, out=before[1:])
    return None if before[-1] >= EXACT else before


def _sums(values: Floats, start: Ints, end: Ints, running: Floats | None) -> Floats:
    """The sum of each of the non-empty segments."""
    if running is None and len(start) >= MANY:
        running = running_sums(values)
    if running is None:
        return _reduce(np.add, values, start, end)
    # Sums of whole numbers are exact in any order, and so are the differences of their running sums.
    return np.asarray(running[end] - running[start])


def _std(values: Floats, start: Ints, end: Ints, std_of_one: float) -> Floats:
    """Sample standard deviation (ddof 1), from deviations about each segment's mean."""
    counts = end - start
    mean = _reduce(np.add, values, start, end) / counts
    total = _squares(values, Segments(start, end), mean)
    return np.where(counts > 1, np.sqrt(total / np.maximum(counts - 1, 1)), std_of_one)


def _squares(values: Floats, segments: Segments, mean: Floats) -> Floats:
    """The sum of squared deviations of each segment's values from its `mean`; 0 for empty ones."""
    counts = segments.end - segments.start
    at = ragged_arange(segments.start, counts)
    squares = (values[at] - np.repeat(mean, counts)) ** 2
    ends = np.cumsum(counts)
    return _reduce_some(np.add, squares, Segments(ends - counts, ends), 0.0)


def _squares_of_tiles(moments: Floats, segments: Segments, mean: Floats) -> Floats:
    """The same of what tiles stand for: their own, and that of their means (Chan, Golub, LeVeque, 1979)."""
    lengths = segments.end - segments.start
    each = moments[ragged_arange(segments.start, lengths)]
    counts = each[:, Moment.COUNT]
    apart = each[:, Moment.SUM] / counts - np.repeat(mean, lengths)
    ends = np.cumsum(lengths)
    within = Segments(ends - lengths, ends)
    return _reduce_some(np.add, each[:, Moment.SQUARES] + counts * apart**2, within, 0.0)


def _distinct_count(values: Floats, segments: Segments) -> Floats:
    counts = segments.end - segments.start
    at = ragged_arange(segments.start, counts)
    segment = np.repeat(np.arange(len(counts)), counts)
    order = np.lexsort((values[at], segment))
    segment, sorted_values = segment[order], values[at][order]
    new = np.ones(len(order), np.bool_)
    new[1:] = (segment[1:] != segment[:-1]) | (sorted_values[1:] != sorted_values[:-1])
    return np.bincount(segment[new], minlength=len(counts)).astype(np.float64)
