"""Whether compiled code says what LightGBM says: to the bit, and for whatever may come."""

from collections.abc import Collection

import numpy as np

from features.arrays import Floats
from models.compiled.text import ZERO, Forest, codes, thresholds
from models.scorer import Scorer

ROWS_MIN, ROWS_MAX = 2_048, 16_384
CELLS_MAX = 4_000_000
"""Of the matrix of probes: 32 MB."""
SEED = 20_000
_ANYWHERE = (np.nan, 0.0, -0.0, 1.0, -1.0, ZERO, -ZERO, ZERO / 2, -ZERO / 2, 1e300, -1e300, np.inf, -np.inf)
_BEYOND = 40
"""So many codes after the last that any split knows."""


def difference(reference: Scorer, candidate: Scorer, matrix: Floats) -> str | None:
    """The first row of which the two say something else, in words; None where there is none."""
    expected, found = reference.predict(matrix), candidate.predict(matrix)
    if expected.shape != found.shape:
        return f"the scores have the shape {found.shape}, LightGBM's {expected.shape}"
    same = expected.view(np.int64) == found.view(np.int64)
    same |= np.isnan(expected) & np.isnan(found)
    wrong = np.flatnonzero(~same.reshape(len(matrix), -1).all(axis=1))
    if not len(wrong):
        return None
    at = wrong[0]
    return (
        f"{len(wrong)} of {len(matrix)} scores differ; features {matrix[at].tolist()} "
        f"give {found[at].tolist()!r}, LightGBM {expected[at].tolist()!r}"
    )


def probes(forest: Forest, golden: Floats) -> Floats:
    """Rows to ask both: the golden cases, and rows drawn from those and from every split's two sides.

    golden: shape (cases, features). Of each number the thresholds, their neighbours among the float64 and
    what lies between, missing values, zeros and infinities; of each category all codes, some that no split
    has seen, and missing ones.
    """
    rng = np.random.default_rng(SEED)
    features = golden.shape[1]
    at_most, known = thresholds(forest), codes(forest)
    pools = [
        _categories(known[at]) if at in known else _numbers(at_most.get(at, frozenset()), rng)
        for at in range(features)
    ]
    longest = max(map(len, pools), default=0)
    rows = min(max(ROWS_MIN, 4 * longest), ROWS_MAX, max(1, CELLS_MAX // max(1, features)))
    drawn = np.empty((rows, features))
    for at, pool in enumerate(pools):
        drawn[:, at] = rng.permutation(np.resize(rng.permutation(pool), rows))
    usual = golden[rng.integers(0, len(golden), rows)]
    mixed = np.where(rng.random(drawn.shape) < rng.random((rows, 1)), usual, drawn)
    return np.ascontiguousarray(np.concatenate([golden, mixed]))


def _categories(count: int) -> Floats:
    codes = np.arange(-1.0, count + _BEYOND)
    return np.append(codes, np.repeat(np.nan, 1 + len(codes) // 20))


def _numbers(at_most: Collection[float], rng: np.random.Generator) -> Floats:
    edges = np.array(sorted(at_most), dtype=np.float64)
    sides = [edges, np.nextafter(edges, np.inf), np.nextafter(edges, -np.inf)]
    between = edges[:-1] + rng.random(max(0, len(edges) - 1)) * np.diff(edges)
    return np.concatenate([*sides, between, np.repeat(_ANYWHERE, 1 + len(edges) // 60)])
