"""Aggregates over segments of an array, each computed from its own values alone.

Sums are taken per segment (`np.add.reduceat`), not as differences of prefix sums: so a window's
value is the same to the bit whatever stands before it, in a batch of one or of thousands.
"""

from dataclasses import dataclass

import numpy as np

from features.arrays import Floats, Ints
from features.definition.model import AggregateFunction
from features.timeline import ragged_arange


@dataclass(frozen=True, slots=True)
class Segments:
    """q half-open ranges [start, end) of an array."""

    start: Ints
    end: Ints


def aggregate(
    function: AggregateFunction, values: Floats, segments: Segments, empty: float, std_of_one: float
) -> Floats:
    """The aggregate of `values` (no NaN among them) over each segment: shape (q,)."""
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
            result[some] = _reduce(np.add, values, start, end)
        case "mean":
            result[some] = _reduce(np.add, values, start, end) / counts
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


def _reduce(ufunc: np.ufunc, values: Floats, start: Ints, end: Ints) -> Floats:
    """`ufunc` over each of the non-empty segments.

    reduceat takes edges in pairs and also reduces the gaps between them; visiting the segments by
    their start keeps the gaps short. The padding lets the last segment end at the end.
    """
    if not len(start):
        return np.empty(0)
    order = np.argsort(start, kind="stable")
    edges = np.empty(2 * len(start), np.int64)
    edges[0::2] = start[order]
    edges[1::2] = end[order]
    reduced = np.empty(len(start))
    reduced[order] = ufunc.reduceat(np.append(values, 0.0), edges)[0::2]
    return reduced


def _std(values: Floats, start: Ints, end: Ints, std_of_one: float) -> Floats:
    """Sample standard deviation (ddof 1), from deviations about each segment's mean."""
    counts = end - start
    mean = _reduce(np.add, values, start, end) / counts
    at = ragged_arange(start, counts)
    squares = (values[at] - np.repeat(mean, counts)) ** 2
    ends = np.cumsum(counts)
    total = _reduce(np.add, squares, ends - counts, ends)
    return np.where(counts > 1, np.sqrt(total / np.maximum(counts - 1, 1)), std_of_one)


def _distinct_count(values: Floats, segments: Segments) -> Floats:
    counts = segments.end - segments.start
    at = ragged_arange(segments.start, counts)
    segment = np.repeat(np.arange(len(counts)), counts)
    order = np.lexsort((values[at], segment))
    segment, sorted_values = segment[order], values[at][order]
    new = np.ones(len(order), np.bool_)
    new[1:] = (segment[1:] != segment[:-1]) | (sorted_values[1:] != sorted_values[:-1])
    return np.bincount(segment[new], minlength=len(counts)).astype(np.float64)
