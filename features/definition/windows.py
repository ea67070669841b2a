"""Windows: which aggregates over which entries, and what the features are called.

Generated names are ``{entity}_{aggregate}[_{field}]_{span}[_delay_{d}]``, with the window's `name` in the
entity's place where it has one. Their order is spans first, then aggregates, then the fields of `of`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

from features.definition.document import Path
from features.definition.lengths import Length
from features.definition.model import (
    LABEL_COLUMN,
    AggregateFunction,
    Entity,
    FieldType,
    Label,
    RecordLabel,
    RowKind,
    Span,
    WindowFeature,
)
from features.definition.report import did_you_mean
from features.definition.schema import WindowSpec
from features.definition.scope import Scope
from features.expression import Expression

FUNCTIONS: tuple[AggregateFunction, ...] = get_args(AggregateFunction)
COUNTING = frozenset({"count", "distinct_count"})
"""Functions for which an empty window is a true 0, not a missing value."""
_BARE = frozenset({"count", "time_since_last"})
"""Functions of entries, which take no field."""
_NUMBERS: tuple[FieldType, ...] = ("float64", "int64", "bool")
_AGGREGATE = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:\(\s*(\w+)\s*\)\s*)?")
_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One aggregate of a window, its field resolved."""

    function: AggregateFunction
    column: str | None

    @property
    def kind(self) -> RowKind:
        return RowKind.LABELS if self.column == LABEL_COLUMN else RowKind.EVENTS


@dataclass(frozen=True, slots=True)
class Window:
    """The features of one window, and the condition that its entries keep."""

    features: tuple[WindowFeature, ...]
    condition: Expression | None


def read_window(raw: WindowSpec, path: Path, scope: Scope, label: Label | None) -> Window:
    """The features of the window at `path`, in model order. What is wrong is reported and left out."""
    report = scope.report
    entity = scope.entity((*path, "entity"), raw.entity)
    if entity is not None:
        _check_sequence(entity, path, scope)
    for key in ("spans", "aggregates", "of"):
        if getattr(raw, key) == [] and not report.doubts(*path, key):
            report.add(
                (*path, key), "is empty", "name at least one, or take the key out", text=key, at_key=True
            )
    aggregates = [
        found
        for i in range(len(raw.aggregates))
        for found in _aggregates(raw, (*path, "aggregates", i), scope)
    ]
    _check_labels(raw, aggregates, path, scope, label)
    condition = None
    if raw.where is not None:
        condition = scope.expression((*path, "where"), raw.where, scope.field_types(), "condition")
        if raw.name is None and not report.doubts(*path, "name"):
            mend = "add `name: …`, which stands for the entity in their names"
            report.add(
                (*path, "where"),
                "with a condition the features need a name of their own",
                mend,
                text="where",
                at_key=True,
            )
    delay = scope.length((*path, "delay"), raw.delay)
    if delay and raw.current == "include":
        cause = "the event itself is never in a window that ends before it"
        report.add((*path, "current"), cause, "take `current` or `delay` out")
    spans = [_span(length, (*path, "spans", i), scope) for i, length in enumerate(raw.spans)]
    features = [
        _feature(raw, aggregate, span, delay, condition) for span in spans for aggregate in aggregates
    ]
    return Window(tuple(features), condition)


def _feature(
    raw: WindowSpec, aggregate: Aggregate, span: Span, delay: int, condition: Expression | None
) -> WindowFeature:
    function, column = aggregate.function, aggregate.column
    words = [
        raw.name or raw.entity,
        function,
        column,
        span.text,
        f"delay_{raw.delay.text}" if delay else None,
    ]
    events = aggregate.kind is RowKind.EVENTS
    return WindowFeature(
        name="_".join(word for word in words if word is not None),
        entity=raw.entity,
        kind=aggregate.kind,
        function=function,
        column=column,
        span=span,
        delay=delay,
        where=condition.text if condition is not None else None,
        include_current=events and not delay and raw.current != "exclude" and function != "time_since_last",
        empty=0.0 if function in COUNTING else _NAN if raw.empty is None else raw.empty,
        std_of_one=_NAN if function == "std" and raw.std_of_one == "nan" else 0.0,
    )


