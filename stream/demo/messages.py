"""Rows of a table as the records that an upstream service would send: events, and their labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

import msgspec
import pyarrow as pa

from features.definition.model import Definition, Field, RecordLabel
from features.event import entity_key
from stream.demo.plan import event_times

Record: TypeAlias = tuple[bytes | None, bytes | None]
"""Key and value."""
_Convert: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Messages:
    """n events in the order of sending, as bytes."""

    ids: Sequence[str]
    times: Sequence[int]
    """In the definition's time unit."""
    events: Sequence[Record]
    labels: Sequence[Record | None]
    """Of each event; None where it has none, or labels do not come by record."""


def messages(definition: Definition, table: pa.Table) -> Messages:
    """Every row as its event and, where it has one, its label."""
    times = event_times(definition, table).tolist()
    columns = {field.name: _values(definition, field, table, times) for field in definition.fields}
    texts = {name: [None if v is None else str(v) for v in column] for name, column in columns.items()}
    ids = [key or "" for key in _keys(texts, definition.id_fields)]
    keys = {entity.name: _keys(texts, entity.fields) for entity in definition.entities}
    encode = msgspec.json.Encoder().encode
    events = [
        (None if key is None else key.encode(), encode(dict(zip(columns, row, strict=True))))
        for key, row in zip(
            keys[definition.topic_entity.name], zip(*columns.values(), strict=True), strict=True
        )
    ]
    return Messages(ids, times, events, _labels(definition, table, ids, times, keys))


def _labels(
    definition: Definition,
    table: pa.Table,
    ids: Sequence[str],
    times: Sequence[int],
    keys: dict[str, list[str | None]],
) -> list[Record | None]:
    """Label records, keyed by event id.

    They may be sent ahead of their time: what counts is `observed_at`, before which no window sees them.
    """
    label = definition.label
    if not isinstance(label, RecordLabel) or label.field not in table.column_names:
        return [None] * len(ids)
    encode = msgspec.json.Encoder().encode
    stamp = _time_writer(definition)
    records: list[Record | None] = []
    for i, value in enumerate(table[label.field].to_pylist()):
        if value is None:
            records.append(None)
            continue
        record = {
            "event_id": ids[i],
            "label": value,
            "observed_at": stamp(times[i] + label.delay),
            "event_time": stamp(times[i]),
            "entities": {name: of[i] for name, of in keys.items() if of[i] is not None},
        }
        records.append((ids[i].encode(), encode(record)))
    return records


def _values(definition: Definition, field: Field, table: pa.Table, times: Sequence[int]) -> list[Any]:
    """A field's values as JSON is to have them."""
    if field.name == definition.time.field:
        return list(map(_time_writer(definition), times))
    column = table[field.name]
    if pa.types.is_timestamp(column.type):
        stamps = column.cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64()).to_pylist()
        write = _time_writer(definition)
        return [None if stamp is None else write(stamp) for stamp in stamps]
    converts: dict[str, _Convert] = {"string": str, "float64": float, "int64": int, "bool": bool}
    convert = converts.get(field.type, _as_it_is)
    return [None if value is None or value != value else convert(value) for value in column.to_pylist()]


def _as_it_is(value: Any) -> Any:
    return value


def _time_writer(definition: Definition) -> _Convert:
    """From the definition's time unit to how the use case writes times."""
    if definition.time.is_sequence:
        return int
    match definition.time.unit:
        case "s":
            return lambda time_ms: time_ms / 1000
        case "us":
            return lambda time_ms: time_ms * 1000
        case "ms":
            return int
        case _:
            return iso8601


def iso8601(time_ms: int) -> str:
    """``2018-08-08T10:25:54Z``, with milliseconds only where there are any."""
    seconds, ms = divmod(time_ms, 1000)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=ms * 1000)
    precision = "milliseconds" if ms else "seconds"
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


def _keys(texts: dict[str, list[str | None]], fields: tuple[str, ...]) -> list[str | None]:
    """Ids or entity keys of every row; None where a part is missing."""
    if len(fields) == 1:
        return texts[fields[0]]
    parts = zip(*(texts[name] for name in fields), strict=True)
    return [None if None in part else entity_key([p for p in part if p is not None]) for part in parts]
