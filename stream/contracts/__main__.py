"""Write the contracts of a use case to a directory."""

import sys
from pathlib import Path

from features.definition import load_definition
from stream.contracts import published, schema_text


def main(usecase: Path, directory: Path) -> None:
    for name, schema in published(load_definition(usecase)).items():
        (directory / name).write_text(schema_text(schema), encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
