"""The scalars of the use case file: what a value may look like, and how to say that it does not."""

from typing import Annotated, Any, TypeAlias, get_args

from pydantic import BeforeValidator, Field, PlainValidator, StringConstraints
from pydantic import WithJsonSchema as Shown
from pydantic_core import PydanticCustomError

from features.definition.lengths import (
    CLOCK_PATTERN,
    EVENTS_MAX,
    EVENTS_PATTERN,
    STEPS_MAX,
    Length,
    parse_length,
)
from features.definition.model import AggregateFunction

USE_CASE_PATTERN = r"^[a-z][a-z0-9_]*$"
NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
WORD_PATTERN = r"^[A-Za-z0-9_]+$"


def _wrong(cause: str, mend: str) -> PydanticCustomError:
    return PydanticCustomError("grammar", "{cause}", {"cause": cause, "mend": mend})


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _span(value: object) -> Length:
    length = parse_length(value)
    if length is None or length.n == 0:
        raise _wrong(
            "not the span of a window", "write a duration such as 7d, or a number of events such as 30 events"
        )
    if length.kind == "events" and length.n > EVENTS_MAX:
        raise _wrong(f"a window holds at most {EVENTS_MAX} events", "take fewer, or a span of time")
    return length


def _lapse(value: object) -> Length:
    length = parse_length(value)
    if length is None or length.kind == "events":
        raise _wrong(
            "not a length of time", "write a duration: a whole number and ms, s, m, h or d, such as 7d"
        )
    return length


def _distance(value: object) -> Length:
    length = parse_length(value)
    if length is None or length.n == 0:
        raise _wrong("not a distance", "write a duration such as 7d, or a number of events such as 30 events")
    return length


def _cap(value: object) -> Length:
    length = parse_length(value)
    if length is None or length.n == 0 or length.kind == "events":
        raise _wrong("not a cap", "write a whole number above 0, or a duration such as 125d")
    return length


def _share(value: object) -> float:
    number: object = value
    if isinstance(value, str) and value.endswith("%"):
        try:
            number = float(value[:-1]) / 100
        except ValueError:
            number = None
    if isinstance(number, int | float) and not isinstance(number, bool) and 0 <= number <= 1:
        return float(number)
    raise _wrong("not a share", "write a percentage such as 0.5%, or a number from 0 to 1")


def _served(value: object) -> float:
    named = {"all": 1.0, "none": 0.0}
    return named[value] if isinstance(value, str) and value in named else _share(value)


def _absent(value: object) -> float | str:
    if isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise _wrong("not a label", "write a number, or one of the classes")


def _default(value: object) -> float | bool | str:
    if isinstance(value, str | int | float):
        return value
    raise _wrong("not a value of a field", "write a number, true, false or a text")


def _length_schema(*patterns: str) -> Shown:
    text = {"type": "string", "pattern": "^(" + "|".join(f"({p})" for p in patterns) + ")$"}
    return Shown({"anyOf": [text, {"type": "integer", "minimum": 0, "maximum": STEPS_MAX}]})


def _one_or_more(item: dict[str, Any]) -> Shown:
    return Shown({"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]})


Span: TypeAlias = Annotated[Length, PlainValidator(_span), _length_schema(CLOCK_PATTERN, EVENTS_PATTERN)]
Lapse: TypeAlias = Annotated[Length, PlainValidator(_lapse), _length_schema(CLOCK_PATTERN)]
Distance: TypeAlias = Annotated[
    Length, PlainValidator(_distance), _length_schema(CLOCK_PATTERN, EVENTS_PATTERN)
]
Cap: TypeAlias = Annotated[Length, PlainValidator(_cap), _length_schema(CLOCK_PATTERN)]
_SHARE = {
    "anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "string", "pattern": r"^[0-9.]+%$"}]
}
Share: TypeAlias = Annotated[float, PlainValidator(_share), Shown(_SHARE)]
Served: TypeAlias = Annotated[
    float, PlainValidator(_served), Shown({"anyOf": [{"enum": ["all", "none"]}, *_SHARE["anyOf"]]})
]

Absent: TypeAlias = Annotated[float | str, PlainValidator(_absent), Shown({"type": ["number", "string"]})]

Default: TypeAlias = Annotated[
    float | bool | str, PlainValidator(_default), Shown({"type": ["number", "boolean", "string"]})
]
Number: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]
UseCaseName: TypeAlias = Annotated[str, StringConstraints(pattern=USE_CASE_PATTERN, max_length=40)]
Name: TypeAlias = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=60)]
Word: TypeAlias = Annotated[str, StringConstraints(pattern=WORD_PATTERN, max_length=60)]
Sql: TypeAlias = Annotated[str, Field(description="A scalar SQL expression.", min_length=1)]
_FUNCTION = "|".join(get_args(AggregateFunction))
AggregateText: TypeAlias = Annotated[
    str, Shown({"type": "string", "pattern": rf"^\s*({_FUNCTION})\s*(\(\s*\w+\s*\)\s*)?$"})
]
Names: TypeAlias = Annotated[
    list[Name],
    BeforeValidator(_listed),
    Field(min_length=1),
    _one_or_more({"type": "string", "pattern": NAME_PATTERN}),
]
Scores: TypeAlias = Annotated[
    list[Number], BeforeValidator(_listed), Field(min_length=1), _one_or_more({"type": "number"})
]
