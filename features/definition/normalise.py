"""From the grammar to the definition: names resolved, defaults filled in, rows derived."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from features.definition.cases import read_decisions, read_rules
from features.definition.document import Path
from features.definition.evaluation import read_evaluation
from features.definition.events import read_entities, read_fields, read_id, read_time, read_timezone
from features.definition.features import read_features
from features.definition.fingerprint import fingerprints
from features.definition.kinds import EXACT
from features.definition.labels import read_label
from features.definition.lengths import MS
from features.definition.model import Definition, Fingerprints, Output
from features.definition.report import Report
from features.definition.rows import reach_of, read_idle, read_rows
from features.definition.schema import UseCase
from features.definition.schema_event import SequenceTime
from features.definition.scope import Scope
from features.definition.training import read_training

GRACE_MS = MS["h"]


def normalise(raw: UseCase, report: Report, source: Mapping[str, Any]) -> Definition:
    """The definition; raises `DefinitionError` with everything that was found wrong until now."""
    time = raw.event.time
    scope = Scope(
        report=report,
        per=time.per if isinstance(time, SequenceTime) else None,
        timezone=read_timezone(raw.event, report),
        fields=read_fields(raw, report),
        exact=EXACT if raw.rows is None else None if report.doubts("rows") else raw.rows.exact,
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
    rows = read_rows(raw, scope, features.windows, label)
    retention = reach_of(features.windows)
    grace = _grace(raw, scope)
    idle = read_idle(raw, scope, features.windows, retention + grace)
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
        rows=rows,
        row_conditions=features.conditions,
        retention=retention,
        history_none=raw.history == "none",
        fingerprints=Fingerprints("", "", ""),
        source=source,
    )
    return replace(definition, fingerprints=fingerprints(definition))


def _grace(raw: UseCase, scope: Scope) -> int:
    if raw.grace is None:
        return 0 if scope.per is not None else GRACE_MS
    return scope.length(("grace",), raw.grace)


def _output(raw: UseCase, scope: Scope) -> Output:
    for i, name in enumerate(raw.output.include):
        path: Path = ("output", "include", i)
        scope.field(path, name)
        if name in raw.output.include[:i]:
            scope.report.add(path, "stands here twice", "take one out")
    return Output(tuple(raw.output.include), raw.output.features)
