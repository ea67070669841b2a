"""How much may be sent: no more than a broker that forgets its oldest records can hold for its readers.

librdkafka's mock cluster keeps about 5 MB or 100,000 records a partition and drops the oldest without a
word. So a record counts as *held* until every group has committed past it, and its answer (a prediction
or a dead letter, in the same partition of its own topic) until it was read. No clock and no I/O here.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

HELD_BYTES_MAX = 2_000_000
"""A partition, well below what the mock cluster keeps."""
HELD_RECORDS_MAX = 50_000


@dataclass(slots=True)
class Partition:
    """What was sent to one partition of a topic, who has read how far, and what is still unanswered."""

    ends: list[int] = field(default_factory=lambda: [0])
    """Bytes sent before each offset; the last is the total."""
    committed: dict[str, int] = field(default_factory=dict)
    """The next offset of each group that must read the records."""
    expected: int = 0
    """Answers that are due for what was sent."""
    answers: int = 0
    """Answers read."""

    def held(self) -> tuple[int, int]:
        """Bytes and records that some group has not committed yet."""
        sent = len(self.ends) - 1
        low = min(min(self.committed.values(), default=sent), sent)
        return self.ends[-1] - self.ends[low], sent - low


class Credit:
    """The account of one topic. Offsets of each partition start at 0 and are reported in order.

    One thread sends and another reads answers: `answered` writes nothing that other methods write.
    """

    def __init__(self, partitions: Iterable[int], groups: Iterable[str]) -> None:
        """groups: those that must commit what is sent."""
        names = tuple(groups)
        self._partitions = {p: Partition(committed=dict.fromkeys(names, 0)) for p in partitions}
        self._flying_bytes = 0
        self._flying_records = 0
        self._answer_bytes_max = 0

    def sending(self, size: int) -> None:
        """A record of `size` bytes is on its way; which partition it takes is not known yet."""
        self._flying_bytes += size
        self._flying_records += 1

    def sent(self, partition: int, offset: int, size: int, *, answered: bool) -> None:
        """The broker took the record; `answered`: it brings a prediction or a dead letter.

        Raises `ValueError` where offsets do not follow each other.
        """
        ends = self._partitions[partition].ends
        if offset != len(ends) - 1:
            raise ValueError(f"partition {partition}: offset {offset} after {len(ends) - 1} records")
        ends.append(ends[-1] + size)
        self._partitions[partition].expected += answered
        self._flying_bytes -= size
        self._flying_records -= 1

    def committed(self, group: str, partition: int, offset: int) -> None:
        """A group's next offset; one that went back (or is not there yet, negative) changes nothing."""
        marks = self._partitions[partition].committed
        marks[group] = max(marks[group], offset)

    def answered(self, partition: int, size: int) -> None:
        """The answer to one record of `partition` was read."""
        self._partitions[partition].answers += 1
        self._answer_bytes_max = max(self._answer_bytes_max, size)

    def room(self, record_bytes: int) -> int:
        """How many records of at most `record_bytes` may be sent now.

        Their answers are taken to be as large as that, or as the largest seen.
        What is on its way counts as if it went to the fullest partition, and so do the next records.
        """
        size = max(record_bytes, self._answer_bytes_max)
        return max(0, min((self._room(p, size) for p in self._partitions.values()), default=0))

    def _room(self, partition: Partition, size: int) -> int:
        held_bytes, held_records = partition.held()
        unanswered = partition.expected - partition.answers + self._flying_records
        return min(
            (HELD_BYTES_MAX - held_bytes - self._flying_bytes) // size,
            HELD_RECORDS_MAX - held_records - self._flying_records,
            HELD_BYTES_MAX // size - unanswered,
            HELD_RECORDS_MAX - unanswered,
        )
