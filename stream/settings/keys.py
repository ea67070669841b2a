"""Which settings there are, by their keys, and how flags and the environment name them."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic.fields import FieldInfo

from stream.settings.sections import Section, Settings
from stream.transport.kafka.properties import SECRET

PREFIX = "RIVERRUN_"
DELIMITER = "__"
PROPERTIES = "kafka.properties"
"""The one setting that holds others, whose names may have dots."""

NAMED_FLAGS: Mapping[str, str] = {
    "--usecase": "usecase",
    "--models": "models",
    "--kafka": "kafka.bootstrap_servers",
    "--kafka-properties": "kafka.properties_file",
    "--redis": "redis.url",
    "--http-port": "http.port",
}
"""Flags that say what `--set` could say too."""

_FOR_TESTS = re.compile(r"RIVERRUN_(REQUIRE|DATA|TEST_.*)")
_FROM_KUBERNETES = re.compile(
    r"RIVERRUN_(?!.*__)(.*_)?(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_\d+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?)?)"
)
"""What Kubernetes sets in every pod for a service whose name begins with `riverrun`."""

_SECRET_WORDS = re.compile(r"password|passphrase|secret|private")


@dataclass(frozen=True, slots=True)
class Setting:
    """One leaf of the tree of settings."""

    key: str
    description: str
    default: Any
    annotation: Any

    @property
    def path(self) -> tuple[str, ...]:
        return tuple(self.key.split("."))

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return PREFIX + DELIMITER.join(self.path).upper()


def _leaves(section: type[Section], before: str) -> Iterable[Setting]:
    for name, field in section.model_fields.items():
        inner = _section(field)
        if inner is not None:
            yield from _leaves(inner, f"{before}{name}.")
        else:
            default = field.get_default(call_default_factory=True, validated_data={})
            yield Setting(
                f"{before}{name}",
                " ".join((field.description or "").split()),
                default,
                field.rebuild_annotation(),
            )


def _section(field: FieldInfo) -> type[Section] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


SETTINGS: Mapping[str, Setting] = {setting.key: setting for setting in _leaves(Settings, "")}
SECTIONS: frozenset[str] = frozenset(
    key.rsplit(".", depth)[0] for key in SETTINGS for depth in range(1, key.count(".") + 1)
)


def is_secret(key: str) -> bool:
    """Whether the value is never shown. The Redis URL is, without its password: see `explain`."""
    name = key.removeprefix(f"{PROPERTIES}.")
    if name != key:
        return name in SECRET or bool(_SECRET_WORDS.search(name))
    return key in ("redis.password", "redis.sentinel_password", "redis.url")


def path_of(key: str) -> tuple[str, ...]:
    """The steps to a key; a Kafka property's name is one step."""
    if key.startswith(f"{PROPERTIES}."):
        return (*PROPERTIES.split("."), key.removeprefix(f"{PROPERTIES}."))
    return tuple(key.split("."))


def key_of_variable(variable: str) -> str | None:
    """What an environment variable sets, known or not; None when it is none of ours.

    In the names of Kafka properties ``_`` stands for a dot, and case does not matter.
    """
    if not variable.startswith(PREFIX) or _FOR_TESTS.fullmatch(variable):
        return None
    if _FROM_KUBERNETES.fullmatch(variable):
        return None
    steps = variable.removeprefix(PREFIX).lower().split(DELIMITER)
    start = PROPERTIES.split(".")
    if steps[: len(start)] == start and len(steps) > len(start):
        return f"{PROPERTIES}.{DELIMITER.join(steps[len(start) :]).replace('_', '.')}"
    return ".".join(steps)


def mend_for_unknown(key: str) -> str:
    """What somebody who wrote this key may have meant."""
    close = difflib.get_close_matches(key, SETTINGS, n=1, cutoff=0.75)
    if close:
        return f"did you mean `{close[0]}`?"
    last = key.rpartition(".")[2]
    same = [known for known in SETTINGS if known.rpartition(".")[2] == last]
    if same:
        return f"did you mean `{same[0]}`?"
    section = key.rpartition(".")[0]
    names = [known for known in SETTINGS if known.rpartition(".")[0] == section]
    close = difflib.get_close_matches(last, [name.rpartition(".")[2] for name in names], n=1)
    if close:
        return f"did you mean `{section}.{close[0]}`?" if section else f"did you mean `{close[0]}`?"
    if section in SECTIONS:
        return f"choose from {', '.join(f'`{name}`' for name in names)}"
    return "`riverrun config` lists all settings"
