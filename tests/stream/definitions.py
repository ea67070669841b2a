"""Use cases for tests of the stream: one of each task, and the builders of what flows through them."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec
import numpy as np

from features.definition import parse_definition
from features.definition.model import Definition
from stream.records import RecordBatch

CLOCK = """
name: orders
task: binary
event:
  id: order_id
  time: {field: placed_at, unit: iso8601}
  timezone: Europe/Paris
  score_when: "kind = 'order'"
  fields:
    order_id: string
    placed_at: timestamp
    kind: {type: string, missing: allow}
    buyer: {type: string, personal: true}
    shop: int64
    price: {type: float64, min: 0, max: 1000, missing: reject, out_of_range: reject}
    weight: {type: float64, min: 0, max: 50}
    discount: {type: float64, min: 0, max: 1, missing: allow, out_of_range: clip}
    gift: {type: bool, missing: allow}
    promised_at: {type: timestamp, missing: allow}
entities:
  buyer: buyer
  shop: shop
  pair: [buyer, shop]
label: {field: returned, delay: 7d}
grace: 1h
features:
  - fields: [price, weight]
  - window: {entity: buyer, spans: [1d], aggregates: [count, mean(price)]}
  - window: {entity: shop, spans: [7d], delay: 7d, aggregates: [count, mean(label)], empty: 0}
rules:
  - {when: "price > 500", score: 0.9, reason: dear}
  - {otherwise: 0.1}
decisions:
  - {when: "score >= 0.9", decision: refuse}
  - {when: "score >= 0.5", decision: look}
  - {otherwise: accept}
control: 10%
output: {include: [kind, shop, price, gift, promised_at], features: all}
"""

SEQUENCE = """
name: pumps
task: regression
event:
  id: [pump, cycle]
  time: {sequence: cycle, per: pump}
  fields:
    pump: int64
    cycle: int64
    pressure: float64
entities:
  pump: pump
label: {time_to: end_of_entity, unit: events, cap: 125}
history: none
idle: 30d
features:
  - fields: [pressure]
  - window: {entity: pump, spans: [5 events], aggregates: [mean(pressure)]}
rules:
  - {otherwise: 100}
decisions:
  - {when: "value < 20", decision: stop}
  - {otherwise: run}
output: {features: 50%}
"""

CLASSES = """
name: tickets
task: multiclass
event:
  id: ticket_id
  time: {field: opened_ms, unit: ms}
  fields:
    ticket_id: string
    opened_ms: timestamp
    team: string
    length: float64
entities:
  team: team
label: {field: queue, delay: 1d, classes: [billing, fault, other]}
features:
  - fields: [length]
rules:
  - {otherwise: [0.2, 0.3, 0.5]}
decisions:
  - {when: "probability_fault > 0.5", decision: wake_someone}
  - {otherwise: queue_it}
output: {features: none}
"""


@cache
def clock() -> Definition:
    """Binary, ISO 8601 times local to Paris, every kind of field and policy."""
    return parse_definition(CLOCK, "orders.yaml")


@cache
def sequence() -> Definition:
    """Regression under sequence time, with an id of two fields."""
    return parse_definition(SEQUENCE, "pumps.yaml")


@cache
def classes() -> Definition:
    """Multiclass, times in ms, no windows."""
    return parse_definition(CLASSES, "tickets.yaml")


@cache
def labelled_sequence() -> Definition:
    """`sequence` with its labels by record."""
    label = "label: {time_to: end_of_entity, unit: events, cap: 125}"
    return parse_definition(SEQUENCE.replace(label, "label: {field: wear}"), "pumps.yaml")


def clock_in(unit: str) -> Definition:
    """`classes` with its times in another unit."""
    return parse_definition(CLASSES.replace("unit: ms", f"unit: {unit}"), "tickets.yaml")


ORDER: dict[str, Any] = {
    "order_id": "o-1",
    "placed_at": "2024-05-01T10:00:00Z",
    "kind": "order",
    "buyer": "Ada",
    "shop": 7,
    "price": 12.5,
    "weight": 1.25,
    "discount": 0.1,
    "gift": False,
    "promised_at": "2024-05-03T10:00:00Z",
}
ORDER_MS = 1_714_557_600_000
READING: dict[str, Any] = {"pump": 3, "cycle": 12, "pressure": 4.5}
TICKET: dict[str, Any] = {"ticket_id": "t-1", "opened_ms": ORDER_MS, "team": "north", "length": 80}


def records(
    values: Sequence[bytes | None], timestamps: Sequence[int] | int = -1, partition: int = 0, start: int = 0
) -> RecordBatch:
    """Records of one partition with consecutive offsets."""
    n = len(values)
    return RecordBatch(
        topic="orders.events",
        partitions=np.full(n, partition, np.int64),
        offsets=np.arange(start, start + n, dtype=np.int64),
        timestamps=np.broadcast_to(np.array(timestamps, np.int64), (n,)).copy(),
        keys=[None] * n,
        values=list(values),
        headers=lambda _: [],
    )


def json_records(*values: Any, timestamps: Sequence[int] | int = -1) -> RecordBatch:
    """Records whose values are `values` as JSON."""
    return records([msgspec.json.encode(value) for value in values], timestamps)
