"""What stands in the events topic, by position: every record, and what must become of it."""

from bisect import insort
from dataclasses import dataclass, field

from stream.records import Headers
from tests.integration.records import Position
from tests.integration.usecase import Visit


@dataclass(frozen=True, slots=True)
class Planned:
    """A record that is about to be produced."""

    kind: str
    """What is odd about it; ``event`` where nothing is."""
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    visit: Visit | None
    """The event that it is; None for one that is none."""
    reason: str | None
    """Why it must be dead-lettered; None where it must be predicted."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A record that the broker has acknowledged."""

    position: Position
    key: bytes | None
    visit: Visit | None
    reason: str | None
    kind: str
    acked_ms: int
    """When the broker said that it has it."""
    value: bytes | None = None
    """Of dead letters to be, to compare; events can do without."""
    headers: Headers = field(default_factory=list)
    is_late: bool = False
    """Older than the grace period when it came."""

    @classmethod
    def of(cls, planned: Planned, offset: int, acked_ms: int, is_late: bool) -> "Sent":
        doomed = planned.reason is not None
        return cls(
            (planned.partition, offset),
            planned.key,
            planned.visit,
            planned.reason,
            planned.kind,
            acked_ms,
            planned.value if doomed else None,
            planned.headers if doomed else [],
            is_late,
        )


class Books:
    """Written by the generator's thread, read by others; entries are only ever added."""

    def __init__(self) -> None:
        self.in_order: list[Sent] = []
        """As they were acknowledged."""
        self._sent: dict[Position, Sent] = {}

    def note(self, sent: Sent) -> None:
        self._sent[sent.position] = sent
        self.in_order.append(sent)

    def insert(self, sent: Sent) -> None:
        """As `note`, of one that was acknowledged some time ago. The generator has finished."""
        self._sent[sent.position] = sent
        insort(self.in_order, sent, key=lambda one: one.acked_ms)

    def __len__(self) -> int:
        return len(self.in_order)

    def get(self, position: Position) -> Sent | None:
        return self._sent.get(position)