def _span(length: Length, path: Path, scope: Scope) -> Span:
    if length.kind == "events" and scope.exact is not None and length.n > scope.exact:
        mend = f"take fewer, or a span of time, or write `rows: {{exact: {length.n}}}`"
        scope.report.add(path, f"a window holds at most {scope.exact} events", mend)
    return Span("events" if length.kind == "events" else "time", scope.length(path, length), length.text)


def _aggregates(raw: WindowSpec, path: Path, scope: Scope) -> Iterator[Aggregate]:
    """What one item of `aggregates` stands for: itself, or itself for each field of `of`."""
    text = raw.aggregates[int(path[-1])]
    report = scope.report
    parsed = _AGGREGATE.fullmatch(text)
    function = parsed[1] if parsed else text
    known = next((name for name in FUNCTIONS if name == function), None)
    if parsed is None or known is None:
        report.add(path, "no such aggregate", did_you_mean(function, FUNCTIONS), text=text)
        return
    column = parsed[2]
    if known in _BARE:
        if column is None or (known == "count" and column == LABEL_COLUMN):
            yield Aggregate(known, column)
            return
        mend = "write count, or count(label) for labelled events" if known == "count" else f"write {known}"
        report.add(path, f"{known} takes no field", mend, text=text)
    elif column is not None:
        if _fits(known, column, path, scope):
            yield Aggregate(known, column)
    elif raw.of is None:
        if not report.doubts(*path[:-2], "of"):
            report.add(
                path, f"{known} of what?", f"write {known}(field), or name the fields in `of: […]`", text=text
            )
    else:
        of: Path = (*path[:-2], "of")
        for i, name in enumerate(raw.of):
            if _fits(known, name, (*of, i), scope):
                yield Aggregate(known, name)


def _fits(function: str, column: str, path: Path, scope: Scope) -> bool:
    """Whether `function` can be taken of `column`; reported where it cannot."""
    if column == LABEL_COLUMN:
        return True
    field = scope.field(path, column)
    if field is None:
        return False
    if field.type in _NUMBERS or (function == "distinct_count" and field.type == "string"):
        return True
    mend = "only distinct_count takes a string" if field.type == "string" else "use time_since_last for times"
    scope.report.add(path, f"{function} of a {field.type} is nothing", mend, text=column)
    return False


def _check_labels(
    raw: WindowSpec, aggregates: list[Aggregate], path: Path, scope: Scope, label: Label | None
) -> None:
    report = scope.report
    first = next((aggregate for aggregate in aggregates if aggregate.kind is RowKind.LABELS), None)
    if first is not None:
        text = f"{first.function}({LABEL_COLUMN})"
        at: Path = (*path, "aggregates")
        if not isinstance(label, RecordLabel) and not report.doubts("label"):
            cause = "only labels that come as records of their own can be aggregated"
            report.add(at, cause, "declare `label: {field: …}`, or take it out", text=text)
        elif isinstance(label, RecordLabel) and label.classes and first.function != "count":
            report.add(at, "classes are no numbers", "only count(label) is possible", text=text)
        if raw.where is not None:
            cause = "labels carry no fields, so no condition can hold for them"
            report.add((*path, "where"), cause, f"take {text} into a window of its own, without `where`")
    takes_of = any(item.strip() in FUNCTIONS and item.strip() not in _BARE for item in raw.aggregates)
    if raw.of is not None and not takes_of and not report.doubts(*path, "aggregates"):
        mend = "write an aggregate without a field, such as mean, or take `of` out"
        report.add((*path, "of"), "no aggregate takes its field from here", mend, text="of", at_key=True)


def _check_sequence(entity: Entity, path: Path, scope: Scope) -> None:
    """Numbers of different units' sequences do not compare, so a window must stay within a unit."""
    per = scope.per
    if per is not None and per not in entity.fields:
        mend = f"use an entity that has `{per}` among its fields"
        cause = f"the sequence runs per `{per}`, and this entity may have events of several"
        scope.report.add((*path, "entity"), cause, mend)
