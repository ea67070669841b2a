"""Files of lookups: what keys of an entity held over time, for training and whatever else looks back."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from features.definition.model import Definition
from features.lookup.history import LookupHistory
from features.lookup.table import LookupTableError, lookup_history
from stream.errors import ConfigurationError, SettingProblem
from stream.workers.tables import read_tables

FLAG = "--lookups"


def read_lookups(definition: Definition, given: Sequence[str]) -> dict[str, LookupHistory]:
    """given: ``ENTITY=FILE``, parquet; an entity may have several files of the same columns.

    Raises `ConfigurationError` with every flag that is wrong or lacking, `HistoryError` for a file that
    cannot be read and `LookupTableError` for what it holds.
    """
    files = _files(definition, given)
    found: dict[str, LookupHistory] = {}
    for entity, paths in files.items():
        try:
            found[entity] = lookup_history(definition, entity, read_tables(tuple(paths)))
        except LookupTableError as error:
            raise LookupTableError(f"{', '.join(map(str, paths))}: {error}") from None
    return found


def _files(definition: Definition, given: Sequence[str]) -> Mapping[str, list[Path]]:
    """By entity."""
    files: dict[str, list[Path]] = {}
    problems: list[SettingProblem] = []
    for text in given:
        entity, equals, path = text.partition("=")
        if not entity or not equals or not path:
            problems.append(_problem(text, "this is not ENTITY=FILE", "write such as customer=FILE"))
        elif entity not in definition.lookups:
            there = ", ".join(definition.lookups) or "none"
            cause = f"{definition.name} looks nothing up for {entity}"
            problems.append(_problem(text, cause, f"the entities with lookups: {there}"))
        else:
            files.setdefault(entity, []).append(Path(path))
    for entity, fields in definition.lookups.items():
        if entity not in files and not any(text.startswith(f"{entity}=") for text in given):
            names = ", ".join(field.name for field in fields)
            cause = f"{names} are looked up, and without their past they would be missing everywhere"
            problems.append(_problem(f"{entity}=", cause, f"give {FLAG} {entity}=FILE"))
    if problems:
        raise ConfigurationError(problems)
    return files


def _problem(text: str, cause: str, mend: str) -> SettingProblem:
    return SettingProblem(f"{FLAG} {text}", "the command line", cause, mend)
