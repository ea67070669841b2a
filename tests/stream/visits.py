"""A small use case with an entity that is the topic's key and one that is not, and batches of its events."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from features.codec import encode_entries
from features.definition import parse_definition
from features.definition.model import RowKind
from features.event import EventBatch, hash_ids, pack_positions
from features.past.history import history_from_table
from features.rows import RowRequest
from models.bundle import Bundle, load_bundle
from models.training.run import TrainOptions
from models.training.train import train_bundle

TEXT = """
name: visits
task: binary
event:
  id: visit
  time: {field: at, unit: ms}
  fields:
    visit: string
    at: timestamp
    person: string
    door: {type: string, missing: allow}
    weight: float64
entities: {person: person, door: door}
label: {field: bad, delay: 1d}
features:
  - fields: [weight]
  - window: {entity: person, spans: [1000ms], aggregates: [count, mean(weight)]}
  - window: {entity: door, spans: [1000ms], delay: 500ms, aggregates: [count], empty: 0}
rules:
  - {when: "weight > 5", score: 0.9, reason: heavy}
  - {otherwise: 0.1}
decisions:
  - {when: "score > 0.5", decision: stop}
  - {otherwise: go}
"""
DEFINITION = parse_definition(TEXT, "visits.yaml")

Visit = tuple[int, int, int, str, str | None, float]
"""(partition, offset, time, person, door, weight)"""


def batch(visits: Sequence[Visit]) -> EventBatch:
    ids = [f"{partition}-{offset}" for partition, offset, *_ in visits]
    return EventBatch(
        ids=ids,
        hashes=hash_ids(ids),
        times=np.array([v[2] for v in visits], dtype=np.int64),
        positions=pack_positions(
            np.array([v[0] for v in visits], dtype=np.int64), np.array([v[1] for v in visits], dtype=np.int64)
        ),
        columns={
            "visit": np.array(ids, dtype=object),
            "at": np.array([float(v[2]) for v in visits]),
            "person": np.array([v[3] for v in visits], dtype=object),
            "door": np.array([v[4] for v in visits], dtype=object),
            "weight": np.array([v[5] for v in visits]),
        },
        keys={"person": [v[3] for v in visits], "door": [v[4] for v in visits]},
    )


def stored(request: RowRequest, visits: Sequence[Visit]) -> list[bytes | None]:
    """What the store answers to `request` when these visits are materialized."""
    answer: list[bytes | None] = []
    for schema in DEFINITION.rows:
        at = 3 if schema.entity == "person" else 4
        for key in request.indexes[schema.entity].keys:
            row = [v for v in visits if v[at] == key] if schema.kind is RowKind.EVENTS else []
            answer.append(entries(row, len(schema.columns)) if row else None)
    return answer


def entries(visits: Sequence[Visit], columns: int) -> bytes:
    events = batch(visits)
    weights = np.array([v[5] for v in visits]).reshape(-1, 1)
    return encode_entries(events.times, events.hashes, events.positions, weights[:, :columns])


def trained(models: Path, seed: int = 0) -> Bundle:
    """A bundle trained on made-up visits in which the weight tells the label."""
    draw = np.random.default_rng(seed)
    n = 1500
    weight = draw.normal(3.0, 2.0, n)
    table = pa.table(
        {
            "visit": [f"history-{i}" for i in range(n)],
            "at": pa.array(np.sort(draw.integers(0, 10_000_000, n)), pa.timestamp("ms")),
            "person": draw.choice(list("abcdef"), n).tolist(),
            "door": draw.choice(list("xyz"), n).tolist(),
            "weight": weight,
            "bad": draw.random(n) < 1 / (1 + np.exp(5.0 - weight)),
        }
    )
    history = history_from_table(DEFINITION, table)
    options = TrainOptions(version=f"v{seed}", seed=seed)
    return load_bundle(
        train_bundle(DEFINITION, history, 0, 10_000_000, models, created_ms=0, options=options).path
    )
