"""A poll that is answered in parts, the store asked for one while the one before is scored, is many polls."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from features.store import OnlineStore
from features.stores.memory import MemoryStore
from stream.engine.batch import BatchPolicy
from tests.stream.engine.bench import Bench, bench

Event = tuple[int, int, int, str, str | None]
"""Partition, ms since the one before was produced, how much older than that it is, person and door."""
EVENTS = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from([0, 1, 400, 9_000]),
        st.sampled_from([0, 1, 300, 5_000]),
        st.sampled_from(["ann", "bob"]),
        st.sampled_from(["front", "back", None]),
    ),
    max_size=24,
)
STEPS = st.lists(st.integers(0, 3), min_size=40, max_size=40)


class Moving:
    """What scorers read: states of a store, of which each read finds a later one, or the same."""

    def __init__(self, states: Sequence[MemoryStore], steps: Sequence[int]) -> None:
        self._states, self._steps = states, iter(steps)
        self._at = 0

    def connect(self) -> OnlineStore:
        return self  # type: ignore[return-value]  # scorers do nothing but read

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        self._at = min(self._at + next(self._steps), len(self._states) - 1)
        return self._states[self._at].read(keys)

    def close(self) -> None:
        pass


def logged(made: Bench, events: Sequence[Event]) -> None:
    for partition, later_ms, age_ms, person, door in events:
        made.clock.ms += later_ms
        made.produce((made.clock.ms - age_ms, person, door, 1.0), partition=partition)


def states_of(events: Sequence[Event]) -> list[MemoryStore]:
    """What a store held from time to time, record by record."""
    with bench(partitions=2) as made:
        logged(made, events)
        materializer, states = made.materializer(), list[MemoryStore]()
        for records in [0] + [1] * len(events):
            materializer.take(records)
            copy = MemoryStore(made.clock)
            copy._values = {key: bytearray(value) for key, value in made.store.store._values.items()}
            states.append(copy)
    return states


def predictions(
    events: Sequence[Event], store: Moving, polled: int, at_once: int
) -> tuple[list[dict[str, Any]], dict[int, int]]:
    """What is predicted, and where the group stands then."""
    with bench(partitions=2) as made:
        logged(made, events)
        made.store = store  # type: ignore[assignment]  # scorers need nothing but `connect`
        worker = made.scorer(batch=BatchPolicy(polled, polled), events_at_once=at_once, in_flight_max=100)
        worker.settle()
        return made.predictions(), made.committed()


def of_the_person(prediction: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in prediction["features"].items() if name.startswith("person")}


@settings(max_examples=30, deadline=None)
@given(events=EVENTS, steps=STEPS, at_once=st.integers(1, 4), parts=st.integers(2, 4))
def test_every_value_and_every_stamp_is_as_if_each_part_had_been_polled(
    events: list[Event], steps: list[int], at_once: int, parts: int
) -> None:
    polled = at_once * parts
    events = events[: len(events) // polled * polled]  # so that both cut alike
    states = states_of(events)
    one_by_one = predictions(events, Moving(states, steps), at_once, at_once)
    assert predictions(events, Moving(states, steps), polled, at_once) == one_by_one


@settings(max_examples=30, deadline=None)
@given(events=EVENTS, steps=STEPS, others=STEPS, at_once=st.integers(1, 5))
def test_values_of_an_events_own_partition_depend_neither_on_parts_nor_on_how_far_the_store_is(
    events: list[Event], steps: list[int], others: list[int], at_once: int
) -> None:
    """A person's, whose events one partition holds; of a door a worker that is behind has seen too little."""
    events = [(person == "bob", *rest, person, door) for _, *rest, person, door in events]  # type: ignore[misc]
    states = states_of(events)
    whole, _ = predictions(events, Moving(states, steps), 24, 24)
    cut, _ = predictions(events, Moving(states, others), 24, at_once)
    assert [of_the_person(p) for p in cut] == [of_the_person(p) for p in whole]
    assert len(cut) == len(events)
