"""What the online store holds beside the rows: its epoch, progress, loaded history; and whether it lost any.

A store that lost its state has no epoch. A node of a cluster may lose its part while the epoch outlives
it on another; then witnesses are missing, and whoever sees that gives the store a new epoch, so that all
progress of the old one counts as absent for everybody.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from msgspec import structs

from features.keys import Namespace
from features.progress import HistoryClaim, Progress, decode_claim, decode_progress, encode_progress
from features.store import OnlineStore, StoreUnavailable
from stream.engine.lease import is_held

RENEWALS_MAX = 8


@dataclass(frozen=True, slots=True)
class Stored:
    """What the store said at one moment."""

    epoch: str
    life: str
    progress: Mapping[int, Progress | None]
    """By partition that was asked for."""
    history: HistoryClaim | None
    loading: bool
    """Whether somebody is loading history."""
    has_predecessor: bool
    """Whether rows of the layout before hold entries that are not in ours."""
    may_inherit: bool
    """Whether that is so since the namespace began: nothing of it was lost."""


class StoredState:
    """Of one namespace. Every method raises `StoreUnavailable` and `StoreRejected`."""

    def __init__(
        self,
        namespace: Namespace,
        store: OnlineStore,
        now_ms: Callable[[], int],
        new_epoch: Callable[[], str],
        ttl_ms: int | None,
    ) -> None:
        """ttl_ms: how long rows live, those of the layout before too."""
        self._namespace = namespace
        self._store = store
        self._now_ms = now_ms
        self._new_epoch = new_epoch
        self._ttl_ms = ttl_ms
        self._written: dict[tuple[str, int], str] = {}
        """By topic and partition: the epoch of the progress that was written last."""

    def read(self, topic: str, partitions: Collection[int]) -> Stored:
        """The store's epoch, set now if it has none, and what it knows of these partitions."""
        life = self._store.life()  # asked first: what is read may be of a newer one, never of an older
        names = self._namespace
        beside = [names.epoch(), names.history(), names.loading(), names.predecessor()]
        progress = [names.progress(topic, partition) for partition in partitions]
        for _ in range(RENEWALS_MAX):
            values = self._store.read([*beside, *progress, *names.witnesses()])
            epoch, history, loading, predecessor = values[: len(beside)]
            witnesses = values[len(beside) + len(progress) :]
            if epoch is not None and None not in witnesses:
                break
            self._renew(epoch, is_new=epoch is None and not any(witnesses))
        else:
            raise StoreUnavailable("keys vanish as soon as they are written; Redis must run noeviction")
        name = epoch.decode()
        known = zip(partitions, values[len(beside) : len(beside) + len(progress)], strict=True)
        return Stored(
            epoch=name,
            life=life,
            progress={partition: decode_progress(value, name) for partition, value in known},
            history=decode_claim(history, name),
            loading=is_held(loading, self._now_ms()),
            has_predecessor=predecessor is not None,
            may_inherit=predecessor is not None and epoch in predecessor,
        )

    def inherited(self, topic: str, stored: Stored) -> Stored:
        """With the progress that the layout before had of partitions that have none in this one.

        Its rows are united with ours by whoever reads them, for as long as they live.
        """
        missing = [partition for partition, known in stored.progress.items() if known is None]
        if not missing or not stored.may_inherit:
            return stored
        before = self._namespace.previous()
        keys = [before.progress(topic, partition) for partition in missing]
        epoch, *values = self._store.read([before.epoch(), *keys])
        if epoch is None:
            return stored
        old = zip(missing, [decode_progress(value, epoch.decode()) for value in values], strict=True)
        found = {p: structs.replace(known, epoch=stored.epoch) for p, known in old if known is not None}
        return replace(stored, progress={**stored.progress, **found})

    def is_still(self, epoch: str) -> bool:
        """Whether the store has lost nothing since, as far as anybody noticed."""
        return self._store.read([self._namespace.epoch()]) == [epoch.encode()]

    def lost(self, topic: str, stored: Stored) -> bool:
        """Whether progress vanished that was written in this very epoch."""
        return any(
            known is None and self._written.get((topic, partition)) == stored.epoch
            for partition, known in stored.progress.items()
        )

    def renew(self, epoch: str) -> None:
        """State of this epoch was lost: whatever progress it has is to count as absent."""
        self._renew(epoch.encode(), is_new=False)

    def write(self, topic: str, progress: Mapping[int, Progress]) -> None:
        for partition, known in progress.items():
            self._store.advance(self._namespace.progress(topic, partition), encode_progress(known))
            self._written[topic, partition] = known.epoch

    def claim(self, claim: HistoryClaim) -> None:
        """Say that a history is in the rows, together with one that was before it and touches it."""
        key, said = self._namespace.history(), encode_progress(claim)
        there = self._store.put_if_absent(key, said)
        known = decode_claim(there, claim.epoch)
        if known is not None:
            said = encode_progress(united(known, claim))
        if there != said and not self._store.replace(key, there, said, None):
            raise StoreUnavailable("somebody else wrote down another history at the same time; try again")

    def _renew(self, seen: bytes | None, is_new: bool) -> None:
        """The epoch comes first: were the witnesses back before it, a crash between would hide the loss."""
        fresh, names = self._new_epoch().encode(), self._namespace
        if is_new and self._store.read([names.previous().epoch()]) != [None]:
            self._store.append([(names.predecessor(), fresh)], self._ttl_ms)
        if seen is None:
            self._store.put_if_absent(names.epoch(), fresh)
        else:
            self._store.replace(names.epoch(), seen, fresh, None)
        self._store.append([(key, b".") for key in names.witnesses()], None)


def united(one: HistoryClaim, other: HistoryClaim) -> HistoryClaim:
    """What two histories cover without a gap; of two that do not touch, the later one."""
    first, last = sorted((one, other), key=lambda claim: (claim.until, claim.since))
    if first.until < last.since:
        return last
    return HistoryClaim(epoch=last.epoch, since=min(first.since, last.since), until=last.until)
