"""Logs and groups in memory, and the faults that tests ask for."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from stream.errors import Fatal
from stream.records import Headers


class Member(Protocol):
    """A source, as its group sees it."""

    @property
    def topic(self) -> str: ...

    @property
    def group(self) -> str: ...


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as the log holds it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(slots=True)
class Log:
    """One partition."""

    records: list[StoredRecord] = field(default_factory=list)
    low: int = 0

    @property
    def high(self) -> int:
        return self.low + len(self.records)

    def read(self, offset: int, count: int) -> list[StoredRecord]:
        return self.records[offset - self.low : offset - self.low + count]


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

    def create_topic(self, topic: str, partitions: int = 4) -> None:
        self._logs.setdefault(topic, [Log() for _ in range(partitions)])

    def records(self, topic: str, partition: int) -> list[StoredRecord]:
        """What the log holds."""
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
    ) -> None:
        logs = self.logs(topic)
        place = zlib.crc32(key or b"") % len(logs) if partition is None else partition
        log = logs[place]
        log.records.append(StoredRecord(log.high, self.now_ms(), key, value, list(headers)))
