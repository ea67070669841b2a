"""Which offsets may be committed: pure bookkeeping of batches and their acknowledgements.

A batch covers the records up to some offset in each of its partitions and waits for a number of
acknowledgements. Batches of a partition are opened in offset order; an offset may be committed once its
batch and all earlier ones of the partition are acknowledged.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class _Open:
    number: int
    next_offsets: Mapping[int, int]
    missing: int
    """Records not yet acknowledged."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """The state; every step returns a new one."""

    batches: tuple[_Open, ...] = ()
    """Not yet committable, oldest first; an acknowledged one waits here for those before it."""
    reached: Mapping[int, int] = field(default_factory=dict)
    """Committable and not yet committed, by partition."""
    last_number: int = 0

    @property
    def in_flight(self) -> int:
        return len(self.batches)


def opened(delivery: Delivery, next_offsets: Mapping[int, int], expected: int) -> tuple[Delivery, int]:
    """A batch was produced; `expected` records of it will be acknowledged. Returns its number."""
    number = delivery.last_number + 1
    batches = (*delivery.batches, _Open(number, dict(next_offsets), expected))
    return _settled(replace(delivery, batches=batches, last_number=number)), number


def acknowledged(delivery: Delivery, number: int, count: int) -> Delivery:
    """`count` records of batch `number` stand in the output; an unknown number is of a forgotten batch."""
    batches = tuple(
        replace(batch, missing=batch.missing - count) if batch.number == number else batch
        for batch in delivery.batches
    )
    assert all(batch.missing >= 0 for batch in batches), "more acknowledgements than records"
    return _settled(replace(delivery, batches=batches))


def committed(delivery: Delivery, offsets: Mapping[int, int]) -> Delivery:
    """These offsets are stored; what was reached meanwhile stays to be committed."""
    left = {p: offset for p, offset in delivery.reached.items() if offsets.get(p, -1) < offset}
    return replace(delivery, reached=left)


def forgotten(delivery: Delivery, partitions: AbstractSet[int]) -> Delivery:
    """These partitions are another worker's: nothing of them may be committed any more."""
    batches = tuple(
        replace(batch, next_offsets={p: o for p, o in batch.next_offsets.items() if p not in partitions})
        for batch in delivery.batches
    )
    reached = {p: offset for p, offset in delivery.reached.items() if p not in partitions}
    return replace(delivery, batches=batches, reached=reached)


def _settled(delivery: Delivery) -> Delivery:
    """Move what no earlier unacknowledged batch holds back from `batches` to `reached`."""
    reached = dict(delivery.reached)
    left: list[_Open] = []
    held: set[int] = set()
    for batch in delivery.batches:
        free = {p: o for p, o in batch.next_offsets.items() if p not in held} if batch.missing == 0 else {}
        reached.update(free)
        kept = {p: o for p, o in batch.next_offsets.items() if p not in free}
        held |= set(kept)
        if batch.missing or kept:
            left.append(replace(batch, next_offsets=kept))
    return replace(delivery, batches=tuple(left), reached=reached)
