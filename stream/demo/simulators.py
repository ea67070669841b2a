"""Which simulator gives the events of which use case: only `stream.demo` knows use cases by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TypeAlias

from features.definition.model import Definition
from stream.demo.cards import CardWorld, simulate_cards
from stream.demo.machines import Plant, simulate_machines
from stream.demo.options import DemoError, DemoOptions
from stream.demo.plan import Days, Plan, last_days, midnight, plan_days, plan_groups
from stream.demo.transactions import read_transactions, wanted_columns

FIRST_DAY = date(2025, 1, 1)
WARM_DAYS = 37
"""The longest look-back of the card features: 30 days, of labels that come after 7."""
TRAIN_DAYS, LABEL_DAYS, SCORED_DAYS = 7, 7, 3
_Make: TypeAlias = Callable[[Definition, int], Plan]


@dataclass(frozen=True, slots=True)
class Simulator:
    """What it is, for people, and how to make a plan from a definition and a seed."""

    title: str
    make: _Make


def cards(definition: Definition, seed: int) -> Plan:
    days = WARM_DAYS + TRAIN_DAYS + LABEL_DAYS + SCORED_DAYS
    table = simulate_cards(CardWorld(FIRST_DAY, days, seed=seed))
    starts = (WARM_DAYS, WARM_DAYS + TRAIN_DAYS, days - SCORED_DAYS, days)
    return plan_days(
        definition,
        table.select(list(wanted_columns(definition))),
        Days(*(midnight(FIRST_DAY + timedelta(days=start)) for start in starts)),
    )


def machines(definition: Definition, seed: int) -> Plan:
    return plan_groups(
        definition, simulate_machines(Plant(seed=seed)).select(list(wanted_columns(definition)))
    )


SIMULATORS: Mapping[str, Simulator] = {
    "fraud": Simulator("simulated card transactions", cards),
    "maintenance": Simulator("simulated machines", machines),
    "remaining_life": Simulator("simulated machines", machines),
}


def title(options: DemoOptions, usecase: str) -> str:
    """Where the events come from. Raises `DemoError` where there is no source for the use case."""
    if options.transactions is not None:
        return options.transactions.name
    return _simulator(usecase).title


def make_plan(options: DemoOptions, usecase: str, definition: Definition) -> Plan:
    """The events of this run. usecase: the name its author gave it. Raises `DemoError`."""
    days = (options.train_from, options.train_to, options.score_from, options.score_to)
    if options.transactions is None:
        try:
            return _simulator(usecase).make(definition, options.seed)
        except KeyError as error:
            raise DemoError(
                f"use case {definition.name} has a field that its simulator does not make: {error}; "
                f"give events with --transactions FILE"
            ) from None
    table = read_transactions(options.transactions, definition)
    if definition.evaluation.split == "group":
        return plan_groups(definition, table)
    if definition.time.is_sequence:
        raise DemoError(
            f"use case {definition.name} has no clock to split by: use evaluation: {{split: group}}"
        )
    return plan_days(definition, table, last_days(definition, table, days))


def _simulator(usecase: str) -> Simulator:
    if usecase not in SIMULATORS:
        raise DemoError(
            f"no simulator for use case {usecase}: give its events with --transactions FILE.parquet, "
            f"or choose one of {', '.join(SIMULATORS)}"
        )
    return SIMULATORS[usecase]
