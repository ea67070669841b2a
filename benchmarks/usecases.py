"""The two use cases that throughput is measured with, over the same events.

plain: the ready values of two entities, ten each, looked up in Redis; twenty features.
windows: the Handbook's fifteen features (examples/fraud) from exact windows, evaluated when they are read.

Both have a LightGBM model of 200 trees with 31 leaves. An event is JSON of about 290 bytes, of which a use
case reads what it declares. Entities are so many that their rows are as long as 37 days make them, which is
as far as the windows reach, however many events there are.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
from redis import Redis

from features.arrays import Floats, Ints
from features.definition import parse_definition
from features.definition.model import Definition
from features.lookup.codec import encode_lookups, lookup_prefix
from features.lookup.table import lookup_history
from features.past.history import History, history_from_table
from models.bundle import MODEL
from models.deployment import Deployment, write_deployment
from models.training.run import TrainOptions
from models.training.train import train_bundle
from stream.demo import examples
from stream.demo.cards import CardWorld, simulate_cards
from stream.demo.messages import Record, messages

DAYS = 37
EVENTS_A_CUSTOMER_A_DAY = 1.7
"""A little less than the simulation makes, so that it makes enough."""
EVENTS_MIN = 300_000
"""In a smaller world there would be more frauds, and so more alerts to explain."""
FIRST_DAY = date(2025, 1, 1)
DAY_MS = 86_400_000
VALUES = 10
"""Of each entity, in plain rows."""
ENTITIES = {"customer": "customer_id", "terminal": "terminal_id"}
TRAINING_EVENTS = 40_000
KEYS_AT_ONCE = 5_000
TREES, LEAVES = 200, 31
TRAINING = f"""
training:
  rounds: {TREES}
  parameters: {{num_leaves: {LEAVES}, learning_rate: 0.05, min_child_samples: 20}}
"""
PLAIN = f"""
name: plain
task: binary
event:
  id: transaction_id
  time: {{field: event_time, unit: iso8601}}
  timezone: UTC
  fields:
    transaction_id: string
    event_time: timestamp
    customer_id: string
    terminal_id: string
    amount: float64
entities: {{customer: customer_id, terminal: terminal_id}}
label: {{field: is_fraud, delay: 7d}}
features:
  - lookup: {{entity: customer, fields: [{", ".join(f"c{at}" for at in range(VALUES))}], max_age: 365d}}
  - lookup: {{entity: terminal, fields: [{", ".join(f"t{at}" for at in range(VALUES))}], max_age: 365d}}
rules:
  - {{otherwise: 0.01}}
decisions:
  - {{when: "score >= 0.9", decision: decline}}
  - {{when: "score >= 0.5", decision: review}}
  - {{otherwise: approve}}
output: {{features: all}}
{TRAINING}
"""


@dataclass(frozen=True, slots=True)
class World:
    """n events of customers at terminals, as a table and as records; ids are their numbers."""

    table: pa.Table
    events: Sequence[Record]
    labels: Sequence[Record]
    values: Mapping[str, Floats]
    """Plain rows: shape (entities, `VALUES`), by entity."""

    def places(self, entity: str) -> Ints:
        """Of each event the number of its entity: shape (n,)."""
        column = self.table[ENTITIES[entity]].cast(pa.int64()).to_numpy()
        return np.asarray(column, dtype=np.int64)

    def matrix(self, index: Ints) -> Floats:
        """The features of plain rows of the events at `index`, the customers' first."""
        return np.hstack([self.values[entity][self.places(entity)[index]] for entity in ENTITIES])


def make_world(events: int, seed: int = 0) -> World:
    """At least so many; the same for the same arguments."""
    events = max(events, EVENTS_MIN)
    customers = max(100, int(events / DAYS / EVENTS_A_CUSTOMER_A_DAY) + 1)
    cards = CardWorld(FIRST_DAY, DAYS, customers, terminals=2 * customers, radius=8.0, seed=seed)
    table = simulate_cards(cards).slice(0, events)
    assert table.num_rows == events, table.num_rows
    made = messages(windows_definition("none"), table)
    draw = np.random.default_rng(seed)
    values = {
        "customer": draw.normal(size=(customers, VALUES)),
        "terminal": draw.normal(size=(2 * customers, VALUES)),
    }
    longer = [
        (key, (value or b"")[:-1] + extra)
        for (key, value), extra in zip(made.events, _extras(events, seed), strict=True)
    ]
    return World(table, longer, [label for label in made.labels if label is not None], values)


