"""What names and units mean in one use case, while it is being read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from features.definition.document import Path
from features.definition.kinds import EXACT
from features.definition.lengths import Length
from features.definition.model import Entity, Field, FieldType
from features.definition.report import Report, did_you_mean
from features.expression import ColumnType, Expression, ExpressionError, compile_expression

COLUMN_TYPES: Mapping[FieldType, ColumnType] = {
    "string": "string",
    "float64": "number",
    "int64": "number",
    "bool": "bool",
    "timestamp": "timestamp",
}


@dataclass(slots=True)
class Scope:
    """Fields, entities and features by name; what is looked up and is not there is reported."""

    report: Report
    per: str | None
    """The field whose values have a sequence each; None under clock time."""
    timezone: str
    fields: Mapping[str, Field]
    entities: dict[str, Entity] = field(default_factory=dict)
    features: dict[str, Path] = field(default_factory=dict)
    """Where each feature so far was defined."""
    texts: set[str] = field(default_factory=set)
    """Features so far whose value is a text, which is for the model alone."""
    exact: int | None = EXACT
    """How many entries of a row are seen one by one; None where that is in doubt."""

    def field(self, path: Path, name: str) -> Field | None:
        """The field `name`, which stands at `path`."""
        found = self.fields.get(name)
        if found is None and not self._field_in_doubt(name) and not self.report.doubts(*path):
            self.report.add(path, "no such field", did_you_mean(name, self.fields), text=name)
        return found

    def entity(self, path: Path, name: str) -> Entity | None:
        """The entity `name`, which stands at `path`."""
        found = self.entities.get(name)
        if found is None and not self.report.doubts("entities") and not self.report.doubts(*path):
            self.report.add(path, "no such entity", did_you_mean(name, self.entities), text=name)
        return found

    def length(self, path: Path, length: Length) -> int:
        """A length in the time unit; a length of the wrong kind is reported, and gives 0."""
        if length.kind == "events" or length.n == 0 or self.report.doubts("event", "time"):
            return length.n
        if self.per is not None and length.kind == "clock":
            self.report.add(path, "this use case has no clock", "write a whole number: steps of the sequence")
            return 0
        if self.per is None and length.kind == "steps":
            self.report.add(path, "a number without a unit", f"write the unit, such as {length.n}d")
            return 0
        return length.n

    def expression(
        self,
        path: Path,
        text: str,
        types: Mapping[str, ColumnType],
        want: Literal["condition", "number"],
    ) -> Expression | None:
        """The expression at `path` over columns of `types`; None, and reported, where it is wrong."""
        if self.report.doubts(*path):
            return None
        try:
            expression = compile_expression(text, types, self.timezone)
        except ExpressionError as error:
            for problem in error.problems:
                cause, mend = problem.cause, problem.mend
                if problem.text in self.texts:
                    cause = "a text that is looked up is a category for the model, no value here"
                    mend = "look a number up instead"
                elif self._name_in_doubt(problem.text, types):
                    continue
                self.report.add(path, cause, mend, text=problem.text, offset=problem.offset)
            return None
        if want == "condition" and expression.type != "bool":
            self.report.add(
                path, f"this gives a {expression.type}, not true or false", "compare it with something"
            )
            return None
        if want == "number" and expression.type not in ("number", "bool"):
            self.report.add(
                path, f"this gives a {expression.type}, not a number", "a feature is a number or a condition"
            )
            return None
        return expression

    def field_types(self) -> dict[str, ColumnType]:
        """What an expression over fields may read."""
        return {name: COLUMN_TYPES[field.type] for name, field in self.fields.items()}

    def types(self) -> dict[str, ColumnType]:
        """What an expression over fields and the features so far may read."""
        numbers = [name for name in self.features if name not in self.texts]
        return {**dict.fromkeys(numbers, "number"), **self.field_types()}

    def define_feature(self, path: Path, name: str, *, at_key: bool = False) -> bool:
        """Note a feature; False, and reported, where the name is taken."""
        first = self.features.get(name)
        if first is not None:
            place = self.report.root.nearest(first).place
            mend = "take one of them out, or give its window a `name`"
            cause = f"the feature is there already, from {place}"
            self.report.add(path, cause, mend, text=name, at_key=at_key)
            return False
        self.features[name] = path
        return True

    def _name_in_doubt(self, text: str, types: Mapping[str, ColumnType]) -> bool:
        """Whether `text` is a name that may be unknown only because what defines it is wrong."""
        if text in types or not text.isidentifier():
            return False
        features = self.report.doubtful_features
        return self._field_in_doubt(text) or any(self._may_define(item, text) for item in features)

    def _field_in_doubt(self, name: str) -> bool:
        return not self.fields or name in self.report.doubtful_fields

    def _may_define(self, item: object, name: str) -> bool:
        """Whether a feature that is wrong may have been meant to define `name`."""
        if not isinstance(item, dict) or not item:  # an empty one is what is left of one noted before
            return item != {}
        if isinstance(item.get("fields"), list):
            return bool(name in item["fields"])
        if "categories" in item:
            return False
        if isinstance(item.get("name"), str):
            return bool(item["name"] == name)
        body = item.get("window", item.get("lookup"))
        given = body if isinstance(body, dict) else {}
        prefix = given.get("name", given.get("entity"))
        known = isinstance(prefix, str) and (prefix in self.entities or "name" in given)
        prefixes = [prefix] if known else self.entities
        return any(name.startswith(f"{prefix}_") for prefix in prefixes)
