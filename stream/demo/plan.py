"""Which events are history, which are for training, and which are sent through Kafka and scored."""

from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.arrays import Ints
from features.definition.model import Definition, RecordLabel
from features.event import entity_key
from features.progress import ALWAYS
from models.training.split import group_test_mask
from stream.demo.options import DemoError

DAY_MS = 86_400_000
_UNIT_MS = {"s": 1000.0, "ms": 1.0, "us": 0.001}


@dataclass(frozen=True, slots=True)
class Days:
    """UTC days in ms since the epoch, `from` included and `to` excluded."""

    train_from: int
    train_to: int
    score_from: int
    score_to: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Who learns from which events, and which are scored."""

    known: pa.Table
    """Everything before the scored events: what training sees."""
    train: tuple[int, int]
    """First event time that trains and first that does not, in the definition's time unit."""
    scored: pa.Table
    """In the order of sending, which is the order of time."""
    in_store: bool
    """Whether what is known goes into the store: not where the scored groups are new to everybody."""
    complete_since: int
    """From which event time on the store holds everything there ever was of the scored entities."""


def plan_days(definition: Definition, table: pa.Table, days: Days) -> Plan:
    """Split by time. Raises `DemoError` where a part is empty or training would know the future."""
    delay = definition.label.delay if isinstance(definition.label, RecordLabel) else 0
    if days.train_to + delay > days.score_from:
        raise DemoError(
            f"training until {_day(days.train_to)} needs labels that come {delay / DAY_MS:g} days later, "
            f"after scoring starts on {_day(days.score_from)}: "
            f"let --train-to be {_day(days.score_from - delay)} or before"
        )
    times = event_times(definition, table)
    order = np.argsort(times, kind="stable")
    table, times = table.take(order), times[order]
    start, train_from, train_to, end = np.searchsorted(
        times, [days.score_from, days.train_from, days.train_to, days.score_to]
    ).tolist()
    for flag, first, last, low, high in (
        ("train", train_from, train_to, days.train_from, days.train_to),
        ("score", start, end, days.score_from, days.score_to),
    ):
        if first >= last:
            raise DemoError(
                f"no events from {_day(low)} to {_day(high)} (excluded): the data go from {_day(times[0])} "
                f"to {_day(times[-1])}; choose other days with --{flag}-from and --{flag}-to"
            )
    return Plan(
        known=table.slice(0, start),
        train=(days.train_from, days.train_to),
        scored=table.slice(start, end - start),
        in_store=True,
        complete_since=int(times[0]) // DAY_MS * DAY_MS,
    )


def plan_groups(definition: Definition, table: pa.Table) -> Plan:
    """Split by groups, as training does: the held-out ones are scored, from their first event on.

    They run side by side: events go out in the order of time.
    """
    name = definition.evaluation.group or definition.topic_entity.name
    fields = next(entity.fields for entity in definition.entities if entity.name == name)
    keys = entity_keys(table, fields)
    scored = group_test_mask(keys, definition.evaluation.test_share)
    if scored.all() or not scored.any():
        raise DemoError(
            f"use case {definition.name}: its split by {name} leaves nothing to train on or nothing to "
            f"score; give more than {len(set(keys))} groups, or another evaluation.test_share"
        )
    later = table.filter(pa.array(scored))
    order = np.argsort(event_times(definition, later), kind="stable")
    return Plan(
        known=table.filter(pa.array(~scored)),
        train=(ALWAYS, -ALWAYS),
        scored=later.take(order),
        in_store=False,
        complete_since=ALWAYS,
    )


def last_days(definition: Definition, table: pa.Table, wished: tuple[date | None, ...]) -> Days:
    """The days wished for (train from, to, score from, to); by default the last week is scored.

    The week of training before it ends early enough for its labels to be known.
    """
    delay = definition.label.delay if isinstance(definition.label, RecordLabel) else 0
    train_from, train_to, score_from, score_to = (None if day is None else midnight(day) for day in wished)
    if score_to is None:
        score_to = (int(event_times(definition, table).max()) // DAY_MS + 1) * DAY_MS
    score_from = score_to - 7 * DAY_MS if score_from is None else score_from
    train_to = (score_from - delay) // DAY_MS * DAY_MS if train_to is None else train_to
    return Days(train_to - 7 * DAY_MS if train_from is None else train_from, train_to, score_from, score_to)


def event_times(definition: Definition, table: pa.Table) -> Ints:
    """Event times in the definition's time unit, shape (n,). Raises `DemoError` for what is no time."""
    name, unit = definition.time.field, definition.time.unit
    column = table[name]
    try:
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            factor = 1.0 if definition.time.is_sequence else _UNIT_MS[str(unit)]
            numbers = column.to_numpy()
            return numbers.astype(np.int64) if factor == 1.0 else np.floor(numbers * factor).astype(np.int64)
        stamps = pc.cast(column, pa.timestamp("ms", tz="UTC"))
        return stamps.cast(pa.int64()).to_numpy().astype(np.int64)
    except (pa.ArrowInvalid, KeyError, ValueError) as error:
        raise DemoError(
            f"column {name} ({column.type}) does not hold event times: {error}; give timestamps, or numbers "
            f"where the use case says in which unit"
        ) from None


def entity_keys(table: pa.Table, fields: tuple[str, ...]) -> list[str]:
    """The key of an entity in every row; a missing part counts as empty."""
    columns = [["" if v is None else str(v) for v in table[name].to_pylist()] for name in fields]
    return [entity_key(parts) for parts in zip(*columns, strict=True)]


def midnight(day: date) -> int:
    """The start of a day in UTC, ms since the epoch."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def _day(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).date().isoformat()
