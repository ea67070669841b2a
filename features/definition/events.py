"""The event's part of a use case: fields, time, id and entities."""

from collections.abc import Mapping, Sequence
from zoneinfo import ZoneInfo, available_timezones

from features.definition.document import Path
from features.definition.model import LABEL_COLUMN, Entity, EventTime, Field, Missing
from features.definition.report import Report, did_you_mean
from features.definition.schema import UseCase
from features.definition.schema_event import ClockTime, DefaultSpec, EventSpec, FieldSpec
from features.definition.scope import Scope

KEY_TYPES = ("string", "int64", "bool")
_FIELDS: Path = ("event", "fields")


def read_fields(raw: UseCase, report: Report) -> dict[str, Field]:
    """The fields by name; without id, time or topic key there is no event, so these are never stamped."""
    time = raw.event.time
    needed = {*raw.event.id, *next(iter(raw.entities.values()), [])}
    needed |= {time.field} if isinstance(time, ClockTime) else {time.sequence, time.per}
    taken = reserved_names(raw)
    fields: dict[str, Field] = {}
    for name, spec in raw.event.fields.items():
        if name in taken:
            report.add(
                (*_FIELDS, name),
                f"the name is taken: {taken[name]}",
                "name the field otherwise",
                text=name,
                at_key=True,
            )
        full = spec if isinstance(spec, FieldSpec) else FieldSpec(type=spec)
        fields[name] = _field(name, full, name in needed, report)
    return fields


def reserved_names(raw: UseCase) -> dict[str, str]:
    """Names that neither fields nor features may have, and what they mean."""
    names = {LABEL_COLUMN: "it is the label in aggregates"}
    if raw.task == "multiclass":
        classes: Sequence[str] = getattr(raw.label, "classes", ())
        said = {f"probability_{name}": "a probability in decisions" for name in classes}
        return {**names, **said, "predicted_class": "the class in decisions"}
    names["score"] = "the score in decisions"
    return {**names, "value": "the value in decisions"} if raw.task == "regression" else names


def _field(name: str, spec: FieldSpec, needed: bool, report: Report) -> Field:
    path: Path = (*_FIELDS, name)
    if needed and spec.missing not in (None, "reject"):
        cause = "an event without its id, time or topic key is no event"
        report.add((*path, "missing"), cause, "write reject, or take the key out")
    numeric = spec.type in ("float64", "int64")
    for key in ("min", "max"):
        if getattr(spec, key) is not None and not numeric:
            report.add((*path, key), f"a {spec.type} has no range", "take it out", text=key, at_key=True)
    if spec.min is not None and spec.max is not None and spec.min > spec.max:
        report.add((*path, "min"), "min is larger than max", "mend one of the two")
    default = _default(spec, path, report) if isinstance(spec.missing, DefaultSpec) else None
    if spec.out_of_range is not None and spec.min is None and spec.max is None and not report.doubts(*path):
        report.add((*path, "out_of_range"), "there is no range", "add min or max, or take it out")
    return Field(
        name=name,
        type=spec.type,
        personal=spec.personal,
        minimum=spec.min,
        maximum=spec.max,
        missing=_missing(spec, needed),
        default=default,
        out_of_range=spec.out_of_range or "stamp",
    )


def _missing(spec: FieldSpec, needed: bool) -> Missing:
    if needed:
        return "reject"
    return "default" if isinstance(spec.missing, DefaultSpec) else spec.missing or "stamp"


