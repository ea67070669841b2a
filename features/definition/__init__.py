"""The use case: one YAML file, read into one frozen `Definition`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from features.definition.document import read_bytes, read_yaml, tree_of_data
from features.definition.editors import json_schema
from features.definition.mistakes import read_grammar
from features.definition.model import Definition
from features.definition.normalise import normalise
from features.definition.problems import DefinitionError, Problem
from features.definition.report import Report

__all__ = [
    "Definition",
    "DefinitionError",
    "Problem",
    "definition_from_data",
    "json_schema",
    "load_definition",
    "parse_definition",
]


def load_definition(path: Path) -> Definition:
    """The use case in a YAML file; raises `DefinitionError` with every mistake at once, and OSError."""
    return parse_definition(read_bytes(path.read_bytes(), str(path)), str(path))


def parse_definition(text: str, name: str) -> Definition:
    """The use case in a YAML text; `name` is what places begin with."""
    root, found = read_yaml(text, name)
    return _definition(Report(name, root, found))


def definition_from_data(data: Mapping[str, Any], name: str) -> Definition:
    """The use case in plain data, as `Definition.source` holds it."""
    return _definition(Report(name, tree_of_data(data)))


def _definition(report: Report) -> Definition:
    source = report.root.plain()
    return normalise(read_grammar(report), report, source)
