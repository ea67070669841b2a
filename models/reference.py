"""Reference histograms: how features and scores were distributed in training, to measure drift against."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np

from features.arrays import Floats

BINS = 20


@dataclass(frozen=True, slots=True)
class Histogram:
    """Bin i counts values in (edges[i-1], edges[i]]; the first and the last bin are open to infinity."""

    edges: tuple[float, ...]
    """Ascending and distinct, one fewer than `counts`."""
    counts: tuple[float, ...]
    """Sums of weights, which are counts where nothing was sampled."""
    missing: float
    """The same, of NaN."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The training events' histograms. The scores are those of the model on what it was trained on."""

    features: Mapping[str, Histogram]
    scores: Mapping[str, Histogram]
    """By the names that decisions use: ``score``, or ``probability_<class>``."""


def make_histogram(values: Floats, weights: Floats, bins: int = BINS) -> Histogram:
    """Edges at the quantiles of the values, so that bins hold about the same number.

    Values that fill more than one bin give one edge: a feature of few values has a bin for each.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return count_into((), values, weights)
    # "inverted_cdf" takes values that occur, never one between two; all of the largest is the last bin's.
    quantiles = np.quantile(known, np.arange(1, bins) / bins, method="inverted_cdf")
    edges = np.unique(quantiles)
    return count_into(tuple(edges[edges < known.max()].tolist()), values, weights)


def make_category_histogram(codes: Floats, weights: Floats, known: int, bins: int = BINS) -> Histogram:
    """Bins for what is not known, for each of the most frequent of `known` categories, and for the rest."""
    edges = range(min(known, bins - 1))
    return count_into(tuple(float(edge) for edge in edges), codes, weights)


def count_into(edges: tuple[float, ...], values: Floats, weights: Floats) -> Histogram:
    """Count other values, of shape (n,), into the same bins."""
    missing = np.isnan(values)
    places = np.searchsorted(np.array(edges, dtype=np.float64), values[~missing], side="left")
    counts = np.bincount(places, weights[~missing], minlength=len(edges) + 1)
    return Histogram(edges, tuple(counts.tolist()), float(weights[missing].sum()))


def encode_reference(reference: Reference) -> bytes:
    return msgspec.json.encode(reference) + b"\n"


def decode_reference(data: bytes) -> Reference:
    """Raises `ValueError` (msgspec's) for anything else."""
    reference = msgspec.json.decode(data, type=Reference)
    for name, histogram in [*reference.features.items(), *reference.scores.items()]:
        if len(histogram.counts) != len(histogram.edges) + 1:
            raise ValueError(f"the histogram of {name} has {len(histogram.counts)} bins for its edges")
    return reference
