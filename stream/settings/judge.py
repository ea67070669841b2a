"""From what was given to settings: each value by itself, told in our words when it does not fit.

A value that does not fit is taken out, so that the rest can be judged too.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from stream.errors import SettingProblem
from stream.settings.keys import PROPERTIES, SETTINGS, is_secret, path_of
from stream.settings.layers import Given
from stream.settings.sections import Settings

_EXCERPT_MAX = 60
_CAUSES = {
    "int_type": ("is not a whole number", "write a whole number"),
    "int_parsing": ("is not a whole number", "write a whole number"),
    "int_from_float": ("is not a whole number", "write a whole number"),
    "int_parsing_size": ("is too large a number", "write a smaller one"),
    "float_type": ("is not a number", "write a number"),
    "float_parsing": ("is not a number", "write a number"),
    "finite_number": ("is not a finite number", "write a finite number"),
    "string_type": ("is not a text", "put quotes around it"),
    "path_type": ("is not a path", "write a path, in quotes where YAML would read something else"),
    "string_too_short": ("is empty", "write something, or leave the setting out"),
}
_BOUNDS = {
    "greater_than_equal": ("ge", "is below", "at least"),
    "less_than_equal": ("le", "is above", "at most"),
}


def judge(values: Mapping[str, Given]) -> tuple[Settings, list[SettingProblem]]:
    """The settings, and what is wrong with single values; those that are wrong have their defaults."""
    kept = dict(values)
    problems: list[SettingProblem] = []
    while True:
        try:
            return Settings.model_validate(_tree(kept)), problems
        except ValidationError as error:
            details = error.errors(include_url=False)
        wrong = {_key(detail): detail for detail in reversed(details)}  # the first of each key
        for key in sorted(wrong, key=list(kept).index):
            problems.append(_problem(key, kept[key], wrong[key]))
            del kept[key]


def _tree(values: Mapping[str, Given]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, given in values.items():
        *sections, last = path_of(key)
        inner = tree
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[last] = given.content
    return tree


def _key(detail: ErrorDetails) -> str:
    """The key that an error of pydantic's is about; deeper locations are inside its value."""
    steps = [str(step) for step in detail["loc"]]
    inside = len(PROPERTIES.split("."))
    if ".".join(steps[:inside]) == PROPERTIES:
        return ".".join(steps[: inside + 1])
    return next(key for n in range(1, len(steps) + 1) if (key := ".".join(steps[:n])) in SETTINGS)


def _problem(key: str, given: Given, detail: ErrorDetails) -> SettingProblem:
    kind, context = detail["type"], detail.get("ctx", {})
    text = _shown(key, given.content)
    if kind == "setting":
        return SettingProblem(key, given.origin, str(context["cause"]), str(context["mend"]))
    if given.content is None:
        return SettingProblem(key, given.origin, "has no value", "give it one, or leave it out")
    if kind in _BOUNDS:
        name, cause, mend = _BOUNDS[kind]
        bound = context[name]
        return SettingProblem(key, given.origin, f"{text} {cause} {bound}", f"give {mend} {bound}")
    if kind == "literal_error":
        expected = str(context["expected"]).replace("'", "`")
        return SettingProblem(key, given.origin, f"{text} is not one of its values", f"give {expected}")
    cause, mend = _CAUSES.get(kind, (f"does not fit: {kind}", "see docs/settings.md"))
    return SettingProblem(key, given.origin, f"{text} {cause}", mend)


def _shown(key: str, content: Any) -> str:
    """The value in a message; never a secret's."""
    if is_secret(key):
        return "its value"
    if isinstance(content, dict):
        return "a mapping"
    if isinstance(content, list):
        return "a list"
    text = repr(content) if isinstance(content, str) else str(content)
    return text if len(text) <= _EXCERPT_MAX else text[: _EXCERPT_MAX - 1] + "…"
