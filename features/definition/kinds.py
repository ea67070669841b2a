"""The kinds of features, and the rows that windows need."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

from features.expression import Expression

EXACT = 256
"""What `RowSchema.exact` is at least."""
MIN_COUNT = 10
"""What `min_count` of categories is where the file does not say it."""


class RowKind(StrEnum):
    """The two kinds of rows an entity may have in the online store."""

    EVENTS = "e"
    LABELS = "l"


@dataclass(frozen=True, slots=True)
class RowSchema:
    """The values that the entries of one entity's rows keep, in the order of the codec.

    A column is a field's name, the text of a `where` expression (kept as 0, 1 or NaN), or ``label``.
    String fields are kept as a 52-bit hash, which tells values apart but not what they were.
    """

    entity: str
    kind: RowKind
    columns: tuple[str, ...]
    conditions: tuple[str, ...] = ()
    """Those of the columns that are conditions."""
    exact: int = EXACT
    """Windows that end at an event are exact as far back as this many entries before it."""
    resolution: int = 0
    """How far an edge beyond those may be displaced: the length of a tile, in the time unit. 0: no tiles,
    because no window of time reaches back."""
    reach: int = 0
    """The largest span + delay of this row's windows over time; 0 without any."""
    delay: int = 0
    """How long after their event labels usually come; 0 in rows of events."""


@dataclass(frozen=True, slots=True)
class Span:
    """How far a window reaches back: a length in the time unit, or a number of events."""

    kind: Literal["time", "events"]
    length: int
    text: str
    """As it stands in generated names: ``7d``, ``30_events``, ``50``."""


@dataclass(frozen=True, slots=True)
class FieldFeature:
    """A field taken as it is."""

    name: str


@dataclass(frozen=True, slots=True)
class SqlFeature:
    """A scalar expression over fields and earlier features."""

    name: str
    expression: Expression


AggregateFunction: TypeAlias = Literal[
    "count", "sum", "mean", "min", "max", "std", "distinct_count", "first", "last", "time_since_last"
]


@dataclass(frozen=True, slots=True)
class WindowFeature:
    """One aggregate over one window: entries with event time in (t - delay - span, t - delay]."""

    name: str
    entity: str
    kind: RowKind
    function: AggregateFunction
    column: str | None
    """What is aggregated; None for `count` and `time_since_last` of entries."""
    span: Span
    delay: int
    where: str | None
    """The row column that holds the condition; None keeps every entry."""
    include_current: bool
    """Whether the event itself is in the window; only possible with no delay."""
    empty: float
    """The value of an empty window; NaN is missing."""
    std_of_one: float = 0.0
    """The standard deviation of a single value: 0 or NaN."""


@dataclass(frozen=True, slots=True)
class CategoryFeature:
    """A string field as LightGBM's categorical feature, coded by the categories that the bundle keeps."""

    name: str
    """The field's."""
    min_count: int
    """Rarer values share the code of unknown ones."""


@dataclass(frozen=True, slots=True)
class LookupFeature:
    """A value that others write beside the rows, one set of them for each entity key."""

    name: str
    """``{entity}_{field}``"""
    entity: str
    field: str
    is_category: bool
    """A text, coded as `CategoryFeature` is; else a number."""
    min_count: int
    max_age: int | None
    """In ms: an older value is missing; None: never too old."""


Feature: TypeAlias = FieldFeature | SqlFeature | WindowFeature | CategoryFeature | LookupFeature
