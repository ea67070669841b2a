"""From the grammar to the definition: names resolved, defaults filled in, rows derived."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from features.definition.cases import read_decisions, read_rules
from features.definition.document import Path
from features.definition.evaluation import read_evaluation
from features.definition.events import (
    read_entities,
    read_fields,
    read_id,
    read_time,
    read_timezone,
    reserved_names,
)
from features.definition.fingerprint import fingerprints
from features.definition.labels import read_label
from features.definition.lengths import MS
from features.definition.model import (
    LABEL_COLUMN,
    Definition,
    Feature,
    FieldFeature,
    Fingerprints,
    Label,
    Output,
    RowKind,
    RowSchema,
    SqlFeature,
    WindowFeature,
)
from features.definition.report import Report
from features.definition.schema import FieldsSpec, SqlSpec, UseCase
from features.definition.schema_event import SequenceTime
from features.definition.scope import Scope
from features.definition.training import read_training
from features.definition.windows import read_window
from features.expression import Expression

GRACE_MS = MS["h"]
IDLE_MS = 30 * MS["d"]
_FEATURE_TYPES = ("float64", "int64", "bool")


@dataclass(slots=True)
class Features:
    """Features in model order, and the conditions that their rows keep."""

    items: list[Feature] = field(default_factory=list)
    conditions: dict[str, Expression] = field(default_factory=dict)


def normalise(raw: UseCase, report: Report, source: Mapping[str, Any]) -> Definition:
    """The definition; raises `DefinitionError` with everything that was found wrong until now."""
    time = raw.event.time
    scope = Scope(
        report=report,
        per=time.per if isinstance(time, SequenceTime) else None,
        timezone=read_timezone(raw.event, report),
        fields=read_fields(raw, report),
    )
    event_time = read_time(raw.event, scope)
    id_fields = read_id(raw.event, scope)
    scope.entities.update(read_entities(raw, scope))
    score_when = None
    if raw.event.score_when is not None:
        path: Path = ("event", "score_when")
        score_when = scope.expression(path, raw.event.score_when, scope.field_types(), "condition")
    label = read_label(raw, scope)
    features = read_features(raw, scope, label)
    windows = [feature for feature in features.items if isinstance(feature, WindowFeature)]
    retention = max((w.span.length + w.delay for w in windows if w.span.kind == "time"), default=0)
    grace = _grace(raw, scope)
    idle = _idle(raw, scope, windows, retention + grace)
    rules, decisions = read_rules(raw, scope), read_decisions(raw, scope)
    output = _output(raw, scope)
    evaluation = read_evaluation(raw, scope, label)
    training = read_training(raw.training, scope)
    report.stop_if_any()
    definition = Definition(
        name=raw.name,
        task=raw.task,
        id_fields=id_fields,
        time=event_time,
        timezone=scope.timezone,
        score_when=score_when,
        fields=tuple(scope.fields.values()),
        entities=tuple(scope.entities.values()),
        label=label,
        grace=grace,
        features=tuple(features.items),
        idle=idle,
        rules=rules,
        decisions=decisions,
        control=raw.control,
        output=output,
        evaluation=evaluation,
        training=training,
        rows=_rows(scope, windows),
        row_conditions=features.conditions,
        retention=retention,
        history_none=raw.history == "none",
        fingerprints=Fingerprints("", "", ""),
        source=source,
    )
    return replace(definition, fingerprints=fingerprints(definition))


def read_features(raw: UseCase, scope: Scope, label: Label | None) -> Features:
    """All features; one that is wrong is reported, and what it may have defined is in doubt from then on."""
    found, report = Features(), scope.report
    taken = reserved_names(raw)
    for i, item in enumerate(raw.features):
        path: Path = ("features", i)
        before = len(report.problems)
        if isinstance(item, FieldsSpec):
            _take_fields(item, path, scope, found)
        elif isinstance(item, SqlSpec):
            _check_name(item.name, (*path, "name"), scope, taken)
            expression = scope.expression((*path, "sql"), item.sql, scope.types(), "number")
            if scope.define_feature((*path, "name"), item.name) and expression is not None:
                found.items.append(SqlFeature(item.name, expression))
        else:
            window = read_window(item.window, (*path, "window"), scope, label)
            for feature in window.features:
                _check_name(feature.name, (*path, "window"), scope, taken)
                if scope.define_feature((*path, "window"), feature.name):
                    found.items.append(feature)
            if window.condition is not None:
                found.conditions[window.condition.text] = window.condition
        if len(report.problems) > before:
            report.doubtful_features.append(report.root.nearest(path).plain())
    return found


def _take_fields(item: FieldsSpec, path: Path, scope: Scope, found: Features) -> None:
    for i, name in enumerate(item.fields):
        at: Path = (*path, "fields", i)
        known = scope.field(at, name)
        if known is None:
            continue
        if known.type not in _FEATURE_TYPES:
            mend = (
                "make it a number with `sql`"
                if known.type == "string"
                else "take a part of it: EXTRACT(hour FROM …)"
            )
            scope.report.add(at, f"a {known.type} cannot be a feature as it is", mend)
        if scope.define_feature(at, name):
            found.items.append(FieldFeature(name))


def _check_name(name: str, path: Path, scope: Scope, taken: Mapping[str, str]) -> None:
    if name in taken:
        scope.report.add(path, f"the name is taken: {taken[name]}", "name the feature otherwise", text=name)
    if name in scope.fields:
        scope.report.add(path, "a field has this name", "name the feature otherwise", text=name)


def _rows(scope: Scope, windows: list[WindowFeature]) -> tuple[RowSchema, ...]:
    """What rows must keep so that every window can be evaluated; one schema per entity and kind in use."""
    rows: list[RowSchema] = []
    for entity in scope.entities:
        for kind in RowKind:
            mine = [window for window in windows if window.entity == entity and window.kind is kind]
            columns = {name for window in mine for name in (window.column, window.where) if name is not None}
            if mine:
                events = kind is RowKind.EVENTS
                rows.append(RowSchema(entity, kind, tuple(sorted(columns)) if events else (LABEL_COLUMN,)))
    return tuple(rows)


def _grace(raw: UseCase, scope: Scope) -> int:
    if raw.grace is None:
        return 0 if scope.per is not None else GRACE_MS
    return scope.length(("grace",), raw.grace)


def _idle(raw: UseCase, scope: Scope, windows: list[WindowFeature], reach: int) -> int | None:
    """How long a silent row lives, in ms of the clock even where the use case has none.

    Windows over clock time bound it themselves; windows in event counts or in steps do not.
    """
    report, path = scope.report, ("idle",)
    clock_reach = 0 if scope.per is not None else reach
    bounded = scope.per is None and all(window.span.kind == "time" for window in windows)
    if raw.idle is None:
        return None if bounded else max(IDLE_MS, clock_reach)
    if raw.idle.kind != "clock" or raw.idle.n == 0:
        report.add(path, "not a duration of the clock", "write a duration such as 30d")
    elif bounded and not report.doubts("features") and not report.doubts("event", "time"):
        mend = "take it out; windows over time know how long rows are needed"
        report.add(path, "no window needs this", mend, text="idle", at_key=True)
    elif raw.idle.n < clock_reach:
        report.add(
            path,
            "rows would be gone before the longest window and the grace period are over",
            "make it longer",
        )
    return raw.idle.n


def _output(raw: UseCase, scope: Scope) -> Output:
    for i, name in enumerate(raw.output.include):
        path: Path = ("output", "include", i)
        scope.field(path, name)
        if name in raw.output.include[:i]:
            scope.report.add(path, "stands here twice", "take one out")
    return Output(tuple(raw.output.include), raw.output.features)
