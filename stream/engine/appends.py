"""Batches on their way into the store: at most one is being appended while the next is decoded."""

from collections import deque
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from features.store import Appending, OnlineStore
from stream.engine.completeness import Reach
from stream.engine.entries import Batch

BATCHES_MAX = 2


@dataclass(slots=True)
class Pending:
    """Records that were polled and whose entries may not all be in the store."""

    batch: Batch
    reached: dict[int, Reach]
    """By partition; those that left meanwhile are taken out."""
    records: int


class Appends:
    """In the order of polling. A batch whose append failed stays, to be appended again as a whole."""

    def __init__(self, store: OnlineStore, ttl_ms: int | None) -> None:
        self._store = store
        self._ttl_ms = ttl_ms
        self._waiting: deque[Pending] = deque()
        self._appending: Appending | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def under_way(self) -> bool:
        """Whether the oldest batch is being appended: until `finish` the store takes no other call."""
        return self._appending is not None

    def add(self, pending: Pending) -> None:
        assert len(self._waiting) < BATCHES_MAX, "a source is paused while the store does not keep up"
        self._waiting.append(pending)

    def begin(self) -> None:
        """Begin with the oldest batch, unless that is done. Raises what the store raises."""
        if self._appending is None and self._waiting:
            self._appending = self._store.begin_append(self._waiting[0].batch.chunks, self._ttl_ms)

    def finish(self) -> tuple[Pending, Mapping[bytes, int]]:
        """The oldest batch is in the store, with the length of each row; raises what the store raises."""
        appending, self._appending = self._appending, None
        assert appending is not None, "begin first"
        lengths = appending.lengths()
        return self._waiting[0], lengths

    def done(self) -> None:
        """The store says how far it is with the oldest batch."""
        self._waiting.popleft()

    def leave(self, partitions: AbstractSet[int]) -> None:
        """Partitions left: of them nothing more is to be said."""
        for pending in self._waiting:
            for partition in partitions:
                pending.reached.pop(partition, None)

    def drop(self) -> None:
        """Everything is polled again."""
        assert self._appending is None, "what is under way must come to an end first"
        self._waiting.clear()
