"""Logs and groups in memory, and the faults that tests ask for."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

from stream.errors import Fatal
from stream.records import Headers


class Member(Protocol):
    """A source, as its group sees it."""

    @property
    def topic(self) -> str: ...

    @property
    def group(self) -> str: ...


class Fate(Enum):
    """What became of a transaction."""

    OPEN = auto()
    COMMITTED = auto()
    ABORTED = auto()


@dataclass(slots=True)
class OpenTransaction:
    """What a producer with a name produces at one go."""

    name: str
    epoch: int
    fate: Fate = Fate.OPEN


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as the log holds it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    transaction: OpenTransaction | None = None

    @property
    def fate(self) -> Fate:
        return Fate.COMMITTED if self.transaction is None else self.transaction.fate


@dataclass(slots=True)
class Log:
    """One partition."""

    records: list[StoredRecord] = field(default_factory=list)
    low: int = 0

    @property
    def high(self) -> int:
        return self.low + len(self.records)

    def read(self, offset: int, count: int) -> tuple[list[StoredRecord], int]:
        """What `read_committed` shows of it from an offset on, and where to read on."""
        found: list[StoredRecord] = []
        for record in self.records[offset - self.low :]:
            if len(found) == count or record.fate is Fate.OPEN:
                break
            offset = record.offset + 1
            if record.fate is Fate.COMMITTED:
                found.append(record)
        return found, offset


@dataclass(slots=True)
class Group:
    """Who reads a topic, what is whose, and how far it is."""

    members: list[Member] = field(default_factory=list)
    owners: dict[int, Member] = field(default_factory=dict)
    committed: dict[int, int] = field(default_factory=dict)

    def share(self, member: Member, partitions: int) -> set[int]:
        """What `member` should hold when the group has settled."""
        place = self.members.index(member)
        return {p for p in range(partitions) if p % len(self.members) == place}


class MemoryBroker:
    """Topics and groups, and the faults that tests ask for."""

    def __init__(self, now_ms: Callable[[], int] = lambda: 0, message_bytes_max: int = 1_000_000) -> None:
        self.now_ms = now_ms
        self.message_bytes_max = message_bytes_max
        self.down = False
        """While true nothing is read, committed or acknowledged."""
        self.rebalancing = False
        """While true groups refuse commits, and whoever holds partitions keeps them."""
        self._logs: dict[str, list[Log]] = {}
        self._groups: dict[tuple[str, str], Group] = {}
        self._topic_bytes_max: dict[str, int] = {}
        self._transactions: dict[str, OpenTransaction] = {}

    def create_topic(self, topic: str, partitions: int = 4, bytes_max: int | None = None) -> None:
        """bytes_max: what a record may take here; the broker's limit where none is given."""
        self._logs.setdefault(topic, [Log() for _ in range(partitions)])
        if bytes_max is not None:
            self._topic_bytes_max[topic] = bytes_max

    def bytes_max(self, topic: str) -> int:
        return self._topic_bytes_max.get(topic, self.message_bytes_max)

    def records(self, topic: str, partition: int) -> list[StoredRecord]:
        """What `read_committed` shows of the log."""
        log = self._logs[topic][partition]
        return log.read(log.low, len(log.records))[0]

    def all_records(self, topic: str, partition: int) -> list[StoredRecord]:
        """What the log holds, of open and aborted transactions too."""
        return list(self._logs[topic][partition].records)

    def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """What retention does."""
        log = self._logs[topic][partition]
        del log.records[: offset - log.low]
        log.low = offset

    def committed(self, topic: str, group: str) -> Mapping[int, int]:
        return dict(self.group(topic, group).committed)

    def expel(self, source: Member) -> None:
        """The group takes `source` for dead; it cannot commit, and learns why in its next poll."""
        self.group(source.topic, source.group).members.remove(source)

    def open_transaction(self, name: str) -> OpenTransaction:
        """The next one of this name; whoever used it before is fenced, and what that left open aborted."""
        before = self._transactions.get(name)
        if before is not None and before.fate is Fate.OPEN:
            before.fate = Fate.ABORTED
        made = self._transactions[name] = OpenTransaction(name, 1 if before is None else before.epoch + 1)
        return made

    def is_fenced(self, transaction: OpenTransaction) -> bool:
        return self._transactions.get(transaction.name) is not transaction

    def end_transaction(
        self, transaction: OpenTransaction, member: Member | None, offsets: Mapping[int, int]
    ) -> None:
        """Commit it with these offsets of the member's group; without a member, abort it."""
        if member is not None:
            self.group(member.topic, member.group).committed |= offsets
        transaction.fate = Fate.ABORTED if member is None else Fate.COMMITTED

    def takes_offsets(self, member: Member) -> bool:
        """As Kafka: from any member of the group as it is now, whatever it owns."""
        return not self.rebalancing and member in self.group(member.topic, member.group).members

    def logs(self, topic: str) -> list[Log]:
        if topic not in self._logs:
            raise Fatal(f"topic {topic}: does not exist; create it with `riverrun topics create`")
        return self._logs[topic]

    def group(self, topic: str, group: str) -> Group:
        return self._groups.setdefault((topic, group), Group())

    def append(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        partition: int | None = None,
        transaction: OpenTransaction | None = None,
    ) -> None:
        logs = self.logs(topic)
        place = zlib.crc32(key or b"") % len(logs) if partition is None else partition
        log = logs[place]
        log.records.append(StoredRecord(log.high, self.now_ms(), key, value, list(headers), transaction))
