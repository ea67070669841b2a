"""Whether a schema only adds to another, as the contracts promise within a major version.

Both directions count: readers of the old schema must understand new messages, and the old messages
that still stand in a topic must hold under the new schema. So what is there stays as it is, and what is
added is optional.
"""

from collections.abc import Iterator
from typing import Any

_ANNOTATIONS = frozenset({"$comment", "$id", "title", "description", "examples", "deprecated"})
"""Keywords that say nothing of what is valid."""


def breaking_changes(old: Any, new: Any, place: str = "$") -> list[str]:
    """What the change from `old` to `new` breaks, one sentence each; empty where it only adds."""
    return list(_breaking(old, new, place))


def _breaking(old: Any, new: Any, place: str) -> Iterator[str]:
    if not isinstance(old, dict) or not isinstance(new, dict):
        if old != new:
            yield f"{place}: {old!r} became {new!r}"
        return
    for keyword in sorted((old.keys() | new.keys()) - _ANNOTATIONS):
        at = f"{place}.{keyword}"
        if keyword == "properties":
            yield from _breaking_properties(old.get(keyword, {}), new.get(keyword, {}), place)
        elif keyword == "required":
            yield from _breaking_required(old.get(keyword, []), new.get(keyword, []), place)
        elif keyword not in new:
            yield f"{at}: {old[keyword]!r} was removed"
        elif keyword not in old:
            yield f"{at}: {new[keyword]!r} was added"
        elif keyword in ("items", "additionalProperties"):
            yield from _breaking(old[keyword], new[keyword], at)
        elif _comparable(old[keyword]) != _comparable(new[keyword]):
            yield f"{at}: {old[keyword]!r} became {new[keyword]!r}"


def _breaking_properties(old: dict[str, Any], new: dict[str, Any], place: str) -> Iterator[str]:
    for name, schema in old.items():
        if name in new:
            yield from _breaking(schema, new[name], f"{place}.{name}")
        else:
            yield f"{place}.{name}: the field was removed"


def _breaking_required(old: list[str], new: list[str], place: str) -> Iterator[str]:
    for name in sorted(set(old) - set(new)):
        yield f"{place}.{name}: the field is no longer always there"
    for name in sorted(set(new) - set(old)):
        yield f"{place}.{name}: messages already written lack the field, so it cannot become required"


def _comparable(value: Any) -> Any:
    """Lists of types and of allowed values have no order; repr tells 1 from true, which Python does not."""
    return sorted(map(repr, value)) if isinstance(value, list) else repr(value)
