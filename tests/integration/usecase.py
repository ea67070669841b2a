"""The use case of these tests: people go through doors, and every kind of row is in play.

The door's windows end ten seconds before the event, so that what they hold does not depend on which
partition is read first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from features.arrays import Floats
from features.definition import parse_definition
from features.definition.model import Definition
from features.past.history import History, history_from_table
from features.past.offline import point_in_time_matrix
from models.training.run import TrainOptions
from models.training.train import train_bundle
from tests.integration.records import Record

TEXT = """
name: NAME
task: binary
event:
  id: visit
  time: {field: at, unit: ms}
  score_when: "weight < 500"
  fields:
    visit: string
    at: timestamp
    person: string
    door: {type: string, missing: allow}
    weight: {type: float64, min: 0, max: 1000, missing: reject, out_of_range: reject}
entities: {person: person, door: door}
label: {field: bad, delay: 5000ms}
history: none
features:
  - fields: [weight]
  - window: {entity: person, spans: [1h], aggregates: [count, mean(weight), max(weight)]}
  - window: {entity: person, spans: [3 events], aggregates: [sum(weight)]}
  - window: {entity: door, spans: [1h], delay: 10s, aggregates: [count, count(label), mean(label)], empty: 0}
rules:
  - {when: "weight > 5", score: 0.9, reason: heavy}
  - {otherwise: 0.1}
decisions:
  - {when: "score > 0.5", decision: stop}
  - {otherwise: go}
output: {include: [weight], features: all}
training: {rounds: 5, parameters: {num_leaves: 4, min_child_samples: 20}}
"""
COUNT = "person_count_1h"
_HISTORY = 1_000


@dataclass(frozen=True, slots=True)
class Visit:
    """An event to send, with what became of it."""

    visit: str
    at: int
    person: str
    door: str | None
    weight: float
    bad: bool | None = None
    observed_at: int | None = None

    @property
    def is_scored(self) -> bool:
        return self.weight < 500

    def record(self) -> Record:
        names = ("visit", "at", "person", "door", "weight")
        value = msgspec.json.encode({name: getattr(self, name) for name in names})
        return Record(self.person.encode(), value)

    def label_record(self) -> Record:
        label = {
            "event_id": self.visit,
            "label": self.bad,
            "observed_at": self.observed_at,
            "event_time": self.at,
            "entities": {"person": self.person, "door": self.door},
        }
        return Record(self.visit.encode(), msgspec.json.encode(label))


def definition_named(name: str, text: str = TEXT) -> Definition:
    return parse_definition(text.replace("NAME", name), f"{name}.yaml")


def offline(definition: Definition, visits: Sequence[Visit]) -> Floats:
    """The features of every visit, computed from the file these visits would make: (n, features)."""
    history = history_of(definition, visits)
    place = {visit: at for at, visit in enumerate(history.events.ids)}
    order = np.array([place[v.visit] for v in visits])
    return point_in_time_matrix(definition, history, order)


def history_of(definition: Definition, visits: Sequence[Visit]) -> History:
    """What the file of these visits holds, in the order of their times."""
    return history_from_table(definition, table_of(visits))


def table_of(visits: Sequence[Visit]) -> pa.Table:
    """These visits as a file has them."""
    return pa.table(
        {
            "visit": [v.visit for v in visits],
            "at": pa.array([v.at for v in visits], pa.timestamp("ms")),
            "person": [v.person for v in visits],
            "door": pa.array([v.door for v in visits], pa.string()),
            "weight": [v.weight for v in visits],
            "bad": pa.array([v.bad for v in visits], pa.bool_()),
            "observed_at": pa.array([v.observed_at or 0 for v in visits], pa.timestamp("ms")),
        }
    )


def some_visits(
    count: int, start_ms: int, *, people: Sequence[str] = "abcdefgh", seed: int = 0, name: str = "v"
) -> list[Visit]:
    """Visits in the order of their times, 0 to 20 ms apart, so that some fall into one millisecond."""
    draw = np.random.default_rng(seed)
    times = start_ms + np.cumsum(draw.integers(0, 20, count))
    weights = draw.normal(4.0, 2.0, count).clip(0).round(2)
    return [
        Visit(
            visit=f"{name}-{at}",
            at=int(times[at]),
            person=str(draw.choice(list(people))),
            door=None if draw.random() < 0.05 else str(draw.choice(list("stuvwxyz"))),
            weight=float(weights[at]),
        )
        for at in range(count)
    ]


def labelled(visits: Sequence[Visit], seed: int = 0, spread_ms: int = 60_000) -> list[Visit]:
    """Two thirds of these visits with what became of them, known 5 to `spread_ms` + 5 seconds later."""
    draw = np.random.default_rng(seed)
    return [
        v
        if draw.random() > 2 / 3
        else replace(
            v, bad=bool(draw.random() < 0.5), observed_at=v.at + 5_000 + int(draw.integers(spread_ms))
        )
        for v in visits
    ]


def train(definition: Definition, models: Path, version: str, seed: int = 0) -> Path:
    """A bundle in whose history the weight tells the label; the model's answers follow the weight."""
    visits = some_visits(_HISTORY, 1_000_000, seed=seed)
    draw = np.random.default_rng(seed)
    known = [
        replace(v, bad=bool(draw.random() < 1 / (1 + np.exp(4.0 - v.weight))), observed_at=v.at + 5_000)
        for v in visits
    ]
    table = pa.table(
        {
            "visit": [v.visit for v in known],
            "at": pa.array([v.at for v in known], pa.timestamp("ms")),
            "person": [v.person for v in known],
            "door": pa.array([v.door for v in known], pa.string()),
            "weight": [v.weight for v in known],
            "bad": [v.bad for v in known],
        }
    )
    options = TrainOptions(version=version, seed=seed)
    history = history_from_table(definition, table)
    return train_bundle(definition, history, 0, 10_000_000, models, created_ms=0, options=options).path
