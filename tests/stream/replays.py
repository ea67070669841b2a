"""Ranges of visits that were served, and are scored once more."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from features.arrays import Ints
from features.categories import Categories
from features.definition.model import Definition
from features.event import EventBatch
from models.bundle import CATEGORIES, Bundle
from models.categories import decode_categories
from stream.pipeline.encode import PredictionBatch, PredictionEncoder
from stream.records import RecordBatch
from stream.workers.replaying.rescore import Circumstances, Rescorer
from stream.workers.replaying.served import Served
from stream.workers.replaying.span import EventRange
from stream.workers.replaying.state import State

EVENTS = "visits.events"
N = 12
VISITS: Any = [(n % 2, n // 2, 1_000 * n, "abc"[n % 3], None if n == 5 else "x", 0.7 * n) for n in range(N)]


def whole(count: int = N, topic: str = EVENTS) -> EventRange:
    return EventRange(topic, {0: 0, 1: 0}, {0: count // 2, 1: count // 2})


def messages(values: Sequence[bytes]) -> RecordBatch:
    n = len(values)
    zeros = np.zeros(n, np.int64)
    return RecordBatch("out", zeros, np.arange(n), zeros, [None] * n, list(values), lambda _: [])


def around(state: State, causes: Ints | None = None) -> Circumstances:
    n = len(state.values)
    return Circumstances(state, np.zeros(n, np.int64) if causes is None else causes, np.zeros(n))


def rescored(bundle: Bundle, events: EventBatch, state: State, causes: Ints | None = None) -> PredictionBatch:
    no_causes = np.zeros(len(events), np.int64)
    return Rescorer(bundle).score(EVENTS, events, no_causes, around(state, causes), 1)


def served_as(bundle: Bundle, predictions: PredictionBatch, range_: EventRange) -> Served:
    """Predictions, written and read again."""
    values = PredictionEncoder(logging(bundle.definition), message_bytes_max=1 << 20).encode(predictions)
    served = Served(bundle.definition, categories_of(bundle), bundle.digest, range_)
    served.read([messages(values)], lambda _: None)
    return served


def logging(definition: Definition) -> Definition:
    """The definition with all features in its predictions."""
    return replace(definition, output=replace(definition.output, features=1.0))


def categories_of(bundle: Bundle) -> Categories:
    return decode_categories(bundle.definition, (bundle.path / CATEGORIES).read_bytes())
