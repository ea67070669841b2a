"""What a use case needs of the online store, before there is one: row sizes, memory, bandwidth.

An estimate for entities that are alike and rows cut to what their windows reach. Busy entities have longer
rows, and are read more often, so leave room.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from features.codec import entry_bytes
from features.definition.model import Definition, RowKind, RowSchema
from features.keys import Namespace

KEY_OVERHEAD_BYTES = 120
"""What Redis 7 takes for a key with an expiry besides its name and value."""
KEY_NAME_BYTES = 16
"""An entity key's own length, assumed."""
APPEND_SLACK = 1.6
"""Redis makes room ahead when a value grows; measured with rows of 1 to 25 kB: 1.55 to 1.72 of their size."""
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
    memory_bytes: float
    """Of all its keys in Redis."""


@dataclass(frozen=True, slots=True)
class Sizing:
    """The need of a use case at one rate of events."""

    rate_per_s: float
    rows: tuple[RowSizing, ...]

    @property
    def memory_bytes(self) -> float:
        return sum(row.memory_bytes for row in self.rows)

    @property
    def read_bytes_per_event(self) -> float:
        """Every row once; events of a batch that share an entity read it once together."""
        return sum(row.row_bytes for row in self.rows)

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
    prefix = Namespace.of(definition)
    rows: list[RowSizing] = []
    for schema in definition.rows:
        keys = int(entities[schema.entity]) if isinstance(entities, Mapping) else int(entities)
        size = entry_bytes(schema)
        entries = _entries(definition, schema, rate_per_s / keys)
        name_bytes = len(prefix.row_prefix(schema.entity, schema.kind)) + KEY_NAME_BYTES
        memory = keys * (KEY_OVERHEAD_BYTES + name_bytes + APPEND_SLACK * entries * size)
        rows.append(RowSizing(schema.entity, schema.kind, keys, size, entries, entries * size, memory))
    return Sizing(rate_per_s, tuple(rows))


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
