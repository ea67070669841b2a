"""Three small use cases, one per task, with seeded histories."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.definition import parse_definition
from features.definition.model import Definition
from features.past.history import History, history_from_table

DAY = 86_400_000

_CLOCK_EVENT = """
event:
  id: order_id
  time: {field: ordered_at, unit: ms}
  fields: {order_id: string, ordered_at: timestamp, buyer: string, shop: string, amount: float64}
entities: {buyer: buyer, shop: shop}
"""

ORDERS = f"""
name: orders
task: binary
{_CLOCK_EVENT}
label: {{field: returned, delay: 1d}}
features:
  - fields: [amount]
  - window: {{entity: buyer, spans: [1d, 7d], aggregates: [count, mean(amount)]}}
  - window: {{entity: shop, spans: [7d], delay: 1d, aggregates: [count, mean(label)]}}
rules:
  - {{when: "amount > 90", score: 0.9, reason: dear}}
  - {{when: "shop_mean_label_7d_delay_1d > 0.5", score: 0.7, reason: bad_shop}}
  - {{otherwise: 0.1}}
decisions:
  - {{when: "score >= 0.5 AND amount > 50", decision: call}}
  - {{otherwise: ship}}
evaluation:
  gap: 1d
  metrics: [roc_auc, average_precision]
  top_k: {{name: precision_at_3, k: 3, per: 1d, by: buyer, drop_caught: true}}
  exclude_known: {{entity: buyer, after: 1d}}
training:
  rounds: 12
  parameters: {{num_leaves: 7, min_child_samples: 5, subsample: 0.7, subsample_freq: 1}}
"""

SIZES = f"""
name: sizes
task: multiclass
{_CLOCK_EVENT}
label: {{field: size, delay: 1d, classes: [small, medium, large]}}
features:
  - fields: [amount]
  - window: {{entity: buyer, spans: [3 events], aggregates: [mean(amount)]}}
rules:
  - {{when: "amount > 70", score: [0.1, 0.2, 0.7], reason: dear}}
  - {{otherwise: [0.5, 0.3, 0.2]}}
decisions:
  - {{when: "predicted_class = 'large'", decision: truck}}
  - {{when: "probability_small > 0.8", decision: letter}}
  - {{otherwise: parcel}}
evaluation: {{gap: 1d, metrics: [macro_f1, micro_f1]}}
training: {{rounds: 8, parameters: {{num_leaves: 5, min_child_samples: 5}}}}
"""

PUMPS = """
name: pumps
task: regression
event:
  id: [pump, cycle]
  time: {sequence: cycle, per: pump}
  fields: {pump: string, cycle: int64, heat: float64}
entities: {pump: pump}
label: {time_to: end_of_entity, cap: 30}
features:
  - fields: [heat]
  - window: {entity: pump, spans: [5 events], aggregates: [mean(heat), max(heat)]}
rules:
  - {when: "heat > 80", score: 3, reason: hot}
  - {otherwise: 30}
decisions:
  - {when: "value < 10", decision: stop}
  - {otherwise: run}
evaluation: {split: group, group: pump, test_share: 0.3, metrics: [rmse, mae]}
training: {rounds: 10, parameters: {num_leaves: 5, min_child_samples: 5}}
"""


@dataclass(frozen=True, slots=True)
class UseCase:
    definition: Definition
    history: History
    start: int
    end: int


def orders(seed: int = 0, days: int = 10) -> UseCase:
    table = _clock_table(seed, days)
    odds = (
        np.asarray(table["amount"]) / 100
        + np.array([shop == "s1" for shop in table["shop"].to_pylist()]) * 0.4
    )
    returned = np.random.default_rng(seed + 1).random(len(odds)) < odds - 0.4
    definition = parse_definition(ORDERS, "orders.yaml")
    history = history_from_table(
        definition, table.append_column("returned", pa.array(returned.astype(float)))
    )
    return UseCase(definition, history, 2 * DAY, 7 * DAY)


def sizes(seed: int = 0) -> UseCase:
    table = _clock_table(seed, 10)
    noisy = np.asarray(table["amount"]) + np.random.default_rng(seed + 1).normal(0, 8, table.num_rows)
    names = np.array(["small", "medium", "large"])[np.digitize(noisy, [30, 70])]
    definition = parse_definition(SIZES, "sizes.yaml")
    history = history_from_table(definition, table.append_column("size", pa.array(names.tolist())))
    return UseCase(definition, history, 0, 8 * DAY)


def pumps(seed: int = 0) -> UseCase:
    rng = np.random.default_rng(seed)
    lives = rng.integers(15, 50, 25)
    pump = np.repeat([f"p{i}" for i in range(len(lives))], lives)
    cycle = np.concatenate([np.arange(life) for life in lives])
    left = np.concatenate([life - 1 - np.arange(life) for life in lives])
    heat = 90 - np.minimum(left, 30) * 2 + rng.normal(0, 3, len(left))
    table = pa.table({"pump": pump.tolist(), "cycle": cycle, "heat": heat})
    definition = parse_definition(PUMPS, "pumps.yaml")
    return UseCase(definition, history_from_table(definition, table), 0, 1000)


ALL: dict[str, Callable[[], UseCase]] = {"orders": orders, "sizes": sizes, "pumps": pumps}


def _clock_table(seed: int, days: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    n = 120 * days
    return pa.table({
        "order_id": [f"o{i}" for i in range(n)],
        "ordered_at": pa.array(np.sort(rng.integers(0, days * DAY, n)), pa.timestamp("ms")),
        "buyer": [f"b{i}" for i in rng.integers(0, 40, n)],
        "shop": [f"s{i}" for i in rng.integers(0, 5, n)],
        "amount": pa.array([None if rng.random() < 0.02 else float(v) for v in rng.integers(1, 100, n)]),
    })  # fmt: skip
