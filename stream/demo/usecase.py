"""The use case of a run: found by name or path, and renamed where other runs share the servers."""

import json
from dataclasses import dataclass
from pathlib import Path

from features.definition import definition_from_data, load_definition
from features.definition.model import Definition
from stream.demo import examples
from stream.demo.options import DemoError, DemoOptions

_NAME_MAX = 40


@dataclass(frozen=True, slots=True)
class UseCase:
    """What is to be scored."""

    title: str
    """The name that its author gave it."""
    definition: Definition
    file: Path
    """The definition as the workers get it."""


def find_definition(usecase: str) -> Path:
    """The file of a use case that ships with riverrun, or of one's own. Raises `DemoError`."""
    if usecase in examples.names():
        return examples.path(usecase)
    path = Path(usecase)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if path.is_file():
            return path
        raise DemoError(f"--usecase {usecase}: there is no such file")
    raise DemoError(
        f"--usecase {usecase}: neither a file nor a use case that ships with riverrun "
        f"({', '.join(examples.names())})"
    )


def load_usecase(options: DemoOptions, run_id: str, directory: Path) -> UseCase:
    """The use case, under a name of the run's own where Kafka or Redis are not.

    Everything on the servers carries the use case's name, so runs with names of their own cannot mix: not
    their topics and offsets, and not the rows of customers that have the same ids in other data.
    Raises `DemoError` and `DefinitionError`.
    """
    path = find_definition(options.usecase)
    try:
        definition = load_definition(path)
    except OSError as error:
        raise DemoError(f"--usecase {path}: cannot be read: {error.strerror}") from None
    if options.kafka is None and options.redis is None:
        return UseCase(definition.name, definition, path)
    name = f"{definition.name[: _NAME_MAX - len(run_id) - 1]}_{run_id}"
    data = {**definition.source, "name": name}
    file = directory / "usecase.yaml"
    file.write_text(json.dumps(data, indent=2), "utf-8")  # JSON is YAML
    return UseCase(definition.name, definition_from_data(data, str(file)), file)
