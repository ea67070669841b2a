"""Bytes to events: the first stage.

JSON types are strict: a number in quotes is a wrong type, and so is a number where a string is
declared; only an integer passes for a float64. Absent and null are the same. Timestamp fields are
written as event times are, or as ISO 8601 where events have no clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Annotated, Any

import msgspec
import numpy as np

from features.arrays import Bools, Column, Floats, Ints
from features.definition.model import Definition, Field, TimeUnit
from features.event import EventBatch, entity_key, hash_ids, pack_positions
from features.expression import truth
from features.timestamps import iso8601_times, numeric_times
from stream.pipeline.rejected import Rejected, RejectReason
from stream.pipeline.validate import (
    ID_BYTES_MAX,
    KEY_BYTES_MAX,
    Verdicts,
    are_missing,
    check_clock,
    check_field,
    check_id,
    check_length,
    check_present,
    check_record_key,
    check_sequence,
)
from stream.pipeline.wire import JsonReader
from stream.records import RecordBatch

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_TIMESTAMP_TYPES: Mapping[TimeUnit, Any] = {"iso8601": str, "s": float, "ms": float, "us": Int64}
Values = list[Any]
"""One field over the events as JSON gave it: str, float, int, bool or None."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What became of a batch of records: every record is either an event or rejected."""

    events: EventBatch
    index: Ints
    """The place of each event in the record batch, shape (n,)."""
    causes: Ints
    """`Cause` masks, shape (n,)."""
    scored: Bools
    """Whether an event is scored (`score_when`) or only feeds state, shape (n,)."""
    rejected: list[Rejected]
    """In the order of the records."""


class Decoder:
    """Decodes batches of one use case."""

    def __init__(self, definition: Definition, *, future_limit_ms: int) -> None:
        """future_limit_ms: how far an event time may be ahead of its record's timestamp."""
        self._definition = definition
        self._future_limit_ms = future_limit_ms
        self._time_unit = time_unit(definition)
        self._reader = JsonReader(event_struct(definition))
        keyed = {name for entity in definition.entities for name in entity.fields}
        self._text_fields = [f for f in definition.fields if f.name in keyed.union(definition.id_fields)]

    def decode(self, records: RecordBatch) -> Decoded:
        """The same events, masks and rejections however records are cut into batches."""
        read = self._reader.read(records.values)
        index = np.array(read.index, np.int64)
        raw = {
            field.name: list(map(attrgetter(f"f{i}"), read.objects))
            for i, field in enumerate(self._definition.fields)
        }
        verdicts = Verdicts(read.index)
        is_whole = len(index) == len(records)
        check_record_key(verdicts, records.keys if is_whole else [records.keys[i] for i in read.index])
        times = self._times(raw[self._definition.time.field], records.timestamps[index], verdicts)
        texts = {f.name: key_texts(f, raw[f.name]) for f in self._text_fields}
        ids = self._ids(texts, verdicts)
        columns = self._columns(raw, times, verdicts)
        keys = self._keys(texts, verdicts)
        positions = pack_positions(records.partitions[index], records.offsets[index])
        events = EventBatch(ids, hash_ids(ids), times, positions, columns, keys)
        rejected = sorted([*read.rejected, *verdicts.rejected], key=attrgetter("index"))
        if not verdicts.standing.all():
            standing = np.flatnonzero(verdicts.standing)
            events, index = events.take(standing), index[standing]
        causes = verdicts.causes[verdicts.standing]
        return Decoded(events, index, causes, self._scored(events), rejected)

    def _times(self, values: Values, timestamps: Ints, verdicts: Verdicts) -> Ints:
        name = self._definition.time.field
        missing = are_missing(values)
        check_present(verdicts, name, missing)
        if self._definition.time.is_sequence:
            numbers = sequence_numbers(values)
            check_sequence(verdicts, name, numbers)
            return numbers
        times = parse_times(values, self._time_unit, self._definition.timezone)
        check_clock(verdicts, name, times, missing, timestamps, self._future_limit_ms)
        return times

    def _ids(self, texts: Mapping[str, Sequence[str | None]], verdicts: Verdicts) -> list[str]:
        names = self._definition.id_fields
        parts = [texts[name] for name in names]
        check_id(verdicts, names, parts)
        ids = [key or "" for key in join_keys(parts)]
        check_length(verdicts, ids, ID_BYTES_MAX, RejectReason.BAD_ID, names[0])
        return ids

    def _columns(self, raw: Mapping[str, Values], times: Ints, verdicts: Verdicts) -> dict[str, Column]:
        columns: dict[str, Column] = {}
        for field in self._definition.fields:
            if field.name == self._definition.time.field:
                column: Column = times.astype(np.float64)
            elif field.type == "timestamp":
                column = self._timestamps(field, raw[field.name], verdicts)
            else:
                column = np.array(raw[field.name], object if field.type == "string" else np.float64)
            columns[field.name] = check_field(verdicts, field, column)
        return columns

    def _timestamps(self, field: Field, values: Values, verdicts: Verdicts) -> Floats:
        missing = are_missing(values)
        times = parse_times(values, self._time_unit, self._definition.timezone)
        no_timestamps = np.full(len(values), -1)  # other times of an event may well lie ahead
        check_clock(verdicts, field.name, times, missing, no_timestamps, 0)
        return np.where(missing, np.nan, times)

    def _keys(
        self, texts: Mapping[str, Sequence[str | None]], verdicts: Verdicts
    ) -> dict[str, Sequence[str | None]]:
        keys: dict[str, Sequence[str | None]] = {}
        for entity in self._definition.entities:
            joined = join_keys([texts[name] for name in entity.fields])
            check_length(verdicts, joined, KEY_BYTES_MAX, RejectReason.BAD_KEY, entity.fields[0])
            keys[entity.name] = joined
        return keys

    def _scored(self, events: EventBatch) -> Bools:
        condition = self._definition.score_when
        if condition is None:
            return np.ones(len(events), np.bool_)
        return truth(condition.evaluate(events.columns, len(events)))


