"""Commits that are refused, late or overtaken: in the end the group stands where it was last asked to."""

from collections.abc import Mapping

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from stream.transport.commits import Commits, answered, asked, forgotten, sent

PARTITIONS = st.integers(0, 2)


class GroupOfOne(RuleBasedStateMachine):
    """A member, the requests it has under way, and what the broker stored."""

    @initialize()
    def begin(self) -> None:
        self.commits = Commits()
        self.requests: list[Mapping[int, int]] = []
        self.stored: dict[int, int] = {}
        self.last: dict[int, int] = {}

    @rule(partition=PARTITIONS, offset=st.integers(0, 5))
    def ask(self, partition: int, offset: int) -> None:
        self.commits = asked(self.commits, {partition: offset})
        self.last[partition] = offset

    @rule()
    def send(self) -> None:
        if self.commits.due:
            self.requests.append(dict(self.commits.wanted))
            self.commits = sent(self.commits)

    @rule(taken=st.sets(PARTITIONS))
    def answer(self, taken: set[int]) -> None:
        """The broker stores some of a request, and refuses the rest."""
        if self.requests:
            request = self.requests.pop(0)
            stands = {p: offset for p, offset in request.items() if p in taken}
            self.stored |= stands
            self.commits = answered(self.commits, stands, was_refused=stands != request)

    @rule(partition=PARTITIONS)
    def leave(self, partition: int) -> None:
        self.commits = forgotten(self.commits, {partition})
        self.last.pop(partition, None)

    @invariant()
    def one_request_at_a_time(self) -> None:
        assert len(self.requests) == self.commits.under_way <= 1

    @invariant()
    def what_is_not_wanted_stands(self) -> None:
        for partition, offset in self.last.items():
            if partition not in self.commits.wanted:
                assert self.stored[partition] == offset
            else:
                assert self.commits.wanted[partition] == offset

    def teardown(self) -> None:
        while self.requests or self.commits.wanted:
            self.send()
            self.answer({0, 1, 2})
        assert self.last.items() <= self.stored.items()


TestCommits = GroupOfOne.TestCase
