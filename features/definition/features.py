"""Features in model order: fields, categories, expressions, windows and lookups."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from features.definition.document import Path
from features.definition.events import reserved_names
from features.definition.kinds import (
    MIN_COUNT,
    CategoryFeature,
    Feature,
    FieldFeature,
    LookupFeature,
    SqlFeature,
    WindowFeature,
)
from features.definition.model import Label
from features.definition.schema import CategoriesSpec, FieldsSpec, LookupSpec, SqlSpec, UseCase, WindowItem
from features.definition.scope import Scope
from features.definition.windows import read_window
from features.expression import Expression

_NUMBERS = ("float64", "int64", "bool")
WRITTEN_AT = "written_at"
_PART_OF_TIME = "take a part of it: EXTRACT(hour FROM …)"


@dataclass(slots=True)
class Features:
    """Features in model order, and the conditions that their rows keep."""

    items: list[Feature] = field(default_factory=list)
    conditions: dict[str, Expression] = field(default_factory=dict)

    @property
    def windows(self) -> list[WindowFeature]:
        return [feature for feature in self.items if isinstance(feature, WindowFeature)]


def read_features(raw: UseCase, scope: Scope, label: Label | None) -> Features:
    """All features; one that is wrong is reported, and what it may have defined is in doubt from then on."""
    found, report = Features(), scope.report
    taken = reserved_names(raw)
    for i, item in enumerate(raw.features):
        path: Path = ("features", i)
        before = len(report.problems)
        if isinstance(item, FieldsSpec):
            _take_fields(item, path, scope, found)
        elif isinstance(item, CategoriesSpec):
            _take_categories(item, path, scope, found)
        elif isinstance(item, SqlSpec):
            _check_name(item.name, (*path, "name"), scope, taken)
            expression = scope.expression((*path, "sql"), item.sql, scope.types(), "number")
            if scope.define_feature((*path, "name"), item.name) and expression is not None:
                found.items.append(SqlFeature(item.name, expression))
        elif isinstance(item, WindowItem):
            window = read_window(item.window, (*path, "window"), scope, label)
            for feature in window.features:
                _check_name(feature.name, (*path, "window"), scope, taken)
                if scope.define_feature((*path, "window"), feature.name):
                    found.items.append(feature)
            if window.condition is not None:
                found.conditions[window.condition.text] = window.condition
        else:
            _take_lookups(item.lookup, (*path, "lookup"), scope, found, taken)
        if len(report.problems) > before:
            report.doubtful_features.append(report.root.nearest(path).plain())
    return found


def _take_fields(item: FieldsSpec, path: Path, scope: Scope, found: Features) -> None:
    for i, name in enumerate(item.fields):
        at: Path = (*path, "fields", i)
        known = scope.field(at, name)
        if known is None:
            continue
        if known.type not in _NUMBERS:
            text = "take it as a category with `categories`, or make it a number with `sql`"
            mend = text if known.type == "string" else _PART_OF_TIME
            scope.report.add(at, f"a {known.type} cannot be a feature as it is", mend)
        if scope.define_feature(at, name):
            found.items.append(FieldFeature(name))


def _take_categories(item: CategoriesSpec, path: Path, scope: Scope, found: Features) -> None:
    for i, name in enumerate(item.categories):
        at: Path = (*path, "categories", i)
        known = scope.field(at, name)
        if known is None:
            continue
        if known.type != "string":
            mend = _PART_OF_TIME if known.type == "timestamp" else "take it as it is with `fields`"
            scope.report.add(at, f"only a string can be a category, not {known.type}", mend)
        elif known.personal:
            cause = "a personal field cannot be a category: its values would stand in every bundle"
            scope.report.add(at, cause, "take it out, or take what is not personal about it with `sql`")
        if scope.define_feature(at, name):
            found.items.append(CategoryFeature(name, item.min_count))


def _take_lookups(
    item: LookupSpec, path: Path, scope: Scope, found: Features, taken: Mapping[str, str]
) -> None:
    report = scope.report
    scope.entity((*path, "entity"), item.entity)
    max_age = item.max_age
    if max_age is not None and (max_age.kind != "clock" or max_age.n == 0):
        report.add((*path, "max_age"), "not a duration of the clock", "write a duration such as 30d")
    typed = isinstance(item.fields, dict)
    types = item.fields if isinstance(item.fields, dict) else dict.fromkeys(item.fields, "float64")
    if item.min_count is not None and "string" not in types.values() and not report.doubts(*path, "fields"):
        mend = "take it out, or say which field is a text: `fields: {segment: string}`"
        report.add((*path, "min_count"), "no text is looked up here", mend, text="min_count", at_key=True)
    for i, name in enumerate(item.fields):
        at: Path = (*path, "fields", name if typed else i)
        if name == WRITTEN_AT:
            report.add(at, "the name is taken: it says when values were written", "name the field otherwise")
        feature = LookupFeature(
            name=f"{item.entity}_{name}",
            entity=item.entity,
            field=name,
            is_category=types[name] == "string",
            min_count=MIN_COUNT if item.min_count is None else item.min_count,
            max_age=None if max_age is None else max_age.n,
        )
        _check_name(feature.name, at, scope, taken, at_key=typed)
        if scope.define_feature(at, feature.name, at_key=typed):
            found.items.append(feature)
            if feature.is_category:
                scope.texts.add(feature.name)


def _check_name(
    name: str, path: Path, scope: Scope, taken: Mapping[str, str], *, at_key: bool = False
) -> None:
    mend = "name the feature otherwise"
    if name in taken:
        scope.report.add(path, f"the name is taken: {taken[name]}", mend, text=name, at_key=at_key)
    if name in scope.fields:
        scope.report.add(path, "a field has this name", mend, text=name, at_key=at_key)