def _default(spec: FieldSpec, path: Path, report: Report) -> float | str | None:
    """What stands in for a missing value, as a column holds it; reported where it is none of the field's."""
    assert isinstance(spec.missing, DefaultSpec)
    value, path = spec.missing.default, (*path, "missing", "default")
    if spec.type == "timestamp":
        report.add(path, "a timestamp has no default", "write reject, stamp or allow")
        return None
    fits = {
        "string": isinstance(value, str),
        "bool": isinstance(value, bool),
        "int64": isinstance(value, int) and not isinstance(value, bool),
        "float64": isinstance(value, int | float) and not isinstance(value, bool),
    }
    if not fits[spec.type]:
        report.add(path, f"not a value of a {spec.type}", "mend the value, or the type")
        return None
    if isinstance(value, str):
        return value
    low = spec.min is not None and value < spec.min
    if spec.type != "bool" and (low or (spec.max is not None and value > spec.max)):
        report.add(path, "is out of the field's own range", "mend the value, or the range")
    return float(value)


def read_timezone(event: EventSpec, report: Report) -> str:
    """The event's time zone; UTC where it is unknown and reported."""
    name = event.timezone
    if name == "UTC":
        return name
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        known = sorted(available_timezones())
        report.add(
            ("event", "timezone"), "no such time zone", did_you_mean(name, known) if known else "write UTC"
        )
        return "UTC"
    return name


def read_time(event: EventSpec, scope: Scope) -> EventTime:
    """Where the event's time stands."""
    time, path = event.time, ("event", "time")
    if isinstance(time, ClockTime):
        field = scope.field((*path, "field"), time.field)
        if field is not None and field.type != "timestamp":
            mend = f"declare `{time.field}: timestamp`"
            scope.report.add(
                (*path, "field"), f"the event's time must be a timestamp, not {field.type}", mend
            )
        return EventTime(time.field, time.unit, None)
    field = scope.field((*path, "sequence"), time.sequence)
    if field is not None and field.type != "int64":
        mend = f"declare `{time.sequence}: int64`"
        scope.report.add((*path, "sequence"), f"a sequence must be an int64, not {field.type}", mend)
    _check_keys(scope, {(*path, "per"): time.per})
    return EventTime(time.sequence, None, time.per)


def read_id(event: EventSpec, scope: Scope) -> tuple[str, ...]:
    """The fields of the event's id."""
    path: Path = ("event", "id")
    _check_keys(scope, {_item(scope.report, path, i): name for i, name in enumerate(event.id)})
    _check_repeats(scope.report, path, event.id)
    return tuple(event.id)


def read_entities(raw: UseCase, scope: Scope) -> dict[str, Entity]:
    """The entities by name; the first is the key of the events topic."""
    entities: dict[str, Entity] = {}
    for name, fields in raw.entities.items():
        path: Path = ("entities", name)
        _check_keys(scope, {_item(scope.report, path, i): field for i, field in enumerate(fields)})
        _check_defaults(scope, {_item(scope.report, path, i): field for i, field in enumerate(fields)})
        _check_repeats(scope.report, path, fields)
        entities[name] = Entity(name, tuple(fields), is_topic_key=not entities)
    return entities


def _item(report: Report, path: Path, i: int) -> Path:
    """The path of item i of what may also stand there alone."""
    return (*path, i) if report.root.has((*path, i)) else path


def _check_keys(scope: Scope, names: Mapping[Path, str]) -> None:
    """Report names that are no fields, or whose values do not name anything."""
    for path, name in names.items():
        field = scope.field(path, name)
        if field is not None and field.type not in KEY_TYPES:
            kinds = ", ".join(KEY_TYPES)
            scope.report.add(
                path, f"a {field.type} cannot be part of a key", f"a key is made of {kinds}", text=name
            )


def _check_defaults(scope: Scope, names: Mapping[Path, str]) -> None:
    """Report parts of keys that have a default: it would make one entity of all events that lack it."""
    for path, name in names.items():
        field = scope.fields.get(name)
        if field is not None and field.missing == "default":
            cause = "this field has a default, which would be one entity of all events that lack it"
            scope.report.add(path, cause, f"write `missing: allow` for `{name}`", text=name)


def _check_repeats(report: Report, path: Path, names: Sequence[str]) -> None:
    for i, name in enumerate(names):
        if name in names[:i]:
            report.add(_item(report, path, i), "stands here twice", "take one out", text=name)
