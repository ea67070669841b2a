"""The JSON Schemas that `riverrun schema` prints."""

from pathlib import Path
from typing import Literal, TypeAlias

from features.definition import Definition, json_schema, load_definition
from features.definition.model import RecordLabel
from stream.contracts import (
    dead_letter_schema,
    event_schema,
    label_schema,
    prediction_schema,
    schema_text,
)
from stream.errors import ConfigurationError, SettingProblem

Kind: TypeAlias = Literal["usecase", "event", "label", "prediction", "deadletter"]
OF_A_USE_CASE: frozenset[Kind] = frozenset({"event", "label"})
"""Those that only a use case file makes."""


def schema_text_of(kind: Kind, file: Path | None) -> str:
    """file: the use case; without it the part of a prediction that all share.

    Raises `DefinitionError`, `ConfigurationError` and OSError.
    """
    definition = None if file is None else load_definition(file)
    match kind:
        case "usecase":
            return schema_text(json_schema())
        case "deadletter":
            return schema_text(dead_letter_schema())
        case "prediction":
            return schema_text(prediction_schema(definition))
    assert definition is not None, "the command asks for the file"
    return schema_text(event_schema(definition) if kind == "event" else _label(definition, str(file)))


def _label(definition: Definition, file: str) -> dict[str, object]:
    if not isinstance(definition.label, RecordLabel):
        cause = "its label is made of later events, so no labels come as records"
        raise ConfigurationError([SettingProblem("label", file, cause, "there is no such topic")])
    return label_schema(definition)