def time_unit(definition: Definition) -> TimeUnit:
    """How timestamps of the use case are written."""
    return definition.time.unit or "iso8601"


def parse_times(values: Values, unit: TimeUnit, timezone: str) -> Ints:
    """Times as JSON gave them to ms since the epoch; `INVALID` where there is none."""
    if unit == "iso8601":
        return iso8601_times([value or "" for value in values], timezone)
    return numeric_times(values, unit)


def sequence_numbers(values: Values) -> Ints:
    """Sequence numbers as JSON gave them; 0 where there is none."""
    return np.array([0 if value is None else value for value in values], np.int64)


def event_struct(definition: Definition) -> type[Any]:
    """The Struct that JSON is read into; field i of the definition is its attribute ``f{i}``."""
    fields = [
        (f"f{i}", json_type(field, definition) | None, msgspec.field(name=field.name, default=None))
        for i, field in enumerate(definition.fields)
    ]
    # The collector need not track what holds only strings and numbers, tens of thousands a second.
    return msgspec.defstruct("Event", fields, gc=False)


def json_type(field: Field, definition: Definition) -> Any:
    """The Python type for the JSON type of a field."""
    if field.name == definition.time.field:
        return time_type(definition)
    if field.type == "timestamp":
        return _TIMESTAMP_TYPES[time_unit(definition)]
    return {"string": str, "float64": float, "int64": Int64, "bool": bool}[field.type]


def time_type(definition: Definition) -> Any:
    """The Python type for the JSON type of event times."""
    return Int64 if definition.time.is_sequence else _TIMESTAMP_TYPES[time_unit(definition)]


def key_texts(field: Field, values: Values) -> Sequence[str | None]:
    """The text of a field's values in ids and keys: strings as they are, integers exact, true and false."""
    if field.type == "string":
        return values
    if field.type == "bool":
        return [None if value is None else "true" if value else "false" for value in values]
    return [None if value is None else str(value) for value in values]


def join_keys(parts: Sequence[Sequence[str | None]]) -> Sequence[str | None]:
    """Texts of one or more fields to keys; None where a part is. parts: per field, shape (n,)."""
    if len(parts) == 1:
        return parts[0]
    return [None if None in texts else entity_key(texts) for texts in zip(*parts, strict=True)]
