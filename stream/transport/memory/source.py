"""A member of a group of `MemoryBroker`."""

import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

import numpy as np

from stream.errors import Fatal
from stream.records import RecordBatch
from stream.transport.commits import Commits, answered, asked, forgotten, sent
from stream.transport.endpoints import PartitionLag, PartitionListener, Start
from stream.transport.memory.broker import Group, Log, MemoryBroker, StoredRecord

IDLE_STEP_S = 0.001


class MemorySource:
    """A member of a group of `MemoryBroker`; rebalances are cooperative."""

    def __init__(
        self,
        broker: MemoryBroker,
        topic: str,
        group: str,
        listener: PartitionListener,
        start: Start = "earliest",
        *,
        in_transactions: bool = False,
    ) -> None:
        """in_transactions: a `TransactionalSink` stores all offsets, where the group begins too."""
        self._broker, self._topic, self._listener, self._start = broker, topic, listener, start
        self._group_name = group
        self._positions: dict[int, int] = {}
        self._commits = Commits()
        self._in_transactions, self._unstored = in_transactions, dict[int, int]()
        self._paused = self._closed = self._answered = False
        self._group.members.append(self)

    @property
    def topic(self) -> str:
        return self._topic

    @property
    def group(self) -> str:
        return self._group_name

    @property
    def reachable(self) -> bool:
        return not self._broker.down

    @property
    def partition_count(self) -> int:
        return len(self._broker.logs(self._topic)) if self._answered else 0

    @property
    def _group(self) -> Group:
        return self._broker.group(self._topic, self.group)

    def poll(self, events_max: int, wait_ms: int) -> RecordBatch:
        deadline = time.monotonic() + wait_ms / 1000
        self._rebalance()
        if not self._broker.down and not self._broker.rebalancing:
            self._send_commits()
        read = self._read(events_max)
        while not read and time.monotonic() < deadline:
            time.sleep(IDLE_STEP_S)
            read = self._read(events_max)
        records = [record for _, record in read]
        return RecordBatch(
            topic=self._topic,
            partitions=np.array([partition for partition, _ in read], np.int64),
            offsets=np.array([r.offset for r in records], np.int64),
            timestamps=np.array([r.timestamp for r in records], np.int64),
            keys=[r.key for r in records],
            values=[r.value for r in records],
            headers=lambda i: list(records[i].headers),
        )

    @property
    def commits_refused(self) -> int:
        return self._commits.refused

    @property
    def commit_note(self) -> str:
        return ""

    def commit(self, offsets: Mapping[int, int]) -> None:
        self._commits = asked(self._commits, offsets)
        self._send_commits()

    def await_commits(self, within_ms: int) -> bool:
        deadline = time.monotonic() + within_ms / 1000
        was_paused, self._paused = self._paused, True
        while self._commits.wanted and time.monotonic() < deadline:
            self.poll(1, 1)
        self._paused = was_paused
        return not self._commits.wanted

    def _send_commits(self) -> None:
        wanted, group = self._commits.wanted, self._group
        if not self._commits.due:
            return
        is_ours = self in group.members and all(group.owners.get(p) is self for p in wanted)
        stands = wanted if is_ours and not self._broker.down and not self._broker.rebalancing else {}
        group.committed |= stands
        self._commits = answered(sent(self._commits), stands, was_refused=not stands)

    @property
    def unstored(self) -> Mapping[int, int]:
        return dict(self._unstored)

    def stored(self, partitions: AbstractSet[int]) -> None:
        for partition in partitions:
            self._unstored.pop(partition, None)

    def group_metadata(self) -> "MemorySource":
        return self

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def rewind(self, offsets: Mapping[int, int]) -> None:
        self._positions |= {p: offset for p, offset in offsets.items() if p in self._positions}

    def lag(self) -> Mapping[int, PartitionLag]:
        logs, lags = self._broker.logs(self._topic), {}
        for partition, at in self._positions.items():
            unread, _ = logs[partition].read(at, 1)
            since = unread[0].timestamp if unread else -1
            lags[partition] = PartitionLag(at, max(at, logs[partition].high), since)
        return lags

    @property
    def silent_s(self) -> Mapping[int, float]:
        return {}

    def log_range(self, partition: int) -> tuple[int, int]:
        log = self._broker.logs(self._topic)[partition]
        return log.low, log.high

    def partitions_of(self, topic: str) -> int:
        return len(self._broker.logs(topic))

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            self._revoke(set(self._positions))
        finally:
            if self in self._group.members:
                self._group.members.remove(self)

    # --------------------------------------------------------------------------------------------- rebalances
    def _rebalance(self) -> None:
        if self._broker.down:
            return
        group, logs = self._group, self._broker.logs(self._topic)
        if self not in group.members:
            self._lose()
            group.members.append(self)
        share = group.share(self, len(logs))
        self._revoke(set(self._positions) - share)
        for partition in [p for p, owner in group.owners.items() if owner not in group.members]:
            del group.owners[partition]
        free = {p for p in share if p not in group.owners}
        if free or not self._answered:
            self._answered = True
            self._assign(free, logs)

    def _assign(self, partitions: set[int], logs: Sequence[Log]) -> None:
        group = self._group
        from_end = not group.committed and self._start == "latest"
        committed = {}
        for partition in sorted(partitions):
            low, high = logs[partition].low, logs[partition].high
            committed[partition] = offset = group.committed.get(partition, high if from_end else low)
            if not low <= offset <= high:
                raise Fatal(
                    f"{self._topic}[{partition}]: group {self.group} stands at offset {offset}, but the log "
                    f"holds {low} to {high}: records are missing"
                )
        if self._in_transactions:
            self._unstored |= {p: at for p, at in committed.items() if p not in group.committed}
        else:
            group.committed |= committed
        group.owners |= dict.fromkeys(partitions, self)
        elsewhere = self._listener.assigned(committed)
        for partition, offset in (committed | dict(elsewhere)).items():
            self._positions[partition] = max(logs[partition].low, offset)

    def _revoke(self, partitions: set[int]) -> None:
        if not partitions:
            return
        try:
            self._listener.revoked(partitions)
        finally:
            self._forget(partitions)

    def _lose(self) -> None:
        gone = set(self._positions)
        self._forget(gone)
        if gone:
            self._listener.lost(gone)

    def _forget(self, partitions: set[int]) -> None:
        for partition in partitions:
            self._positions.pop(partition, None)
            self._unstored.pop(partition, None)
            self._commits = forgotten(self._commits, {partition})
            if self._group.owners.get(partition) is self:
                del self._group.owners[partition]

    def _read(self, events_max: int) -> list[tuple[int, StoredRecord]]:
        if self._paused or self._broker.down:
            return []
        read: list[tuple[int, StoredRecord]] = []
        logs = self._broker.logs(self._topic)
        for partition in sorted(self._positions.keys() - self._unstored.keys()):
            position = self._positions[partition]
            if position < logs[partition].low:
                raise Fatal(f"{self._topic}[{partition}]: offset {position} was deleted before it was read")
            found, self._positions[partition] = logs[partition].read(position, events_max - len(read))
            read += [(partition, record) for record in found]
        return read
