"""What the model learns: labels by record, or made of later events."""

from typing import Literal

from features.definition.document import Path
from features.definition.lengths import Length
from features.definition.model import DerivedLabel, Label, RecordLabel, Task
from features.definition.schema import UseCase
from features.definition.schema_event import DerivedLabelSpec, RecordLabelSpec
from features.definition.scope import Scope

END_OF_ENTITY = "end_of_entity"
_PATH: Path = ("label",)


def read_label(raw: UseCase, scope: Scope) -> Label | None:
    """The label, if the use case has one; what is wrong about it is reported."""
    if raw.label is None:
        if raw.task == "multiclass" and not scope.report.doubts("label") and not scope.report.doubts("task"):
            mend = "add `label: {field: …, classes: […]}`"
            scope.report.add(("task",), "a multiclass task needs to know its classes", mend)
        return None
    task = None if scope.report.doubts("task") else raw.task
    if isinstance(raw.label, RecordLabelSpec):
        return _by_record(raw.label, task, scope)
    return _derived(raw.label, task, scope)


def _by_record(raw: RecordLabelSpec, task: Task | None, scope: Scope) -> RecordLabel:
    report = scope.report
    if raw.field in scope.fields:
        cause = "a field of the event cannot be its label: the model would see what it is to predict"
        report.add((*_PATH, "field"), cause, "take it out of event.fields, or name the label otherwise")
    if task == "multiclass" and len(raw.classes) < 2 and not report.doubts("label"):
        report.add(
            _PATH,
            "a multiclass task needs its classes",
            "add `classes: [a, b, …]`",
            text="label",
            at_key=True,
        )
    if task in ("binary", "regression") and raw.classes:
        report.add(
            (*_PATH, "classes"), f"a {task} task has no classes", "take it out", text="classes", at_key=True
        )
    for i, name in enumerate(raw.classes):
        if name in raw.classes[:i]:
            report.add((*_PATH, "classes", i), "stands here twice", "take one out")
    return RecordLabel(
        field=raw.field,
        delay=scope.length((*_PATH, "delay"), raw.delay),
        absent=_absent(raw, task, scope),
        classes=tuple(raw.classes),
    )


def _absent(raw: RecordLabelSpec, task: Task | None, scope: Scope) -> float | None:
    """What no label means, as a label: a class by its place."""
    absent = raw.absent
    if absent is None or task is None:
        return None
    if task == "multiclass":
        if absent in raw.classes:
            return float(raw.classes.index(str(absent)))
        scope.report.add((*_PATH, "absent"), "not one of the classes", "write one of `classes`")
    elif isinstance(absent, str) or (task == "binary" and absent not in (0, 1)):
        mend = "write 0 or 1" if task == "binary" else "write a number"
        scope.report.add((*_PATH, "absent"), f"not a label of a {task} task", mend)
    else:
        return float(absent)
    return None


def _derived(raw: DerivedLabelSpec, task: Task | None, scope: Scope) -> DerivedLabel:
    report = scope.report
    condition = None
    if raw.time_to != END_OF_ENTITY:
        condition = scope.expression((*_PATH, "time_to"), raw.time_to, scope.field_types(), "condition")
    if task == "multiclass":
        cause = "a distance is no class"
        report.add(
            (*_PATH, "time_to"),
            cause,
            "use task binary with `within`, or regression",
            text="time_to",
            at_key=True,
        )
    if task == "binary" and raw.within is None and not report.doubts("label"):
        mend = "add `within: 30 events`"
        report.add(
            _PATH, "a binary label needs to know how near is positive", mend, text="label", at_key=True
        )
    for key, fits in (("within", "binary"), ("cap", "regression")):
        if getattr(raw, key) is not None and task not in (fits, None):
            report.add((*_PATH, key), f"only a {fits} label has this", "take it out", text=key, at_key=True)
    unit = raw.unit or _unit_of(raw.within) or _unit_of(raw.cap) or "events"
    cap = _count(raw.cap, "cap", unit, scope)
    return DerivedLabel(
        condition=condition,
        unit=unit,
        within=_count(raw.within, "within", unit, scope),
        cap=None if cap is None else float(cap),
    )


def _unit_of(length: Length | None) -> Literal["events", "time"] | None:
    """What a length counts, where that is plain from how it is written."""
    if length is None or length.kind == "steps":
        return None
    return "events" if length.kind == "events" else "time"


def _count(length: Length | None, key: str, unit: str, scope: Scope) -> int | None:
    """A distance in `unit`; one that is written in another is reported."""
    if length is None:
        return None
    path: Path = (*_PATH, key)
    if unit == "time" and length.kind != "events":
        return scope.length(path, length)
    if unit == "events" and (length.kind == "events" or (key == "cap" and length.kind == "steps")):
        return length.n
    good = ("30 events" if key == "within" else "125") if unit == "events" else "7d"
    scope.report.add(
        path, f"the label counts {unit}, this does not", f"write it such as {good}, or change `unit`"
    )
    return None
