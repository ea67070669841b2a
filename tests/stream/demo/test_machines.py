"""Simulated machines: seeded, valid for their use case, and worth learning from."""

import numpy as np
import pyarrow as pa
import pytest

from features.definition import load_definition
from features.definition.model import Definition
from features.expression import truth
from features.past.history import history_from_table
from stream.demo import examples
from stream.demo.machines import LIFE_MAX, LIFE_MIN, Plant, simulate_machines
from stream.demo.messages import messages
from tests.stream.demo.records import batch_of, decoded

PLANT = Plant(machines=30)


@pytest.fixture(scope="module")
def machines() -> pa.Table:
    return simulate_machines(PLANT)


@pytest.fixture(scope="module")
def maintenance() -> Definition:
    return load_definition(examples.path("maintenance"))


def test_equal_plants_give_equal_readings(machines: pa.Table) -> None:
    assert simulate_machines(PLANT).equals(machines)
    assert not simulate_machines(Plant(PLANT.machines, seed=1)).equals(machines)


def test_every_machine_counts_its_cycles_from_one_and_fails_in_its_last(machines: pa.Table) -> None:
    names, cycles = machines["machine_id"].to_pylist(), machines["cycle"].to_numpy()
    failed = machines["failed"].to_numpy()
    for name in set(names):
        own = np.array([n == name for n in names])
        assert np.array_equal(cycles[own], np.arange(1, own.sum() + 1))
        assert LIFE_MIN <= own.sum() <= LIFE_MAX
        assert failed[own].tolist() == [False] * (int(own.sum()) - 1) + [True]


@pytest.mark.parametrize("name", ["maintenance", "maintenance/remaining_life"])
def test_its_readings_are_events_without_a_blemish(machines: pa.Table, name: str) -> None:
    definition = load_definition(examples.path(name))
    result = decoded(definition, batch_of(messages(definition, machines)))
    assert len(result.events) == machines.num_rows
    assert not result.rejected
    assert not result.causes.any()


def test_the_rules_hold_when_a_machine_is_worn_and_not_when_it_is_new(
    machines: pa.Table, maintenance: Definition
) -> None:
    events = history_from_table(maintenance, machines).events
    condition = next(rule.when for rule in maintenance.rules if rule.reason == "hot_or_worn")
    assert condition is not None
    alarm = truth(condition.evaluate(events.columns, len(events)))
    life = {
        key: int(events.times[np.array(events.keys["machine"]) == key].max())
        for key in set(events.keys["machine"])
    }
    left = np.array([life[key] for key in events.keys["machine"]]) - events.times
    assert alarm[left < 10].mean() > 0.5
    assert alarm[left > 60].mean() < 0.01