def _extras(count: int, seed: int) -> Iterable[bytes]:
    """What upstream services send along and no feature reads: the rest of each JSON object."""
    draw = np.random.default_rng(seed + 1)
    merchants, categories = draw.integers(0, 9_999, count), draw.integers(1_000, 9_999, count)
    sessions = draw.integers(2**52, 2**53, count)
    for merchant, category, session in zip(
        merchants.tolist(), categories.tolist(), sessions.tolist(), strict=True
    ):
        yield (
            b',"merchant":"merchant %04d","merchant_category":"%d","currency":"EUR","country":"DE",'
            b'"channel":"contactless","session":"%x","region":"eu-1","is_recurring":false}'
            % (merchant, category, session)
        )


# ------------------------------------------------------------------------------------------------ definitions


def plain_definition(features: str) -> Definition:
    """features: what of them predictions carry, `all` or `none`."""
    return parse_definition(plain_text(features), "plain.yaml")


def windows_definition(features: str) -> Definition:
    return parse_definition(windows_text(features), "windows.yaml")


def plain_text(features: str) -> str:
    return PLAIN.replace("features: all", f"features: {features}")


def windows_text(features: str) -> str:
    """The example's, but with a model as large as the other contestants have."""
    text = examples.path("fraud").read_text()
    text = text[: text.index("\ntraining:")] + TRAINING
    return text.replace("features: all", f"features: {features}")


# ------------------------------------------------------------------------------------------------ bundles


@dataclass(frozen=True, slots=True)
class Deployed:
    """A use case file, and a models directory with a trained champion."""

    definition: Definition
    usecase: Path
    models: Path

    @property
    def cache(self) -> Path:
        """Where its compiled model is, once there is one."""
        return self.models.parent / "compiled"

    @property
    def model(self) -> Path:
        """LightGBM's text."""
        return self.models / "v1" / MODEL


def deploy_plain(world: World, directory: Path, features: str) -> Deployed:
    definition = plain_definition(features)
    index = np.arange(min(len(world.events), TRAINING_EVENTS))
    table = world.table.slice(0, len(index))
    matrix = world.matrix(index)
    draw = np.random.default_rng(0)
    risk = matrix[:, 0] * matrix[:, VALUES] + matrix[:, 1] + draw.normal(0, 2, len(index))
    labels = (risk > np.quantile(risk, 0.95)).astype(np.int64)
    at = table.column_names.index("is_fraud")
    history = history_from_table(definition, table.set_column(at, "is_fraud", pa.array(labels)))
    lookups = {
        entity: lookup_history(definition, entity, _lookup_table(world, entity)) for entity in ENTITIES
    }
    return _train(definition, plain_text(features), replace(history, lookups=lookups), directory)


def deploy_windows(world: World, directory: Path, features: str) -> Deployed:
    definition = windows_definition(features)
    history = history_from_table(definition, world.table)
    return _train(definition, windows_text(features), history, directory)


def _train(definition: Definition, text: str, history: History, directory: Path) -> Deployed:
    """On the last of the events, whose windows are the fullest."""
    directory.mkdir(parents=True)
    usecase, models = directory / "usecase.yaml", directory / "models"
    usecase.write_text(text)
    models.mkdir()
    times = history.events.times
    start, end = int(times[-min(len(times), TRAINING_EVENTS)]), int(times[-1]) + 1
    options = TrainOptions(version="v1")
    train_bundle(definition, history, start, end, models, created_ms=0, options=options)
    write_deployment(models, Deployment("v1", None))
    return Deployed(definition, usecase, models)


def _lookup_table(world: World, entity: str) -> pa.Table:
    values = world.values[entity]
    columns: dict[str, object] = {ENTITIES[entity]: [str(at) for at in range(len(values))]}
    columns |= {f"{entity[0]}{at}": values[:, at] for at in range(VALUES)}
    return pa.table(columns | {"written_at": np.full(len(values), written_at_ms())})


def written_at_ms() -> int:
    """Before the first event."""
    return (FIRST_DAY.toordinal() - date(1970, 1, 1).toordinal()) * DAY_MS


# ------------------------------------------------------------------------------------------------ Redis


def write_plain_rows(client: Redis, world: World) -> None:
    """The same numbers twice: as our lookups, and bare for the peers, under ``<entity>:<id>``."""
    definition = plain_definition("none")
    for entity, values in world.values.items():
        fields = definition.lookups[entity]
        ours = encode_lookups(fields, np.full(len(values), written_at_ms()), values)
        prefix = lookup_prefix(definition.name, entity)
        _write(client, {prefix + b"%d" % at: value for at, value in enumerate(ours)})
        bare = np.ascontiguousarray(values, dtype="<f8")
        _write(client, {b"%b:%d" % (entity.encode(), at): row.tobytes() for at, row in enumerate(bare)})


def _write(client: Redis, values: Mapping[bytes, bytes]) -> None:
    items = iter(values.items())
    while some := dict(islice(items, KEYS_AT_ONCE)):
        client.mset(some)
