"""The published contracts of a use case's topics, as JSON Schema (draft 2020-12).

docs/contracts.md explains them; `python -m stream.contracts USECASE.yaml DIRECTORY` writes them anew.
"""

import json

from features.definition.model import Definition, RecordLabel
from stream.contracts.inputs import event_schema, label_schema
from stream.contracts.outputs import dead_letter_schema, prediction_schema
from stream.contracts.schema import JsonSchema

__all__ = [
    "JsonSchema",
    "dead_letter_schema",
    "event_schema",
    "label_schema",
    "prediction_schema",
    "published",
    "schema_text",
]


def published(definition: Definition) -> dict[str, JsonSchema]:
    """Every contract by its file name."""
    schemas = {
        "prediction.v1.schema.json": prediction_schema(),
        "deadletter.v1.schema.json": dead_letter_schema(),
        f"{definition.name}.event.schema.json": event_schema(definition),
        f"{definition.name}.prediction.schema.json": prediction_schema(definition),
    }
    if isinstance(definition.label, RecordLabel):
        schemas[f"{definition.name}.label.schema.json"] = label_schema(definition)
    return schemas


def schema_text(schema: JsonSchema) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
