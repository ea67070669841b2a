"""Records that a group can never read: what is missing, and what a person does about it."""

from collections.abc import Mapping
from dataclasses import dataclass

NOTE = "topic_id="


def note_of(topic_id: str | None) -> str:
    """What is stored beside each offset, so that a topic made anew is recognised by whoever comes next."""
    return NOTE + topic_id if topic_id else ""


def noted_id(note: str | None) -> str | None:
    """The topic's id in a note; None where there is none (an operator set the offset, or an older worker)."""
    return note.removeprefix(NOTE) if note and note.startswith(NOTE) else None


@dataclass(frozen=True, slots=True)
class Standing:
    """A group's place in one topic."""

    topic: str
    group: str

    def outside(self, partition: int, offset: int, low: int, high: int) -> str:
        """The group stands where the log holds nothing any more, or nothing yet."""
        if offset < low:
            what = f"records {offset} to {low - 1} were deleted before they were read"
        else:
            what = f"records {high} to {offset - 1} are not in it: it was cut, or made anew"
        return (
            f"{self.topic}[{partition}]: group {self.group} stands at offset {offset}, but the log holds "
            f"{low} to {high}: {what}; {self._mend(f'{self.topic}:{partition}')}"
        )

    def cut(self, partition: int, offset: int, reason: str) -> str:
        """The log was cut before the group's place, and has grown past it again. reason: the client's."""
        return (
            f"{self.topic}[{partition}]: its log was cut before offset {offset}, where group {self.group} "
            f"stands, and has other records there now ({reason}); {self._mend(f'{self.topic}:{partition}')}"
        )

    def deleted(self, unread: Mapping[int, tuple[int, int]]) -> str:
        """unread: by partition, where the group stood and the log's end, when both were last seen."""
        return (
            f"topic {self.topic} was deleted under group {self.group}: {_missing(unread)}; create it with "
            "`riverrun topics create`; brokers forget a group's offsets with the topic, so kafka.start says "
            "where the group begins then"
        )

    def made_anew(self, before: str, now: str, unread: Mapping[int, tuple[int, int]]) -> str:
        """before, now: the topic's ids. unread: as for `deleted`, of the topic as it was."""
        return (
            f"topic {self.topic} was deleted and made anew (its id was {before}, and is {now}): group "
            f"{self.group} stands in the old one: {_missing(unread)}; to go on from the old offsets would "
            f"skip what the new one holds before them; {self._mend(self.topic)}"
        )

    def _mend(self, place: str) -> str:
        return (
            "account for them, stop the group's workers, choose where it goes on with `kafka-consumer-groups "
            f"--group {self.group} --topic {place} --reset-offsets --to-earliest --execute`, and start again"
        )


def _missing(unread: Mapping[int, tuple[int, int]]) -> str:
    """An end that is not known is negative."""
    lost = []
    for partition, (at, end) in sorted(unread.items()):
        if end > at:
            lost.append(f"[{partition}] {at} to {end - 1}")
        elif end < 0:
            lost.append(f"[{partition}] {at} and whatever followed")
    if lost:
        return f"records that were not read, and are lost: {', '.join(lost)}"
    read_up_to = ", ".join(f"[{partition}] {at}" for partition, (at, _) in sorted(unread.items()))
    return f"when it was last seen its records had all been read (before {read_up_to or 'any came'})"
