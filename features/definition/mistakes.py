"""From the tree to the grammar: what does not fit is reported and taken out, so that the rest can be read.

That way a misspelt key in one place does not hide an unknown field in another.
"""

import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from features.definition.document import Node, Path
from features.definition.problems import Place
from features.definition.report import Report, did_you_mean
from features.definition.scalars import NAME_PATTERN, USE_CASE_PATTERN, WORD_PATTERN
from features.definition.schema import UseCase
from features.definition.schema_event import Part

_KINDS = {
    "string_type": ("a text", "write a text; put quotes around what YAML would read otherwise"),
    "int_type": ("a whole number", "write a whole number"),
    "float_type": ("a number", "write a number"),
    "bool_type": ("true or false", "write true or false"),
    "list_type": ("a list", "write a list: [a, b]"),
    "dict_type": ("a mapping", "write a mapping: {key: value}"),
    "model_type": ("a mapping", "write a mapping: {key: value}"),
}
_SPELLINGS = {
    USE_CASE_PATTERN: "begin with a small letter; small letters, digits and _ only",
    NAME_PATTERN: "letters, digits and _ only, no digit first",
    WORD_PATTERN: "letters, digits and _ only",
}
_PLACEHOLDERS: dict[str, Any] = {
    "name": "unnamed",
    "task": "binary",
    "event": {},
    "id": ["_"],
    "time": {"field": "_", "unit": "ms"},
    "fields": {},
    "entities": {},
    "features": [{"fields": ["_"]}],
    "rules": [{"otherwise": 0}],
    "decisions": [{"otherwise": "_"}],
}
"""What stands in for a section that is missing or wrong; everything about it is in doubt, so unreported."""

_SECTIONS = tuple((key,) for key in ("name", "task", "event", "entities", "features", "rules", "decisions"))
_REQUIRED: tuple[Path, ...] = (*_SECTIONS, *(("event", key) for key in ("id", "time", "fields")))
_ROUNDS_MAX = 100
_DETAILS_MAX = 200
"""With more mistakes than this, those of form are told alone: recovering from each copies the tree."""


def read_grammar(report: Report) -> UseCase:
    """The part of `report.root` that fits the grammar; `report.root` becomes that part, marked as hurt.

    Raises `DefinitionError` where nothing can be read.
    """
    if not isinstance(report.root.content, dict):
        report.add((), "a use case is a mapping", "start it with `name: …`")
        report.stop_if_any()
    for attempt in range(_ROUNDS_MAX):
        try:
            return UseCase.model_validate(report.root.plain())
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
        if attempt == 0:
            for detail in details:
                _tell(report, detail)
        if len(details) > _DETAILS_MAX:
            break
        _take_out(
            report, {tuple(_steps(report.root, detail)) for detail in details if not _has_placeholder(detail)}
        )
    report.stop_if_any()
    raise AssertionError("the grammar refused a tree from which all mistakes were taken")


def _steps(root: Node, detail: ErrorDetails) -> Iterator[str | int]:
    """The error's location in the tree: without tags, and no deeper than the tree."""
    node: Node | None = root
    for step in detail["loc"]:
        if node is None or node.child(step) is None:
            continue
        node = node.child(step)
        yield step


def _has_placeholder(detail: ErrorDetails) -> bool:
    """Whether the error is that a required part is missing, for which a placeholder stands in."""
    return detail["type"] == "missing" and detail["loc"] in _REQUIRED


def _take_out(report: Report, paths: set[Path]) -> None:
    """Take out the nodes at `paths`, and put placeholders where a required part has gone."""
    outermost = [path for path in paths if not any(path[:n] in paths for n in range(len(path)))]
    for path in sorted(outermost, reverse=True, key=lambda path: [f"{step:>9}" for step in path]):
        _remember(report, path)
        if path:
            report.root = report.root.without(path)
    for path in _REQUIRED:
        if not report.root.has(path):
            report.root = _with_placeholder(report.root, path)
            if path == ("features",):
                report.doubtful_features.append(None)


