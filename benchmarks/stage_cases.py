"""What stages are timed with: records as a poll gives them, and a store that holds what is known of their
entities, in one of three states.

ahead: the materializer has passed the whole topic, later events and labels included, as in a topic that is
answered anew. live: the rows hold what came before a batch. behind: the last `BEHIND` events before a batch
are not in the rows, but in the worker's overlay.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal, TypeAlias, get_args

import numpy as np

from features.arrays import Ints
from features.definition import load_definition, parse_definition
from features.definition.model import Definition
from features.event import EventBatch
from features.lookup.codec import encode_lookups, lookup_prefix
from features.progress import ALWAYS, Progress
from features.stores.memory import MemoryStore
from stream.demo import examples
from stream.demo.cards import CardWorld, simulate_cards
from stream.demo.messages import Messages, messages
from stream.engine.entries import event_chunks, label_chunks
from stream.pipeline.decode import Decoder
from stream.pipeline.enrich import Coverage
from stream.pipeline.labels import LabelDecoder
from stream.records import Headers, RecordBatch

State: TypeAlias = Literal["ahead", "live", "behind"]
STATES: tuple[State, ...] = get_args(State)
PARTITIONS = 4
DAYS = 37
CUSTOMERS = 2_000
BEHIND = 20_000
VALUES = 10
"""Of each entity, in plain rows."""
NOW_MS = 1_900_000_000_000
FUTURE_LIMIT_MS = 10 * 365 * 86_400_000
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
  - lookup: {{entity: customer, fields: [{", ".join(f"c{at}" for at in range(VALUES))}], max_age: 3650d}}
  - lookup: {{entity: terminal, fields: [{", ".join(f"t{at}" for at in range(VALUES))}], max_age: 3650d}}
rules: [{{otherwise: 0.01}}]
decisions:
  - {{when: "score >= 0.9", decision: decline}}
  - {{when: "score >= 0.5", decision: review}}
  - {{otherwise: approve}}
output: {{features: none}}
"""


def windows_definition() -> Definition:
    """The Handbook's fifteen features; predictions go without them, as in the other throughput figures."""
    definition = load_definition(examples.path("fraud"))
    return replace(definition, output=replace(definition.output, features=0.0))


def plain_definition() -> Definition:
    return parse_definition(PLAIN, "plain.yaml")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch on its way, and what surrounds it."""

    records: RecordBatch
    store: MemoryStore
    before: EventBatch | None
    """What the overlay holds; None for nothing."""
    coverage: Coverage


class World:
    """37 days of card transactions, in partitions, decoded once."""

    def __init__(self) -> None:
        definition = windows_definition()
        cards = CardWorld(date(2025, 1, 1), DAYS, CUSTOMERS, 2 * CUSTOMERS, radius=8.0)
        self.messages: Messages = messages(definition, simulate_cards(cards))
        keys = [int(key or b"0") for key, _ in self.messages.events]
        partitions = np.array(keys, np.int64) * 2_654_435_761 % 2**32 >> 16 & PARTITIONS - 1
        offsets = np.empty(len(partitions), np.int64)
        for partition in range(PARTITIONS):
            mine = np.flatnonzero(partitions == partition)
            offsets[mine] = np.arange(len(mine))
        self._partitions, self._offsets = partitions, offsets
        self.events = self.decoded(definition, np.arange(len(partitions)))

    def __len__(self) -> int:
        return len(self._partitions)

    def records(self, index: Ints) -> RecordBatch:
        """In partition order, as a poll returns them."""
        index = index[np.argsort(self._partitions[index], kind="stable")]
        chosen = [self.messages.events[at] for at in index.tolist()]
        keys, values = [key for key, _ in chosen], [value for _, value in chosen]
        times = np.array(self.messages.times)[index]
        return RecordBatch(
            "events", self._partitions[index], self._offsets[index], times, keys, values, _no_headers
        )

    def decoded(self, definition: Definition, index: Ints) -> EventBatch:
        return Decoder(definition, future_limit_ms=FUTURE_LIMIT_MS).decode(self.records(index)).events

    def store(self, definition: Definition, until: int) -> MemoryStore:
        """What a materializer has written once it is past the first `until` events."""
        store = MemoryStore(lambda: NOW_MS)
        store.append(event_chunks(definition, self.decoded(definition, np.arange(until))), None)
        seen = self.messages.times[until - 1] if until < len(self) else NOW_MS
        known = [
            label
            for label, time in zip(self.messages.labels, self.messages.times, strict=True)
            if label is not None and time + 7 * 86_400_000 <= seen
        ]
        none = np.full(len(known), -1)
        keys, values = [key for key, _ in known], [value for _, value in known]
        records = RecordBatch("labels", none + 1, np.arange(len(known)), none, keys, values, _no_headers)
        labels = LabelDecoder(definition, future_limit_ms=FUTURE_LIMIT_MS).decode(records)
        store.append(label_chunks(definition, labels), None)
        return store

    def progress(self, until: int) -> list[Progress]:
        """By partition, after the first `until` events."""
        passed = np.bincount(self._partitions[:until], minlength=PARTITIONS).tolist()
        return [_progress(offset) for offset in passed]


def windows_cases(world: World, state: State, size: int, count: int) -> list[Prepared]:
    """`count` batches, one after the other, towards the end of the world."""
    definition = windows_definition()
    start = len(world) - count * size - size
    until = {"ahead": len(world), "live": start, "behind": start - BEHIND}[state]
    store, cases = world.store(definition, until), []
    progress = world.progress(until)
    for at in range(start, start + count * size, size):
        if state == "live" and at > start:
            store, progress = world.store(definition, at), world.progress(at)
        before = world.decoded(definition, np.arange(start - BEHIND, at)) if state == "behind" else None
        owned = dict.fromkeys(range(PARTITIONS), NOW_MS)
        coverage = Coverage(progress, [_progress(len(world))], owned, frozenset(), NOW_MS)
        cases.append(Prepared(world.records(np.arange(at, at + size)), store, before, coverage))
    return cases


def plain_cases(world: World, size: int, count: int) -> list[Prepared]:
    """The same events, with ready values of both entities."""
    definition = plain_definition()
    store = MemoryStore(lambda: NOW_MS)
    draw = np.random.default_rng(0)
    for entity, fields in definition.lookups.items():
        keys = sorted({key for key in world.events.keys[entity] if key is not None})
        values = encode_lookups(fields, np.zeros(len(keys), np.int64), draw.normal(size=(len(keys), VALUES)))
        prefix = lookup_prefix(definition.name, entity)
        chunks = [(prefix + key.encode(), value) for key, value in zip(keys, values, strict=True)]
        store.append(chunks, None)
    coverage = Coverage([], [], {}, frozenset(), NOW_MS)
    start = len(world) - count * size - size
    batches: Sequence[Ints] = [np.arange(at, at + size) for at in range(start, start + count * size, size)]
    return [Prepared(world.records(index), store, None, coverage) for index in batches]


def _progress(offset: int) -> Progress:
    return Progress(
        epoch="1", offset=offset, log_end=offset, event_time=0, complete_since=ALWAYS, written_at=NOW_MS
    )


def _no_headers(_: int) -> Headers:
    return []
