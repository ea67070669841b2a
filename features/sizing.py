"""What a use case needs of the online store, before there is one: row sizes, memory, bandwidth.

An estimate for entities that are alike and rows cut to what their windows reach; beside it stands the most
that rows take before compaction cuts them. Busy entities have longer rows, and are read more often, so leave
room.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from features.codec import entry_bytes
from features.definition.model import Definition, RowKind, RowSchema
from features.keys import Namespace
from features.lookup.codec import lookup_bytes, lookup_prefix
from features.windows.folded import head_slots, tile_slots

KEY_OVERHEAD_BYTES = 120
"""What Redis 7 takes for a key with an expiry besides its name and value."""
KEY_NAME_BYTES = 16
"""An entity key's own length, assumed."""
APPEND_SLACK = 1.6
"""Redis makes room ahead when a value grows; measured with rows of 1 to 25 kB: 1.55 to 1.72 of their size."""
COMPACTED_AT = 2
"""A row is looked at for compaction when it holds this times `exact` entries."""
MS_PER_SECOND = 1_000


@dataclass(frozen=True, slots=True)
class RowSizing:
    """The rows of one entity and kind, on average."""

    entity: str
    kind: RowKind
    keys: int
    entry_bytes: int
    entries: float
    row_bytes: float
    busy_row_bytes: int
    """The row of an entity with any number of events, at its longest: just before it is compacted again."""
    memory_bytes: float
    """Of all its keys in Redis."""
    memory_bytes_max: float
    """The same before compaction drops what no window reaches any more."""


@dataclass(frozen=True, slots=True)
class LookupSizing:
    """The packed values that are looked up for one entity."""

    entity: str
    keys: int
    value_bytes: int
    memory_bytes: float


@dataclass(frozen=True, slots=True)
class Sizing:
    """The need of a use case at one rate of events."""

    rate_per_s: float
    rows: tuple[RowSizing, ...]
    lookups: tuple[LookupSizing, ...]

    @property
    def memory_bytes(self) -> float:
        return sum(row.memory_bytes for row in self.rows) + self._lookup_memory_bytes

    @property
    def memory_bytes_max(self) -> float:
        return sum(row.memory_bytes_max for row in self.rows) + self._lookup_memory_bytes

    @property
    def _lookup_memory_bytes(self) -> float:
        return sum(lookup.memory_bytes for lookup in self.lookups)

    @property
    def read_bytes_per_event(self) -> float:
        """Every row and value once; events of a batch that share an entity read it once together."""
        return sum(row.row_bytes for row in self.rows) + sum(held.value_bytes for held in self.lookups)

    @property
    def read_bytes_per_s(self) -> float:
        return self.rate_per_s * self.read_bytes_per_event

    @property
    def write_bytes_per_s(self) -> float:
        """One entry an event and row; labels as if every event got one."""
        return self.rate_per_s * sum(row.entry_bytes for row in self.rows)


def sizing(definition: Definition, rate_per_s: float, entities: Mapping[str, int] | float) -> Sizing:
    """Size the rows of `definition` for `rate_per_s` events a second.

    entities: how many there are of each, by name, or one number for all of them; above 0. A name that is
    not in the mapping raises KeyError.
    """
    counts = {
        entity.name: int(entities[entity.name] if isinstance(entities, Mapping) else entities)
        for entity in definition.entities
        if entity.name in definition.lookups or any(row.entity == entity.name for row in definition.rows)
    }
    rows = tuple(_rows(definition, schema, counts[schema.entity], rate_per_s) for schema in definition.rows)
    lookups = tuple(_lookups(definition, entity, counts[entity]) for entity in definition.lookups)
    return Sizing(rate_per_s, rows, lookups)


def _rows(definition: Definition, schema: RowSchema, keys: int, rate_per_s: float) -> RowSizing:
    size = entry_bytes(schema)
    entries = _entries(definition, schema, rate_per_s / keys)
    exact_bytes = COMPACTED_AT * schema.exact * size
    tiles = -(-(schema.reach + definition.grace) // schema.resolution) + 1 if schema.resolution else 0
    folded_bytes = (head_slots(schema) + tiles * tile_slots(schema)) * size
    busy_row_bytes = folded_bytes + exact_bytes
    row_bytes = min(entries * size, busy_row_bytes)
    prefix = Namespace.of(definition).row_prefix(schema.entity, schema.kind)
    return RowSizing(
        entity=schema.entity,
        kind=schema.kind,
        keys=keys,
        entry_bytes=size,
        entries=entries,
        row_bytes=row_bytes,
        busy_row_bytes=busy_row_bytes,
        memory_bytes=keys * (_key_bytes(prefix) + APPEND_SLACK * row_bytes),
        memory_bytes_max=keys * (_key_bytes(prefix) + APPEND_SLACK * max(row_bytes, exact_bytes)),
    )


def _lookups(definition: Definition, entity: str, keys: int) -> LookupSizing:
    value_bytes = lookup_bytes(definition.lookups[entity])
    prefix = lookup_prefix(definition.name, entity)
    return LookupSizing(entity, keys, value_bytes, keys * (_key_bytes(prefix) + value_bytes))


def _key_bytes(prefix: bytes) -> int:
    """What a key takes beside its value."""
    return KEY_OVERHEAD_BYTES + len(prefix) + KEY_NAME_BYTES


def _entries(definition: Definition, schema: RowSchema, rate_per_s: float) -> float:
    """How many entries the windows over one row reach; a unit's sequence has one event a step."""
    windows = [w for w in definition.windows if (w.entity, w.kind) == (schema.entity, schema.kind)]
    reach = max((w.span.length + w.delay for w in windows if w.span.kind == "time"), default=None)
    events = max((w.span.length for w in windows if w.span.kind == "events"), default=0)
    if reach is None:
        return float(events)
    reach += definition.grace
    by_time = float(reach) if definition.time.is_sequence else rate_per_s * reach / MS_PER_SECOND
    return max(float(events), by_time)
