"""Dead letters where they stand, and which of them are meant."""

from collections.abc import Iterator
from dataclasses import dataclass

from stream.records import Headers, RecordBatch
from stream.transport.deadletter import Letter, read_letter
from stream.transport.kafka.ranges import Offsets, TopicRanges
from stream.workers.progress import Advance


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A partition and an offset in it, written ``3:41``; in the order in which letters go back."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True)
class Standing:
    """A record of the dead-letter topic."""

    topic: str
    place: Place
    when: int
    """When it became a dead letter, ms since the epoch."""
    key: bytes | None
    value: bytes | None
    headers: Headers
    """All of them, as they stand there."""
    letter: Letter | None
    """None where somebody else wrote it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters are meant; what is not given leaves none out."""

    reasons: frozenset[str] = frozenset()
    fields: frozenset[str] = frozenset()
    since: int | None = None
    """ms since the epoch; when they became dead letters."""
    until: int | None = None
    """The first moment that is left out."""
    source: tuple[str | None, int] | None = None
    """The topic, where one is given, and the partition that the record stood in."""

    def meets(self, standing: Standing) -> bool:
        """Whether a letter is meant. A record that is none is, unless something is asked of letters."""
        if self.since is not None and standing.when < self.since:
            return False
        if self.until is not None and standing.when >= self.until:
            return False
        letter = standing.letter
        if letter is None:
            return not self.reasons and not self.fields and self.source is None
        if self.source is not None:
            topic, partition = self.source
            if letter.partition != partition or topic not in (None, letter.topic):
                return False
        return (not self.reasons or letter.reason in self.reasons) and (
            not self.fields or letter.field in self.fields
        )


def extent(ranges: TopicRanges, wanted: Wanted) -> tuple[Offsets, Offsets]:
    """From where to where the topic is read; what comes later is of no concern. Raises `Fatal`."""
    return ranges.whole() if wanted.since is None else ranges.since(wanted.since)


def read_standing(
    ranges: TopicRanges, starts: Offsets, ends: Offsets, advance: Advance
) -> Iterator[Standing]:
    """Everything in a range of the dead-letter topic; partitions come mixed. Raises `Fatal`."""
    for records in ranges.read(starts, ends):
        for i in range(len(records)):
            yield stands(records, i)
        advance(len(records))


def stands(records: RecordBatch, i: int) -> Standing:
    """Record i of a batch."""
    key, value, headers = records.keys[i], records.values[i], records.headers(i)
    return Standing(
        topic=records.topic,
        place=Place(int(records.partitions[i]), int(records.offsets[i])),
        when=int(records.timestamps[i]),
        key=key,
        value=value,
        headers=headers,
        letter=read_letter(key, value, headers),
    )
