"""Two definitions with other rows each, seen over the same records and the same store."""

from typing import Any

import numpy as np

from features.arrays import Floats
from features.definition import parse_definition
from features.definition.model import Definition
from features.past.history import History
from features.past.offline import point_in_time_matrix
from stream.pipeline.decode import Decoder
from tests.stream.engine.bench import HOUR_MS, Bench, Origin
from tests.stream.engine.contents import log_batch
from tests.stream.engine.workers import Scoring
from tests.stream.visits import TEXT

PARTITIONS = 2
OUTPUT = "output: {features: all}\nhistory: none\n"
SHORT = parse_definition(TEXT.replace("1000ms", "40ms").replace("500ms", "10ms") + OUTPUT, "visits.yaml")
LONG = parse_definition(
    TEXT.replace("1000ms", "60ms")
    .replace("500ms", "10ms")
    .replace("mean(weight)", "mean(weight), distinct_count(door)")
    + OUTPUT,
    "visits.yaml",
)
"""Other spans, and another column kept: other rows."""
assert SHORT.fingerprints.state != LONG.fingerprints.state


def beside(made: Bench, definition: Definition) -> Bench:
    """The same records and the same store, seen with another definition."""
    other = Bench(definition, made.partitions, made.clock)
    other.broker, other.store = made.broker, made.store
    return other


def together(workers: list[Scoring]) -> None:
    for _ in range(2):
        for worker in workers:
            worker.settle()


def features(made: Bench) -> dict[Origin, Floats]:
    """Served by this definition, of predictions that nothing was wrong with but the want of a model."""
    names = made.definition.feature_names
    return {
        (p["origin"]["partition"], p["origin"]["offset"]): np.array(
            [p["features"][name] for name in names], np.float64
        )
        for p in made.predictions()
        if p["features"].keys() == set(names) and set(p["degradations"]) <= {"no_model", "key_missing"}
    }


def assert_exact(made: Bench) -> None:
    """What was served is what the training set holds for every event of the log."""
    decoder = Decoder(made.definition, future_limit_ms=HOUR_MS)
    events = decoder.decode(log_batch(made.broker, made.partitions)).events
    history = History(events, np.full(len(events), np.nan), events.times)
    matrix = point_in_time_matrix(made.definition, history, np.arange(len(events)))
    origins = [(p, offset) for p in range(made.partitions) for offset in range(made.log_end(p))]
    wanted: dict[Origin, Any] = dict(zip(origins, matrix, strict=True))
    for origin, values in features(made).items():
        np.testing.assert_array_equal(values, wanted[origin])