def _remember(report: Report, path: Path) -> None:
    """Note which names may now be missing for no fault of those who use them."""
    if path[:2] == ("event", "fields") and len(path) > 2:
        report.doubtful_fields.add(str(path[2]))
    if path[:1] == ("features",) and len(path) > 1:
        report.doubtful_features.append(report.root.nearest(path[:2]).plain())


def _with_placeholder(node: Node, path: Path) -> Node:
    content = dict(node.content) if isinstance(node.content, dict) else {}
    if len(path) > 1:
        content[str(path[0])] = _with_placeholder(content[str(path[0])], path[1:])
    else:
        content[str(path[0])] = _hurt(_PLACEHOLDERS[str(path[0])], node.place)
    return Node(content, node.place, node.key, hurt=node.hurt)


def _hurt(data: Any, place: Place) -> Node:
    if isinstance(data, dict):
        return Node({name: _hurt(value, place) for name, value in data.items()}, place, hurt=True)
    if isinstance(data, list):
        return Node([_hurt(value, place) for value in data], place, hurt=True)
    return Node(data, place, hurt=True)


def _tell(report: Report, detail: ErrorDetails) -> None:
    """One error of pydantic's in our words."""
    kind, context = detail["type"], detail.get("ctx", {})
    path = tuple(_steps(report.root, detail))
    name = str(detail["loc"][-1]) if detail["loc"] else ""
    found = report.root.nearest(path)
    if kind == "extra_forbidden":
        known = [key for part in _parts_at(detail["loc"][:-1]) for key in part.model_fields]
        report.add(path, "no such key here", did_you_mean(name, known), text=name, at_key=True)
    elif kind == "missing":
        text = str(path[-1]) if path and isinstance(path[-1], str) else found.text()
        report.add(path, f"`{name}` is missing", f"add `{name}: {_example(detail)}`", text=text, at_key=True)
    elif kind == "grammar":
        report.add(path, str(context["cause"]), str(context["mend"]))
    elif kind == "literal_error":
        allowed = re.findall(r"'([^']*)'|(\d+)", str(context["expected"]))
        choices = [word or number for word, number in allowed]
        report.add(path, "not one of the values this can have", did_you_mean(str(found.content), choices))
    elif kind in ("too_short", "string_too_short"):
        report.add(path, "is empty", "write something here, or take the key out")
    elif kind in _KINDS:
        expected, mend = _KINDS[kind]
        report.add(path, f"{_what(found)} stands where {expected} is expected", mend)
    elif kind == "string_pattern_mismatch":
        is_key = name == "[key]"
        report.add(
            path,
            "not a name",
            _SPELLINGS[str(context["pattern"])],
            text=str(path[-1]) if is_key else "",
            at_key=is_key,
        )
    else:
        report.add(path, detail["msg"][:1].lower() + detail["msg"][1:], "mend the value")


def _parts_at(location: tuple[str | int, ...]) -> list[type[Part]]:
    """The models that may stand at an error's location."""
    parts: list[type[Part]] = [UseCase]
    for step in location:
        if isinstance(step, str) and step.startswith("="):
            parts = [part for part in parts if part.__name__ == step[1:]]
            continue
        inner = [part.model_fields[step] for part in parts if step in part.model_fields]
        if inner:
            parts = [part for field in inner for part in _parts_in(field.annotation)]
    return parts


def _parts_in(annotation: Any) -> list[type[Part]]:
    """The models inside an annotation, however wrapped."""
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return [annotation]
    return [part for inside in get_args(annotation) for part in _parts_in(inside)]


def _example(detail: ErrorDetails) -> str:
    name = str(detail["loc"][-1])
    for part in _parts_at(detail["loc"][:-1]):
        field = part.model_fields.get(name)
        if field is not None and field.examples:
            return str(field.examples[0])
    return "…"


def _what(node: Node) -> str:
    kinds = {dict: "a mapping", list: "a list", bool: "true or false", str: "a text", type(None): "nothing"}
    return kinds.get(type(node.content), "a number")
