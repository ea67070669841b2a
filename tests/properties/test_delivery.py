"""Commit logic: no offset is committed before everything up to it is delivered."""

from collections.abc import Mapping

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stream.engine.delivery import Delivery, acknowledged, committed, forgotten, opened


class Deliveries(RuleBasedStateMachine):
    """Batches over three partitions, acknowledged in any order, with rebalances in between."""

    def __init__(self) -> None:
        super().__init__()
        self.state = Delivery()
        self.position = {0: 0, 1: 0, 2: 0}
        self.open: dict[int, tuple[Mapping[int, int], int]] = {}
        """By batch: where it ends in each partition it still counts for, and how much is missing."""
        self.stored: dict[int, int] = {}

    @rule(steps=st.dictionaries(st.integers(0, 2), st.integers(1, 5), min_size=1), outputs=st.integers(0, 6))
    def produce(self, steps: dict[int, int], outputs: int) -> None:
        ends = {}
        for partition, count in steps.items():
            self.position[partition] += count
            ends[partition] = self.position[partition]
        self.state, number = opened(self.state, ends, outputs)
        self.open[number] = (ends, outputs)

    @precondition(lambda self: any(missing for _, missing in self.open.values()))
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from([n for n, (_, missing) in self.open.items() if missing]))
        ends, missing = self.open[number]
        count = data.draw(st.integers(1, missing))
        self.open[number] = (ends, missing - count)
        self.state = acknowledged(self.state, number, count)

    @rule()
    def commit(self) -> None:
        offsets = dict(self.state.reached)
        for partition, offset in offsets.items():
            assert offset > self.stored.get(partition, 0) or partition not in self.stored
            self.stored[partition] = offset
        self.state = committed(self.state, offsets)
        assert not self.state.reached

    @rule(partition=st.integers(0, 2))
    def revoke(self, partition: int) -> None:
        self.state = forgotten(self.state, {partition})
        self.stored.pop(partition, None)
        self.open = {
            n: ({p: e for p, e in ends.items() if p != partition}, missing)
            for n, (ends, missing) in self.open.items()
        }
        assert partition not in self.state.reached

    @invariant()
    def nothing_undelivered_is_committable(self) -> None:
        for partition, offset in self.state.reached.items():
            undelivered = [
                ends[partition] for ends, missing in self.open.values() if missing and partition in ends
            ]
            assert all(offset < end for end in undelivered)

    @invariant()
    def everything_delivered_in_order_is_committable(self) -> None:
        for partition in self.position:
            ends = [(e[partition], missing) for e, missing in self.open.values() if partition in e]
            delivered = 0
            for end, missing in ends:
                if missing:
                    break
                delivered = end
            assert max(self.state.reached.get(partition, 0), self.stored.get(partition, 0)) == delivered

    @invariant()
    def what_is_done_is_not_kept(self) -> None:
        assert self.state.in_flight <= len(self.open)
        if all(missing == 0 for _, missing in self.open.values()):
            assert self.state.in_flight == 0


TestDeliveries = Deliveries.TestCase
TestDeliveries.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


def test_an_acknowledgement_of_a_forgotten_batch_changes_nothing() -> None:
    assert acknowledged(Delivery(), 7, 3) == Delivery()


def test_a_batch_without_outputs_is_committable_at_once() -> None:
    state, _ = opened(Delivery(), {0: 5}, 0)
    assert state.reached == {0: 5}
