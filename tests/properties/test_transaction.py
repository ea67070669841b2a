"""What must be passed again when a transaction is aborted: as a log that remembers everything has it."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from stream.engine.transaction import Transaction, aborted, assigned, committed, extended, left

PARTITIONS = st.sets(st.integers(0, 2), min_size=1)


class Transactions(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.state = Transaction()
        self.group = {0: 0, 1: 0, 2: 0}
        """Where it stands, whoever owns what."""
        self.position: dict[int, int] = {}
        """By owned partition, up to where it is answered, for good or in the open transaction."""
        self.touched: set[int] = set()
        self.torn = False

    @rule(partitions=PARTITIONS)
    def partitions_come(self, partitions: set[int]) -> None:
        came = {p: self.group[p] for p in partitions - self.position.keys()}
        self.position |= came
        self.state = assigned(self.state, came)

    @rule(steps=st.dictionaries(st.integers(0, 2), st.integers(1, 3)))
    def a_batch_is_published(self, steps: dict[int, int]) -> None:
        ends = {p: self.position[p] + step for p, step in steps.items() if p in self.position}
        self.position |= ends
        self.touched |= ends.keys()
        self.state = extended(self.state, ends)
        assert self.state.is_open

    @rule(partitions=PARTITIONS)
    def partitions_leave(self, partitions: set[int]) -> None:
        self.torn = self.torn or bool(partitions & self.touched)
        self.position = {p: at for p, at in self.position.items() if p not in partitions}
        self.state = left(self.state, partitions)

    @rule(stands=st.booleans())
    def it_ends(self, stands: bool) -> None:
        if stands and not self.state.lost:
            self.group |= self.state.reached
            assert self.state.reached == {p: self.position[p] for p in self.touched}
            self.state = committed(self.state)
        else:
            self.state, again = aborted(self.state)
            assert again == {p: self.group[p] for p in self.touched & self.position.keys()}
            self.position |= again
        self.touched, self.torn = set(), False
        assert not self.state.is_open

    @invariant()
    def it_must_not_be_committed_once_a_partition_left_that_it_answers(self) -> None:
        assert self.state.lost == self.torn

    @invariant()
    def it_knows_where_the_group_stands_in_what_is_owned(self) -> None:
        assert self.state.standing == {p: self.group[p] for p in self.position}


TestTransactions = Transactions.TestCase
TestTransactions.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
