"""Lists of cases, as rules and decisions are: the first whose condition is true wins."""

from collections.abc import Mapping, Sequence

import numpy as np

from features.arrays import Column, Ints
from features.expression import Expression, truth


def first_match(conditions: Sequence[Expression | None], columns: Mapping[str, Column], n: int) -> Ints:
    """The place of the first condition that holds for each of n events; -1 where none does.

    None always holds. A condition that is null does not.
    """
    place = np.full(n, -1, dtype=np.int64)
    open_ = np.ones(n, dtype=np.bool_)
    for at, condition in enumerate(conditions):
        holds = open_ if condition is None else open_ & truth(condition.evaluate(columns, n))
        place[holds] = at
        open_ = open_ & ~holds
        if not open_.any():
            break
    return place
