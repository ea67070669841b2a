"""Which offsets a group was asked to store, and which of them stand: pure bookkeeping.

One request is under way at a time, so that an older one never comes after a newer one. What was asked
for meanwhile, and what was refused, goes with the next.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Commits:
    """The state; every step returns a new one."""

    wanted: Mapping[int, int] = field(default_factory=dict)
    """By partition: the offset that was asked for last and is not known to stand."""
    under_way: int = 0
    """Requests without an answer."""
    refused: int = 0
    """Answers so far that refused something."""

    @property
    def due(self) -> bool:
        """Whether a request may be sent, and there is something to ask for."""
        return bool(self.wanted) and not self.under_way


def asked(commits: Commits, offsets: Mapping[int, int]) -> Commits:
    """The latest word on a partition counts."""
    return replace(commits, wanted={**commits.wanted, **offsets})


def sent(commits: Commits) -> Commits:
    """A request for all that is wanted is under way."""
    return replace(commits, under_way=commits.under_way + 1)


def answered(commits: Commits, stands: Mapping[int, int], was_refused: bool) -> Commits:
    """A request was answered. stands: by partition, the offset it brought the group to."""
    left = {p: offset for p, offset in commits.wanted.items() if stands.get(p) != offset}
    refused = commits.refused + was_refused
    return replace(commits, wanted=left, under_way=commits.under_way - 1, refused=refused)


def forgotten(commits: Commits, partitions: AbstractSet[int]) -> Commits:
    """These partitions are another member's: nothing is asked for them."""
    left = {p: offset for p, offset in commits.wanted.items() if p not in partitions}
    return replace(commits, wanted=left)
