"""Small models as LightGBM writes them."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from features.arrays import Floats
from models.booster import lightgbm

Rows: TypeAlias = tuple[Floats, Floats]
"""Features, shape (n, 3), and labels."""
NAMES = ("f0", "f1", "f2")


def numbers(n: int = 600) -> Rows:
    """Features of numbers, some of them missing."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(n, 3)) + 0.1
    labels = (matrix[:, 0] + matrix[:, 1] / 2 > 0).astype(float)
    matrix[::5, 1] = np.nan
    return matrix, labels


def categories(n: int = 600) -> Rows:
    """The first feature is a category of 40; some are missing."""
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(n, 3)) + 0.1
    matrix[:, 0] = rng.integers(0, 40, n)
    labels = (matrix[:, 0] % 3 + matrix[:, 1] > 1).astype(float)
    matrix[::7, 0] = np.nan
    return matrix, labels


def boosted(
    objective: str,
    rows: Rows,
    *,
    rounds: int = 12,
    leaves: int = 7,
    categorical: Sequence[int] = (),
    **parameters: Any,
) -> str:
    """A model's text."""
    matrix, labels = rows
    data = lightgbm.Dataset(
        matrix, labels, feature_name=list(NAMES), categorical_feature=list(categorical), free_raw_data=False
    )
    given = {
        "objective": objective,
        "num_leaves": leaves,
        "min_data_in_leaf": 5,
        "min_data_per_group": 5,
        "verbosity": -1,
        "num_threads": 1,
        **parameters,
    }
    return str(lightgbm.train(given, data, num_boost_round=rounds).model_to_string())
