"""What a transaction in the making holds, and what must be passed again if nothing of it stands: pure."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Transaction:
    """The state; every step returns a new one."""

    standing: Mapping[int, int] = field(default_factory=dict)
    """By owned partition, where the group stands: what lies before is answered for good."""
    reached: Mapping[int, int] = field(default_factory=dict)
    """By partition that the open transaction holds outputs or offsets of, the offset it will store."""
    batches: int = 0
    """How many of them are in it; 0 while none is open."""
    lost: bool = False
    """It holds outputs of partitions that are another worker's: it must not be committed."""

    @property
    def is_open(self) -> bool:
        return self.batches > 0


def assigned(transaction: Transaction, committed: Mapping[int, int]) -> Transaction:
    """Partitions came; committed: where the group stands in each."""
    return replace(transaction, standing={**transaction.standing, **committed})


def extended(transaction: Transaction, next_offsets: Mapping[int, int]) -> Transaction:
    """A batch is about to be produced into it."""
    reached = {**transaction.reached, **next_offsets}
    return replace(transaction, reached=reached, batches=transaction.batches + 1)


def committed(transaction: Transaction) -> Transaction:
    """All of it stands, with its offsets."""
    owned = {p: offset for p, offset in transaction.reached.items() if p in transaction.standing}
    return Transaction(standing={**transaction.standing, **owned})


def aborted(transaction: Transaction) -> tuple[Transaction, dict[int, int]]:
    """Nothing of it stands. Returns from where records must be passed again, of partitions still owned."""
    again = {p: transaction.standing[p] for p in transaction.reached if p in transaction.standing}
    return Transaction(standing=transaction.standing), again


def left(transaction: Transaction, partitions: AbstractSet[int]) -> Transaction:
    """These partitions are another worker's now."""
    standing = {p: offset for p, offset in transaction.standing.items() if p not in partitions}
    lost = transaction.lost or not partitions.isdisjoint(transaction.reached)
    return replace(transaction, standing=standing, lost=lost)
