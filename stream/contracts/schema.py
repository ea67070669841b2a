"""What the schemas of a use case's topics have in common."""

from typing import Any, TypeAlias

from features.definition.model import FieldType

JsonSchema: TypeAlias = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FIELD_TYPES: dict[FieldType, JsonSchema] = {
    "string": {"type": "string"},
    "float64": {"type": "number"},
    "int64": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    "bool": {"type": "boolean"},
}


def document(title: str, description: str, properties: JsonSchema, required: list[str]) -> JsonSchema:
    return {
        "$schema": DIALECT,
        "title": title,
        "description": description,
        "type": "object",
        "properties": properties,
        "required": required,
    }


def nullable(schema: JsonSchema) -> JsonSchema:
    """The schema, or null."""
    return schema | {"type": [schema["type"], "null"]}
