"""The check of a use case file: what it comes to, and what it needs of Redis."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from features.codec import entry_bytes
from features.definition import load_definition
from features.definition.lengths import MS
from features.definition.model import Definition
from features.lookup.codec import lookup_bytes
from features.sizing import Sizing, sizing

_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


@dataclass(frozen=True, slots=True)
class Load:
    """What the use case shall bear."""

    rate_per_s: float
    entities: float
    """How many there are of each."""


def lines(file: Path, load: Load | None) -> list[str]:
    """What the use case comes to. Raises `DefinitionError` with every mistake, and OSError."""
    definition = load_definition(file)
    found = list(summary(definition))
    if load is not None:
        found += sizing_lines(sizing(definition, load.rate_per_s, load.entities))
    return found


def summary(definition: Definition) -> Iterator[str]:
    """The definition for people, with its features in model order."""
    prints = definition.fingerprints
    entities = (f"{entity.name} ({', '.join(entity.fields)})" for entity in definition.entities)
    yield f"{definition.name}: {definition.task}, fit for use"
    yield f"entities:     {', '.join(entities)}; the events topic is keyed by {definition.topic_entity.name}"
    yield f"features:     {len(definition.features)}, in model order"
    yield from (f"  {place:>3}  {name}" for place, name in enumerate(definition.feature_names))
    yield f"rows:         {len(definition.rows) or 'none'}"
    for row in definition.rows:
        columns = ", ".join(row.columns) or "nothing but the event"
        tiles = f", then tiles of {_length(definition, row.resolution)}" if row.resolution else ""
        yield (
            f"  {row.entity} ({row.kind.name.lower()}): {columns}; {entry_bytes(row)} bytes an entry; "
            f"exact for {row.exact} entries{tiles}"
        )
    if definition.lookups:
        yield "lookups:"
    for entity, held in definition.lookups.items():
        names = ", ".join(f"{one.field} (text)" if one.is_category else one.field for one in held)
        yield f"  {entity}: {names}; {lookup_bytes(held)} bytes a value"
    yield f"fingerprints: state    {prints.state}"
    yield f"              features {prints.features}"
    yield f"              policy   {prints.policy}"


def sizing_lines(need: Sizing) -> Iterator[str]:
    """The table of row bytes, memory and bandwidth."""
    yield f"at {need.rate_per_s:g} events/s, on average:"
    for row in need.rows:
        yield (
            f"  {row.entity} ({row.kind.name.lower()}): {row.keys:,} keys × {size(row.row_bytes)} a row of "
            f"{row.entries:,.1f} entries of {row.entry_bytes} bytes, {size(row.memory_bytes)} in Redis; "
            f"the busiest row {size(row.busy_row_bytes)}"
        )
    for held in need.lookups:
        yield (
            f"  {held.entity} (looked up): {held.keys:,} keys × {size(held.value_bytes)}, "
            f"{size(held.memory_bytes)} in Redis"
        )
    most = f", at most {size(need.memory_bytes_max)} before compaction drops what no window reaches"
    yield f"  memory in Redis    {size(need.memory_bytes)}{most if need.rows else ''}"
    yield f"  read for an event  {size(need.read_bytes_per_event)}"
    yield f"  read bandwidth     {size(need.read_bytes_per_s)}/s"
    yield f"  write bandwidth    {size(need.write_bytes_per_s)}/s"


def _length(definition: Definition, length: int) -> str:
    """A length in the time unit, as use case files write it."""
    if definition.time.is_sequence:
        return str(length)
    unit = next(unit for unit in reversed(MS) if length % MS[unit] == 0)
    return f"{length // MS[unit]}{unit}"


def size(count: float) -> str:
    """Bytes for people, in powers of ten."""
    for unit, name in _UNITS:
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count:.0f} bytes"
