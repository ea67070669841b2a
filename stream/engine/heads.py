"""What is read beside rows to know how complete they are: the progress of partitions.

While rows of the previous layout hold what today's do not, which the store says, a partition that nobody took
over into today's layout yet has the progress that it had there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from features.keys import Namespace
from features.progress import Progress, decode_progress


@dataclass(frozen=True, slots=True)
class Heads:
    """How complete rows are."""

    progress: Sequence[Sequence[Progress | None]]
    """By topic that was asked for, by partition."""
    has_predecessor: bool
    """Whether the rows must be united with those of the previous layout."""


@dataclass(frozen=True, slots=True)
class HeadsRequest:
    """What to read for it."""

    keys: Sequence[bytes]
    topics: Sequence[tuple[str, int]]
    """With their numbers of partitions."""
    with_previous: bool

    def decode(self, answer: Sequence[bytes | None]) -> Heads:
        """From the values of `keys`."""
        if not answer:
            return Heads([[None] * count for _, count in self.topics], False)
        has_predecessor, values = answer[0] is not None, answer[1:]
        found = _decode(values[: len(values) // 2] if self.with_previous else values)
        if self.with_previous and has_predecessor:
            before = _decode(values[len(values) // 2 :])
            found = [old if new is None else new for new, old in zip(found, before, strict=True)]
        progress, at = [], 0
        for _, count in self.topics:
            progress.append(found[at : at + count])
            at += count
        return Heads(progress, has_predecessor)


def request_heads(
    namespace: Namespace, topics: Sequence[tuple[str, int]], previous: Namespace | None
) -> HeadsRequest:
    """Nothing where there are no partitions. previous: ask for the progress in that layout too."""
    if not any(count for _, count in topics):
        return HeadsRequest([], topics, previous is not None)
    keys = [namespace.predecessor()]
    for names in [namespace, *([] if previous is None else [previous])]:
        keys.append(names.epoch())
        keys += [names.progress(topic, partition) for topic, count in topics for partition in range(count)]
    return HeadsRequest(keys, topics, previous is not None)


def _decode(values: Sequence[bytes | None]) -> list[Progress | None]:
    """From an epoch, and the progress of partitions."""
    epoch, *progress = values
    if epoch is None:
        return [None] * len(progress)
    return [decode_progress(value, epoch.decode()) for value in progress]
