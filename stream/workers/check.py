"""The check of a use case file: what it comes to, and what it needs of Redis."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from features.codec import entry_bytes
from features.definition import load_definition
from features.definition.model import Definition
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
        yield f"  {row.entity} ({row.kind.name.lower()}): {columns}; {entry_bytes(row)} bytes an entry"
    yield f"fingerprints: state    {prints.state}"
    yield f"              features {prints.features}"
    yield f"              policy   {prints.policy}"


def sizing_lines(need: Sizing) -> Iterator[str]:
    """The table of row bytes, memory and bandwidth."""
    yield f"at {need.rate_per_s:g} events/s, on average:"
    for row in need.rows:
        yield (
            f"  {row.entity} ({row.kind.name.lower()}): {row.keys:,} keys × {row.entries:,.1f} entries × "
            f"{row.entry_bytes} bytes = {size(row.row_bytes)} a row, {size(row.memory_bytes)} in Redis"
        )
    yield f"  memory in Redis    {size(need.memory_bytes)}"
    yield f"  read for an event  {size(need.read_bytes_per_event)}"
    yield f"  read bandwidth     {size(need.read_bytes_per_s)}/s"
    yield f"  write bandwidth    {size(need.write_bytes_per_s)}/s"


def size(count: float) -> str:
    """Bytes for people, in powers of ten."""
    for unit, name in _UNITS:
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count:.0f} bytes"
