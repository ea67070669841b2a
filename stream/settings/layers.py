"""Where values come from: one file, then the environment, then flags; the later one goes before.

Each layer gives `Given` values by key. What cannot be one is a problem, and the rest is still read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from features.definition.document import Node, read_yaml
from features.definition.problems import DefinitionError
from stream.errors import SettingProblem
from stream.settings.keys import (
    NAMED_FLAGS,
    PROPERTIES,
    SECTIONS,
    SETTINGS,
    key_of_variable,
    mend_for_unknown,
)
from stream.transport.kafka.properties import parse_properties

FILE_BYTES_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class Given:
    """A value as it was written, and where."""

    content: Any
    """Plain YAML data, or text; None for nothing."""
    origin: str


@dataclass(slots=True)
class Layers:
    """All values so far, by key; a Kafka property is a key of its own."""

    values: dict[str, Given] = field(default_factory=dict)
    problems: list[SettingProblem] = field(default_factory=list)

    def add_file(self, path: Path) -> None:
        """The settings file, in YAML."""
        text = self._text(path, "settings file", str(path))
        if text is None or not text.strip():
            return
        try:
            root, found = read_yaml(text, str(path))
        except DefinitionError as error:
            found, root = [], None
            # Not the offending text: it may be a password.
            self.problems += [
                SettingProblem("settings file", p.place, p.cause, p.mend) for p in error.problems
            ]
        self.problems += [SettingProblem("settings file", p.place, p.cause, p.mend) for _, p in found]
        if root is not None:
            self._add_section(root, "", str(path))

    def add_environment(self, environ: Mapping[str, str]) -> None:
        """Variables that begin with RIVERRUN_; an empty one counts as not set."""
        for variable in sorted(environ):
            key = key_of_variable(variable)
            if key is not None and environ[variable] != "":
                self._add_text(key, environ[variable], variable)

    def add_flags(self, flags: Mapping[str, str]) -> None:
        """By `--flag` or, for what `--set` says, by key; an empty text goes back to nothing."""
        for flag, text in flags.items():
            if flag in NAMED_FLAGS:
                self._add_text(NAMED_FLAGS[flag], text, flag)
            else:
                self._add_text(flag, text or None, f"--set {flag}")

    def add_properties_file(self) -> None:
        """The file that `kafka.properties_file` names by now; what is set otherwise goes before it."""
        given = self.values.get("kafka.properties_file")
        if given is None or not isinstance(given.content, str):
            return
        text = self._text(Path(given.content), "kafka.properties_file", given.origin)
        for name, (value, line) in parse_properties(text or "").items():
            self.values.setdefault(f"{PROPERTIES}.{name}", Given(value, f"{given.content}:{line}"))

    def _add_section(self, node: Node, section: str, name: str) -> None:
        if not isinstance(node.content, dict):
            self._refuse(section or "settings file", f"{name}:{node.place}", "a value stands for a section")
            return
        for step, below in node.content.items():
            key, origin = f"{section}{step}", f"{name}:{below.key.line if below.key else node.place.line}"
            if key in SECTIONS:
                self._add_section(below, f"{key}.", name)
            elif key == PROPERTIES and isinstance(below.content, dict):
                for prop, value in below.content.items():
                    line = value.key.line if value.key else below.place.line
                    self.values[f"{PROPERTIES}.{prop}"] = Given(value.plain(), f"{name}:{line}")
            elif key in SETTINGS:
                self.values[key] = Given(below.plain(), origin)
            else:
                self.problems.append(
                    SettingProblem(key, origin, "there is no such setting", mend_for_unknown(key))
                )

    def _add_text(self, key: str, text: str | None, origin: str) -> None:
        if key in SECTIONS or key == PROPERTIES:
            self._refuse(key, origin, "a value stands for a section")
        elif key in SETTINGS or key.startswith(f"{PROPERTIES}."):
            self.values[key] = Given(text, origin)
        else:
            self.problems.append(
                SettingProblem(key, origin, "there is no such setting", mend_for_unknown(key))
            )

    def _refuse(self, key: str, origin: str, cause: str) -> None:
        key = key.rstrip(".")
        inside = [known for known in SETTINGS if known.startswith(f"{key}.")] or [f"{PROPERTIES}.client.id"]
        self.problems.append(SettingProblem(key, origin, cause, f"set what is in it, such as `{inside[0]}`"))

    def _text(self, path: Path, key: str, origin: str) -> str | None:
        """The file's text; None, and a problem, where there is none."""
        try:
            data = path.read_bytes()
        except (OSError, ValueError) as error:
            cause = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            self.problems.append(
                SettingProblem(
                    key, origin, f"{path} cannot be read: {cause}", "check the path and its rights"
                )
            )
            return None
        if len(data) > FILE_BYTES_MAX:
            mend = "is it the right file?"
            self.problems.append(
                SettingProblem(key, origin, f"{path} is larger than {FILE_BYTES_MAX:,} bytes", mend)
            )
            return None
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            self.problems.append(SettingProblem(key, origin, f"{path} is not UTF-8", "save it as UTF-8"))
            return None
