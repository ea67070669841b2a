"""Categorical features: which values have a code of their own, learnt from training rows, and the coding.

Code 0 is every value without one of its own, be it rare or never seen; 1, 2, … are the known values, the
most frequent first; NaN is missing. Codes mean something only together with the categories they were made
by, which stand in the bundle.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from features.arrays import Bools, Column, Floats
from features.definition.model import CategoryFeature, Definition, LookupFeature
from features.event import hash_texts

Categories: TypeAlias = Mapping[str, Sequence[str]]
"""By the name of a categorical feature, its known values in the order of their codes."""
Coder: TypeAlias = Callable[[Column], Floats]

NO_CATEGORIES: Categories = {}
OTHER = 0.0
CODES_MAX = 10_000
"""How many values of a feature have a code: the most frequent ones."""


def categorical(definition: Definition) -> dict[str, CategoryFeature | LookupFeature]:
    """The categorical features by name, in model order."""
    return {
        feature.name: feature
        for feature in definition.features
        if isinstance(feature, CategoryFeature)
        or (isinstance(feature, LookupFeature) and feature.is_category)
    }


def learn_categories(definition: Definition, values: Mapping[str, Sequence[str | None]]) -> Categories:
    """The categories of training rows. values: the texts of each feature; None is missing.

    Known is what occurs at least `min_count` times; of equally frequent values the first in text order
    comes first.
    """
    return {
        name: tuple(_frequent(Counter(values.get(name, ())), feature.min_count))
        for name, feature in categorical(definition).items()
    }


def coders(definition: Definition, categories: Categories) -> dict[str, Coder]:
    """What makes codes, by the name of the feature: of texts for a field, of hashes for a lookup.

    A feature whose categories are not known has no coder.
    """
    return {
        name: _text_coder(categories[name])
        if isinstance(feature, CategoryFeature)
        else _hash_coder(categories[name])
        for name, feature in categorical(definition).items()
        if name in categories
    }


def merge_rare(definition: Definition, matrix: Floats, among: Bools) -> Floats:
    """A feature matrix, shape (n, features), in which only what is frequent among some of the rows is known.

    So a model that is trained on those knows of the others nothing that it would not have known alone.
    """
    features = categorical(definition)
    merged = matrix.copy() if features else matrix
    for name, feature in features.items():
        column = merged[:, definition.feature_names.index(name)]
        codes, counts = np.unique(column[among], return_counts=True)
        column[~np.isnan(column) & ~np.isin(column, codes[counts >= feature.min_count])] = OTHER
    return merged


def _frequent(counts: Mapping[str | None, int], min_count: int) -> list[str]:
    kept = [(text, count) for text, count in counts.items() if text is not None and count >= min_count]
    kept.sort(key=lambda found: (-found[1], found[0]))
    return [text for text, _ in kept[:CODES_MAX]]


def _text_coder(known: Sequence[str]) -> Coder:
    codes: dict[str | None, float] = {text: float(at) for at, text in enumerate(known, start=1)}
    codes[None] = np.nan

    def code(column: Column) -> Floats:
        return np.array([codes.get(text, OTHER) for text in column.tolist()], np.float64)

    return code


def _hash_coder(known: Sequence[str]) -> Coder:
    hashes, first = np.unique(hash_texts(known), return_index=True)

    def code(column: Column) -> Floats:
        codes = np.full(len(column), OTHER)
        if len(hashes):
            at = np.searchsorted(hashes, column).clip(max=len(hashes) - 1)
            codes = np.where(hashes[at] == column, first[at] + 1.0, OTHER)
        codes[np.isnan(column)] = np.nan
        return codes

    return code
