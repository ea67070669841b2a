"""How many records the next poll may bring: more while records wait, fewer while there is slack.

Pure. Small batches answer sooner, large ones cost less each; a full batch with records waiting
behind it says that throughput matters now.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    events_min: int
    events_max: int

    def __post_init__(self) -> None:
        if not 1 <= self.events_min <= self.events_max:
            raise ValueError(f"1 <= events_min <= events_max does not hold: {self}")


def next_size(size: int, received: int, waiting: int, policy: BatchPolicy) -> int:
    """The size of the next batch.

    size: what the last poll could bring. received: what it brought. waiting: the lag behind it, in
    records. Doubles while full batches leave as much again behind; halves when less than a half came.
    """
    if received >= size and waiting >= size:
        size *= 2
    elif received < size // 2:
        size //= 2
    return max(policy.events_min, min(size, policy.events_max))
