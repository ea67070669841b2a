"""What a model is measured on: later events after a gap, or entities it has not seen."""

from collections.abc import Sequence

import numpy as np

from features.arrays import Bools, Ints
from features.event import hash_ids

HELD_OUT_SHARE = 0.2
"""The last part of the training time that is held out when there is nothing after it."""

_SALT = "group split\x1f"
"""Keeps this assignment independent of every other that hashes entity keys."""


def group_test_mask(keys: Sequence[str | None], test_share: float) -> Bools:
    """Which events are held out, (n,): all of a group or none, by a hash of its key, whatever else there is.

    Events without a key are trained on.
    """
    places: dict[str, int] = {}
    of_event = np.array(
        [-1 if key is None else places.setdefault(key, len(places)) for key in keys], np.int64
    )
    limit = np.uint64(
        min(test_share, 1.0) * (2**64 - 2**12)
    )  # the largest float64 below 2**64 is 2**64 - 2**11
    held_out = np.append(hash_ids(_SALT + key for key in places) < limit, [False])
    return np.asarray(held_out[of_event], dtype=np.bool_)


def time_split(times: Ints, start: int, end: int, gap: int) -> tuple[Bools, Bools]:
    """Within [start, end): the last `HELD_OUT_SHARE` of the time, and what is `gap` or more before it.

    Returns (train, test), each (n,); either may be empty.
    """
    cut = end - round((end - start) * HELD_OUT_SHARE)
    return (times >= start) & (times < cut - gap), (times >= cut) & (times < end)
