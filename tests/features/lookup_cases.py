"""A use case with lookups of two entities, and its events."""

from collections.abc import Sequence

import numpy as np

from features.definition import parse_definition
from features.definition.model import Definition
from features.event import EventBatch, hash_ids, pack_positions

DAY_MS = 86_400_000
NOW_MS = 1_700_000_000_000

TEXT = """
name: cards
task: binary
event:
  id: id
  time: {field: at, unit: ms}
  fields: {id: string, at: timestamp, customer: string, shop: int64, amount: float64}
entities: {customer: customer, pair: [customer, shop]}
label: {field: bad, delay: 1d}
features:
  - lookup: {entity: customer, fields: {credit_limit: float64, segment: string}, max_age: 30d, min_count: 1}
  - lookup: {entity: customer, fields: [born]}
  - lookup: {entity: pair, fields: [visits]}
  - {name: share, sql: amount / customer_credit_limit}
rules:
  - {when: "customer_credit_limit < 10", score: 0.9}
  - {otherwise: 0.1}
decisions: [{otherwise: go}]
output: {features: all}
"""
DEFINITION: Definition = parse_definition(TEXT, "cards.yaml")
CUSTOMER = DEFINITION.lookups["customer"]
PAIR = DEFINITION.lookups["pair"]

SEQUENCE: Definition = parse_definition(
    """
name: pumps
task: regression
event:
  id: [pump, cycle]
  time: {sequence: cycle, per: pump}
  fields: {pump: int64, cycle: int64}
entities: {pump: pump}
label: {time_to: end_of_entity, unit: events}
features:
  - lookup: {entity: pump, fields: [built], max_age: 1d}
rules: [{otherwise: 1}]
decisions: [{otherwise: run}]
""",
    "pumps.yaml",
)

Purchase = tuple[int, str | None, int | None]
"""(time, customer, shop)"""


def batch(purchases: Sequence[Purchase], amount: float = 100.0) -> EventBatch:
    n = len(purchases)
    ids = [f"e{at}" for at in range(n)]
    customers = [customer for _, customer, _ in purchases]
    shops = [shop for _, _, shop in purchases]
    pairs = zip(customers, shops, strict=True)
    return EventBatch(
        ids=ids,
        hashes=hash_ids(ids),
        times=np.array([time for time, _, _ in purchases], np.int64),
        positions=pack_positions(np.zeros(n, np.int64), np.arange(n)),
        columns={
            "id": np.array(ids, object),
            "at": np.array([time for time, _, _ in purchases], np.float64),
            "customer": np.array(customers, object),
            "shop": np.array([np.nan if shop is None else shop for shop in shops], np.float64),
            "amount": np.full(n, amount),
        },
        keys={
            "customer": customers,
            "pair": [None if c is None or s is None else f"{c}\x1f{s}" for c, s in pairs],
        },
    )
