"""The use case, normalised: frozen values with every default filled in and every name resolved.

Nothing here reads YAML. `features.definition.normalise` makes these values, everything else takes them.
Times are integers in the definition's *time unit*: milliseconds since the epoch, or steps of the
sequence where the use case has no clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from features.definition.kinds import (
    AggregateFunction,
    CategoryFeature,
    Feature,
    FieldFeature,
    LookupFeature,
    RowKind,
    RowSchema,
    Span,
    SqlFeature,
    WindowFeature,
)
from features.expression import Expression

__all__ = [
    "LABEL_COLUMN",
    "AggregateFunction",
    "CategoryFeature",
    "Decision",
    "Definition",
    "DerivedLabel",
    "Entity",
    "Evaluation",
    "EventTime",
    "ExcludeKnown",
    "Feature",
    "Field",
    "FieldFeature",
    "FieldType",
    "Fingerprints",
    "Label",
    "LookupFeature",
    "Missing",
    "OutOfRange",
    "Output",
    "RecordLabel",
    "RowKind",
    "RowSchema",
    "Rule",
    "Span",
    "SqlFeature",
    "Task",
    "TimeUnit",
    "TopK",
    "Training",
    "WindowFeature",
]

Task: TypeAlias = Literal["binary", "multiclass", "regression"]
FieldType: TypeAlias = Literal["string", "float64", "int64", "bool", "timestamp"]
TimeUnit: TypeAlias = Literal["iso8601", "s", "ms", "us"]
Missing: TypeAlias = Literal["reject", "stamp", "allow", "default"]
OutOfRange: TypeAlias = Literal["reject", "stamp", "clip"]

LABEL_COLUMN = "label"
"""The name of the label in aggregates and in label rows."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the event as it arrives."""

    name: str
    type: FieldType
    personal: bool = False
    minimum: float | None = None
    maximum: float | None = None
    missing: Missing = "stamp"
    default: float | str | None = None
    """What stands in for a missing value under `default`, as a column holds it; else None."""
    out_of_range: OutOfRange = "stamp"


@dataclass(frozen=True, slots=True)
class EventTime:
    """Where an event's time stands. Exactly one of `unit` and `per` is set."""

    field: str
    unit: TimeUnit | None
    """How a clock time is written; None under sequence time."""
    per: str | None
    """The field that names the unit whose events are counted; None under clock time."""

    @property
    def is_sequence(self) -> bool:
        return self.per is not None


@dataclass(frozen=True, slots=True)
class Entity:
    """Something events belong to. Its key is the text of its fields."""

    name: str
    fields: tuple[str, ...]
    is_topic_key: bool
    """Whether the events topic is keyed by it; exactly one entity is, the first of the file."""


@dataclass(frozen=True, slots=True)
class RecordLabel:
    """A label that comes as a record of the labels topic, or as a column of the history."""

    field: str
    delay: int
    """How long after the event the label becomes visible, in the time unit."""
    absent: float | None
    """What no label by then means; None leaves the event out of training."""
    classes: tuple[str, ...]
    """The classes of a multiclass task in the order of the probabilities; else empty."""


@dataclass(frozen=True, slots=True)
class DerivedLabel:
    """A label made of later events of the topic's entity: how far away its end, or a condition, is."""

    condition: Expression | None
    """The event that ends the count; None is the entity's last event (`end_of_entity`)."""
    unit: Literal["events", "time"]
    within: int | None
    """For a binary task: positive when the end is at most this far away."""
    cap: float | None
    """For regression: larger distances are cut to this."""


Label: TypeAlias = RecordLabel | DerivedLabel


@dataclass(frozen=True, slots=True)
class Rule:
    """A case of the fallback model; `when` None matches always."""

    when: Expression | None
    score: tuple[float, ...]
    """One score, or one probability per class."""
    reason: str | None


@dataclass(frozen=True, slots=True)
class Decision:
    """A case of the decisions over score, fields and features; `when` None matches always."""

    when: Expression | None
    decision: str


@dataclass(frozen=True, slots=True)
class Output:
    """What a prediction carries besides the fixed part of its contract."""

    include: tuple[str, ...]
    features: float
    """The share of predictions that carry the features as served: 1 is all, 0 is none."""


@dataclass(frozen=True, slots=True)
class TopK:
    """Precision among the k highest-scored entities of each period, averaged over periods."""

    name: str
    k: int
    per: int
    by: str
    drop_caught: bool
    """Leave out entities already found positive in an earlier period's top k."""


@dataclass(frozen=True, slots=True)
class ExcludeKnown:
    """Leave out entities with a positive label visible `after` later, since the training start."""

    entity: str
    after: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How quality is measured offline."""

    split: Literal["time", "group"]
    gap: int
    group: str | None
    """The entity whose events stay together in a group split."""
    test_share: float
    """The share of groups held out; only for a group split."""
    rows: Literal["all", "last_per_entity"]
    metrics: tuple[str, ...]
    top_k: TopK | None
    exclude_known: ExcludeKnown | None


@dataclass(frozen=True, slots=True)
class Training:
    """LightGBM's parameters for this use case, by LightGBM's own names."""

    parameters: Mapping[str, Any]
    rounds: int


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """SHA-256, hexadecimal, of the parts of a definition that may change apart from each other."""

    state: str
    features: str
    policy: str


@dataclass(frozen=True, slots=True)
class Definition:
    """A whole use case."""

    name: str
    task: Task
    id_fields: tuple[str, ...]
    time: EventTime
    timezone: str
    score_when: Expression | None
    fields: tuple[Field, ...]
    entities: tuple[Entity, ...]
    label: Label | None
    grace: int
    idle: int | None
    """Row lifetime in ms under sequence time or windows of event counts; None derives it from the spans."""
    features: tuple[Feature, ...]
    rules: tuple[Rule, ...]
    decisions: tuple[Decision, ...]
    control: float
    output: Output
    evaluation: Evaluation
    training: Training
    rows: tuple[RowSchema, ...]
    """What the online store keeps, derived from the windows."""
    row_conditions: Mapping[str, Expression]
    """The `where` expressions by the row column that keeps their value."""
    retention: int
    """How far back any window over time reaches: the largest span + delay, in the time unit."""
    history_none: bool
    """True where there never was more history than the store has seen (`history: none`)."""
    fingerprints: Fingerprints
    source: Mapping[str, Any]
    """The plain data of the file, as it goes into a bundle's definition.json."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names in model order."""
        return tuple(feature.name for feature in self.features)

    @property
    def topic_entity(self) -> Entity:
        return next(entity for entity in self.entities if entity.is_topic_key)

    @property
    def windows(self) -> tuple[WindowFeature, ...]:
        return tuple(f for f in self.features if isinstance(f, WindowFeature))

    @property
    def lookups(self) -> Mapping[str, tuple[LookupFeature, ...]]:
        """By entity, in the order of the file: the order in which a packed value holds them."""
        found: dict[str, tuple[LookupFeature, ...]] = {}
        for feature in self.features:
            if isinstance(feature, LookupFeature):
                found[feature.entity] = (*found.get(feature.entity, ()), feature)
        return found

    def field(self, name: str) -> Field:
        return next(field for field in self.fields if field.name == name)
