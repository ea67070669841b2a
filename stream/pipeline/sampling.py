"""Shares of the events, drawn by their ids: the same events wherever and however often it is asked."""

from enum import Enum

import numpy as np

from features.arrays import Bools, UInts


class Draw(Enum):
    """What a share is drawn for. Each has its own mixture, so that one draw tells nothing of another."""

    CONTROL = 0x9E3779B97F4A7C15
    FEATURES = 0xD1B54A32D192ED03


def drawn(hashes: UInts, share: float, draw: Draw) -> Bools:
    """Whether each event is in the share, shape (n,). hashes: `EventBatch.hashes`; share: 0 to 1."""
    mixed = hashes ^ np.uint64(draw.value)
    # The finalizer of SplitMix64 (Steele, Lea and Flood 2014): every input bit moves every output bit.
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    # The upper 53 bits are exact in float64 and less than 1, so that a share of 1 holds every event.
    return (mixed >> np.uint64(11)) * 2.0**-53 < share
