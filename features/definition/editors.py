"""The grammar as JSON Schema, for editors that complete and check YAML by one."""

from typing import Any

from features.definition.document import read_yaml
from features.definition.schema import UseCase


def json_schema() -> dict[str, Any]:
    """The JSON Schema of use case files. It checks form; what names mean is `riverrun check`'s to say."""
    schema = {"title": "riverrun use case", **_tidy(UseCase.model_json_schema())}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _tidy(part: Any) -> Any:
    """Without what pydantic adds for machines: titles made of names, and defaults that are not written."""
    if isinstance(part, list):
        return [_tidy(item) for item in part]
    if not isinstance(part, dict):
        return part
    kept = {key: _tidy(value) for key, value in part.items() if key not in ("title", "default", "examples")}
    if isinstance(part.get("default"), str | float | bool):
        kept["default"] = part["default"]
    if "examples" in part:
        kept["examples"] = [read_yaml(text, "example")[0].plain() for text in part["examples"]]
    if "patternProperties" in part:
        kept["additionalProperties"] = False
    return kept
