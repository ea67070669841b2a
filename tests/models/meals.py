"""A use case of categories: a dish in the event, a tier and a limit that are looked up for the guest."""

from dataclasses import replace

import numpy as np
import pyarrow as pa

from features.definition import parse_definition
from features.definition.model import Definition
from features.event import hash_texts
from features.lookup.history import LookupTable, over_time
from features.past.history import history_from_table
from tests.models.usecases import DAY, UseCase

MEALS = """
name: meals
task: binary
event:
  id: meal_id
  time: {field: eaten_at, unit: ms}
  fields:
    meal_id: string
    eaten_at: timestamp
    guest: string
    dish: string
    price: {type: float64, missing: {default: 10}}
entities: {guest: guest}
label: {field: returned, delay: 1d}
features:
  - {categories: [dish], min_count: 20}
  - fields: [price]
  - lookup: {entity: guest, fields: {tier: string, limit: float64}, min_count: 60}
  - {name: share, sql: "price / guest_limit"}
rules:
  - {when: "dish = 'oysters'", score: 0.8, reason: oysters}
  - {when: "guest_limit < 5", score: 0.6}
  - {otherwise: 0.1}
decisions:
  - {when: "score >= 0.5 AND dish LIKE 's%'", decision: ask}
  - {otherwise: serve}
evaluation: {gap: 1d}
training:
  rounds: 20
  parameters: {num_leaves: 7, min_child_samples: 5, min_data_per_group: 5, cat_smooth: 1}
"""
# In text order "bread" and "stew", which come back, stand on either side of "pie", which does not.
DISHES = ["bread", "pie", "stew", "soup", "rare", None]
ODDS = {"bread": 0.9, "pie": 0.05, "stew": 0.9, "soup": 0.05, "rare": 0.5, None: 0.3}
TIERS = ["gold", "tin", "wood"]
GUESTS = 30


def meals(seed: int = 0, days: int = 12, min_count: int = 20) -> UseCase:
    """Training is from day 2 to day 9; what is eaten only outside of it is "late"."""
    rng = np.random.default_rng(seed)
    n = 100 * days
    time = np.sort(rng.integers(0, days * DAY, n))
    dish = np.array(DISHES, object)[rng.choice(len(DISHES), n, p=[0.3, 0.3, 0.2, 0.13, 0.01, 0.06])]
    dish[(time >= 9 * DAY) & (rng.random(n) < 0.2)] = "late"
    odds = np.array([ODDS.get(text, 0.5) for text in dish])
    table = pa.table({
        "meal_id": [f"m{i}" for i in range(n)],
        "eaten_at": pa.array(time, pa.timestamp("ms")),
        "guest": [f"g{i}" for i in rng.integers(0, GUESTS, n)],
        "dish": dish.tolist(),
        "price": pa.array([None if rng.random() < 0.1 else float(v) for v in rng.integers(1, 30, n)]),
        "returned": (rng.random(n) < odds).astype(float),
    })  # fmt: skip
    definition = parse_definition(MEALS.replace("min_count: 20", f"min_count: {min_count}"), "meals.yaml")
    lookups = {"guest": over_time(profiles(definition))}
    history = replace(history_from_table(definition, table), lookups=lookups)
    return UseCase(definition, history, 2 * DAY, 9 * DAY)


def profiles(definition: Definition) -> LookupTable:
    """Guest i has tier i % 3, but guest 0 one that is rare, and guest 1 has no profile."""
    guests = [0, *range(2, GUESTS)]
    tiers = ["rare" if i == 0 else TIERS[i % 3] for i in guests]
    hashed = hash_texts(tiers)
    return LookupTable(
        fields=definition.lookups["guest"],
        keys=[f"g{i}" for i in guests],
        written_at=np.zeros(len(guests), np.int64),
        values=np.column_stack([hashed, np.array(guests, float) + 1]),
        texts=dict(zip(hashed.tolist(), tiers, strict=True)),
    )
