"""Poison: every kind is refused by the decoder of every use case, and nothing else is touched."""

from datetime import date

import pyarrow as pa
import pytest

from features.definition import load_definition
from stream.demo import examples
from stream.demo.cards import CardWorld, simulate_cards
from stream.demo.machines import Plant, simulate_machines
from stream.demo.messages import messages
from stream.demo.poison import POISON_SHARE, Poisoner, breaks
from tests.stream import definitions
from tests.stream.demo.records import batch_of, decoded

TABLES = {
    "fraud": simulate_cards(CardWorld(date(2025, 1, 1), 2, customers=20, terminals=80, radius=20)),
    "maintenance": simulate_machines(Plant(machines=1)),
}


@pytest.mark.parametrize("name", TABLES)
def test_every_kind_is_refused(name: str) -> None:
    definition = load_definition(examples.path(name))
    poisoner = Poisoner(definition, seed=0)
    kinds = breaks(definition)
    good = messages(definition, TABLES[name]).events[: len(kinds)]
    poison = [poisoner.poison(key, value or b"") for key, value in good]
    assert {p.kind for p in poison} == set(kinds)
    result = decoded(definition, batch_of([(p.key, p.value) for p in poison]))
    assert [rejected.index for rejected in result.rejected] == list(range(len(kinds)))
    assert len(result.events) == 0


def test_use_cases_of_every_kind_of_time_have_events_from_the_future_but_sequences() -> None:
    assert "from the future" in breaks(definitions.clock())
    assert "from the future" in breaks(definitions.classes())
    assert "from the future" not in breaks(definitions.sequence())


def test_events_from_the_future_are_refused_in_numbers_too() -> None:
    definition = definitions.classes()
    table = pa.table(
        {
            "ticket_id": ["1"],
            "opened_ms": [1_700_000_000_000],
            "team": ["a"],
            "length": [1.0],
            "queue": ["fault"],
        }
    )
    ((key, value),) = messages(definition, table).events
    future = breaks(definition)["from the future"](value or b"")
    (rejected,) = decoded(definition, batch_of([(key, future)])).rejected
    assert rejected.reason.value == "future_time"


def test_the_same_seed_makes_the_same_poison_about_once_in_a_hundred_events() -> None:
    def dues(seed: int) -> list[bool]:
        poisoner = Poisoner(definitions.clock(), seed)
        return [poisoner.is_due() for _ in range(20_000)]

    assert dues(1) == dues(1) != dues(2)
    assert sum(dues(1)) / 20_000 == pytest.approx(POISON_SHARE, rel=0.25)


def test_each_carries_headers_of_its_own_and_some_have_no_key() -> None:
    poisoner = Poisoner(definitions.clock(), 0)
    made = [poisoner.poison(b"k", b"{}") for _ in range(20)]
    assert len({p.headers for p in made}) == 20
    assert {p.key for p in made} == {None, b"k"}
