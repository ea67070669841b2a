"""`riverrun features explain`: an event with all that its features are made of, out of files or as served."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.arrays import Floats, Ints
from features.codec import Entries
from features.definition.model import Definition, RowKind
from features.event import EventBatch, hash_ids
from features.explain import Explained, explain
from features.keys import Namespace
from features.lookup.history import LookupHistory
from features.lookup.request import assemble_lookups, request_lookups
from features.matrix import FeaturePlan
from features.past.history import HistoryError
from features.past.order import NEVER, Slice, join_slices
from features.past.texts import Texts, index_texts
from features.rows import RowId, Rows, assemble_rows, history_rows, index_keys, request_rows
from features.stores.redis import RedisStore
from stream.config import Settings, kafka_connection, redis_for_writes, topics_of
from stream.pipeline.decode import Decoder
from stream.transport.kafka.ranges import Offsets, TopicRanges
from stream.workers.building.files import FileBatches

BATCH_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class ExplainedEvent:
    """An event and how its features came about."""

    event: EventBatch
    """Of one event."""
    features: Sequence[Explained]
    ids: Mapping[int, str]
    """The texts of ids by their hashes, as far as they are known."""


def explain_in_files(
    definition: Definition, paths: Sequence[Path], lookups: Mapping[str, LookupHistory], event_id: str
) -> ExplainedEvent:
    """Out of history; positions are row numbers. Of events with the same id the first in time is explained.

    Raises `HistoryError`.
    """
    files = FileBatches(definition, paths, (-NEVER, NEVER), BATCH_ROWS)
    files.scan(lambda _: None)
    numbers = range(len(files.extents))
    found = _in_order([_with_id(files.read(number), event_id) for number in numbers])
    if found is None:
        names = ", ".join(str(path) for path in paths)
        raise HistoryError(f"no event of {names} has the id {event_id}: look for it in the files")
    first = found.take(np.array([0]))
    united = _in_order([_akin(files.read(number), first) for number in numbers])
    assert united is not None, "an event is akin to itself"
    events, at = _batch(united), int(np.flatnonzero(united.positions == first.positions[0])[0])
    labels = {
        row.entity: _labels(united, events, row.entity)
        for row in definition.rows
        if row.kind is RowKind.LABELS
    }
    columns: dict[str, Floats] = {}
    for entity, history in lookups.items():
        columns |= history.columns(events.keys[entity], events.times)
    rows = history_rows(definition, events, labels)
    return _explained(definition, events, at, rows, columns)


def explain_as_served(
    settings: Settings, definition: Definition, event_id: str, place: tuple[int, int] | None, since_ms: int
) -> ExplainedEvent:
    """As a worker would serve it now: the event from its topic, and the rows from the online store.

    place: partition and offset; without it the topic is searched, from the records of `since_ms` on. Raises
    `HistoryError`, `Fatal`, `StoreUnavailable` and `StoreRejected`.
    """
    event = _from_topic(settings, definition, event_id, place, since_ms)
    with closing(RedisStore(redis_for_writes(settings))) as store:
        request = request_rows(definition, event, Namespace.of(definition).previous())
        rows, corrupt = assemble_rows(definition, event, request, store.read(request.store_keys), {})
        wanted = request_lookups(definition, event, request.indexes)
        looked_up = assemble_lookups(wanted, store.read(wanted.store_keys), event.times)
    if corrupt.any():
        raise HistoryError(f"a row of event {event_id} cannot be read: its features are missing")
    return _explained(definition, event, 0, rows, looked_up.columns)


def _explained(
    definition: Definition,
    events: EventBatch,
    at: int,
    rows: Mapping[RowId, Rows],
    lookups: Mapping[str, Floats],
) -> ExplainedEvent:
    features = explain(definition, FeaturePlan(definition), events, at, rows, lookups)
    ids = dict(zip(events.hashes.tolist(), events.ids, strict=True))
    return ExplainedEvent(events.take(np.array([at])), features, ids)


def _from_topic(
    settings: Settings, definition: Definition, event_id: str, place: tuple[int, int] | None, since_ms: int
) -> EventBatch:
    decoder = Decoder(definition, future_limit_ms=settings.future_limit_ms)
    topic = topics_of(settings, definition.name).events
    with closing(TopicRanges(kafka_connection(settings), topic)) as ranges:
        starts: Offsets
        ends: Offsets
        if place is None:
            starts, ends = ranges.since(since_ms)
        else:
            starts, ends = {place[0]: place[1]}, {place[0]: place[1] + 1}
        for records in ranges.read(starts, ends):
            events = decoder.decode(records).events
            found = [at for at, text in enumerate(events.ids) if text == event_id]
            if found:
                return events.take(np.array(found[:1]))
    where = topic if place is None else f"{topic}, partition {place[0]}, offset {place[1]}"
    raise HistoryError(f"no event of {where} has the id {event_id}: look where it is, and how far back")


def _with_id(part: Slice, event_id: str) -> Slice:
    equal: Any = pc.equal(part.events.ids.cast(pa.string()), pa.scalar(event_id, pa.string()))
    return part.take(_places(equal))


def _akin(part: Slice, event: Slice) -> Slice:
    """The events that share an entity with `event`."""
    akin = np.zeros(len(part), np.bool_)
    for name, keys in part.events.keys.items():
        key = event.events.keys[name][0].as_py()
        if key is not None:
            equal: Any = pc.equal(keys.cast(pa.string()), pa.scalar(key, pa.string()))
            akin[_places(equal)] = True
    akin |= np.isin(part.positions, event.positions)
    return part.take(np.flatnonzero(akin))


def _places(equal: Any) -> Ints:
    return np.flatnonzero(np.asarray(equal.fill_null(False).to_numpy(), np.bool_))


def _in_order(parts: Sequence[Slice]) -> Slice | None:
    """By time and row; None where there is nothing."""
    some = [part for part in parts if len(part)]
    if not some:
        return None
    joined = join_slices(some)
    return joined.take(np.lexsort((joined.positions, joined.events.times)))


def _batch(part: Slice) -> EventBatch:
    ids = list(Texts(part.events.ids))
    keys = {name: index_texts(keys) for name, keys in part.events.keys.items()}
    return EventBatch(ids, hash_ids(ids), part.events.times, part.positions, part.events.columns, keys)


def _labels(part: Slice, events: EventBatch, entity: str) -> Entries:
    row = index_keys(events.keys[entity]).of_event
    known = np.flatnonzero(~np.isnan(part.events.labels) & (row >= 0))
    return Entries(
        row=row[known],
        times=events.times[known],
        ids=events.hashes[known],
        marks=part.events.observed_at[known].view(np.uint64),
        values=part.events.labels[known].reshape(-1, 1),
    )
