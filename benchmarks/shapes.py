"""Plain rows in any size: so many entities, features, trees and partitions, and all that is needed to run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from confluent_kafka import Producer
from redis import Redis

from benchmarks.servers import HEADERS
from features.definition import parse_definition
from features.definition.model import Definition
from features.lookup.codec import encode_lookups, lookup_prefix
from features.lookup.table import lookup_history
from features.past.history import history_from_table
from models.deployment import deploy
from models.training.run import TrainOptions
from models.training.train import train_bundle

NAME, VERSION = "plain", "first"
ENTITIES = ("customer", "terminal")
LEAVES = 31
TRAINING_EVENTS, TRAINING_KEYS = 4_000, 500
DISTINCT_VALUES = 5_000
"""Rows hold these by turns: what they hold costs the same to read."""
ALERT = 1
"""No score exceeds it: alerts are explained, at a hundred times the cost of a prediction."""
START_MS = 1_735_689_600_000
WRITTEN_MS = START_MS - 86_400_000
PADDING = "x" * 190
"""What upstream services send along and nobody here reads; an event is about 290 bytes."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A size of everything."""

    entities: int = 10_000
    """Rows: one half customers', the other terminals'."""
    features: int = 20
    trees: int = 200
    partitions: int = 4

    @property
    def model(self) -> tuple[int, int]:
        """What a bundle depends on."""
        return self.features, self.trees


def definition_of(shape: Shape) -> Definition:
    """Half of the features are looked up for the customer, the others for the terminal."""
    return parse_definition(text_of(shape), f"{NAME}.yaml")


def text_of(shape: Shape) -> str:
    half = shape.features // 2
    fields = {"customer": range(half), "terminal": range(half, shape.features)}
    lookups = "".join(
        f"  - lookup: {{entity: {entity}, fields: [{', '.join(f'v{at}' for at in held)}]}}\n"
        for entity, held in fields.items()
    )
    return f"""
name: {NAME}
task: binary
event:
  id: event_id
  time: {{field: at, unit: ms}}
  fields: {{event_id: string, at: timestamp, customer: string, terminal: string}}
entities: {{customer: customer, terminal: terminal}}
label: {{field: bad, delay: 1s}}
features:
{lookups}rules:
  - {{otherwise: 0.01}}
decisions:
  - {{when: "score > {ALERT}", decision: stop}}
  - {{otherwise: go}}
output: {{features: none}}
training: {{rounds: {shape.trees}, parameters: {{num_leaves: {LEAVES}, min_child_samples: 5}}}}
"""


def train(shape: Shape, directory: Path) -> tuple[Path, Path]:
    """The use case file and the models directory, with a champion of so many trees."""
    directory.mkdir()
    usecase, models = directory / "usecase.yaml", directory / "models"
    usecase.write_text(text_of(shape))
    models.mkdir()
    definition, draw = definition_of(shape), np.random.default_rng(0)
    keys = {entity: draw.integers(0, TRAINING_KEYS, TRAINING_EVENTS) for entity in ENTITIES}
    values = draw.normal(size=(TRAINING_KEYS, shape.features))
    risk = values[keys["customer"], 0] + values[keys["terminal"], -1] + draw.normal(0, 1, TRAINING_EVENTS)
    history = history_from_table(
        definition,
        pa.table(
            {
                "event_id": [str(at) for at in range(TRAINING_EVENTS)],
                "at": START_MS + 10_000 * np.arange(TRAINING_EVENTS),
                **{entity: [str(key) for key in keys[entity]] for entity in ENTITIES},
                "bad": (risk > np.quantile(risk, 0.8)).astype(np.int64),
            }
        ),
    )
    known = {"written_at": np.full(TRAINING_KEYS, WRITTEN_MS)}
    known |= {f"v{at}": values[:, at] for at in range(shape.features)}
    names = [str(key) for key in range(TRAINING_KEYS)]
    past = {
        entity: lookup_history(definition, entity, pa.table({entity: names, **known})) for entity in ENTITIES
    }
    end = int(history.events.times[-1]) + 1
    options = TrainOptions(version=VERSION)
    train_bundle(definition, replace(history, lookups=past), 0, end, models, created_ms=0, options=options)
    deploy(models, VERSION)
    return usecase, models


def write_rows(client: Redis, shape: Shape) -> float:
    """Put every entity's values into Redis; returns how many bytes a row takes there, its key included."""
    before, draw = int(client.info("memory")["used_memory"]), np.random.default_rng(1)
    definition, half = definition_of(shape), shape.entities // 2
    for entity in ENTITIES:
        fields = definition.lookups[entity]
        values = draw.normal(size=(DISTINCT_VALUES, len(fields)))
        packed = encode_lookups(fields, np.full(DISTINCT_VALUES, WRITTEN_MS), values)
        prefix = lookup_prefix(NAME, entity)
        for first in range(0, half, DISTINCT_VALUES):
            keys = [prefix + b"%d" % key for key in range(first, min(first + DISTINCT_VALUES, half))]
            client.mset(dict(zip(keys, packed, strict=False)))
    return (int(client.info("memory")["used_memory"]) - before) / (2 * half)


def events_of(shape: Shape, count: int, first: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of events, `first` of which came before. Each names any two of the entities."""
    draw = np.random.default_rng(first)
    half = max(shape.entities // 2, 1)
    customers, terminals = (draw.integers(0, half, count).tolist() for _ in ENTITIES)
    for at, (customer, terminal) in enumerate(zip(customers, terminals, strict=True), start=first):
        key = b"%d" % customer
        yield (
            key,
            b'{"event_id":"e%d","at":%d,"customer":"%d","terminal":"%d","amount":%.2f,"note":"%b"}'
            % (at, START_MS + at, customer, terminal, at % 1000 / 7, PADDING.encode()),
        )


def send(bootstrap: str, topic: str, records: Iterator[tuple[bytes, bytes]]) -> int:
    """Every record with headers, as upstream services send them; returns how many."""
    properties: dict[str, str | int | float | bool | None] = {
        "bootstrap.servers": bootstrap,
        "partitioner": "murmur2_random",
        "queue.buffering.max.messages": 1_000_000,
        "linger.ms": 20,
    }
    producer, sent = Producer(properties), 0
    for key, value in records:
        producer.produce(topic, value, key, headers=HEADERS)
        producer.poll(0)
        sent += 1
    assert producer.flush(120) == 0
    producer.close()
    return sent


def sizes(text: str) -> Sequence[int]:
    """Of a flag: ``1000,1e5``."""
    return [int(float(part)) for part in text.split(",") if part]
