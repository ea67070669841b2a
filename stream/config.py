"""The settings in force, read once: one YAML file, then the environment, then flags. Secrets are masked.

This is the only file that reads the environment. `riverrun config` shows what `explain` returns.
"""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from features.definition import load_definition
from features.definition.model import Definition
from features.stores.redis_options import RedisOptions
from stream.errors import ConfigurationError, SettingProblem
from stream.settings.judge import judge
from stream.settings.keys import PROPERTIES, SETTINGS, is_secret
from stream.settings.layers import Layers
from stream.settings.sections import Settings
from stream.settings.sense import doubts, redis_options
from stream.transport.kafka.properties import KafkaConnection

__all__ = [
    "Groups",
    "SettingRow",
    "Settings",
    "Topics",
    "compiled_cache",
    "explain",
    "groups_of",
    "kafka_connection",
    "load_settings",
    "load_settings_from_environment",
    "load_usecase",
    "redis_for_reads",
    "redis_for_writes",
    "topics_of",
    "transactional_id",
]

MASK = "***"


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting in force, as it may be shown."""

    key: str
    value: str
    """Masked where it is secret; empty where it is not set."""
    origin: str


@dataclass(frozen=True, slots=True)
class Topics:
    """The names in force."""

    events: str
    labels: str
    predictions: str
    deadletters: str


@dataclass(frozen=True, slots=True)
class Groups:
    """The consumer groups in force."""

    score: str
    materialize: str
    """How the names of all groups of materialize workers begin."""

    def events_of(self, definition: Definition) -> str:
        """The group that reads the events topic into the rows of a definition. Every state has its own, so
        that one is filled from the start while another stays where it is.
        """
        return f"{self.materialize}.{definition.fingerprints.state[:12]}"

    def labels_of(self, definition: Definition) -> str:
        """And the labels topic: members of one group should read the same topics."""
        return f"{self.events_of(definition)}.labels"


def load_settings(file: Path | None, environ: Mapping[str, str], flags: Mapping[str, str]) -> Settings:
    """Later layers go before earlier ones, value by value.

    flags: by `--flag` (`stream.settings.keys.NAMED_FLAGS`) or by key, as `--set` names it.
    Raises `ConfigurationError` with every mistake at once.
    """
    layers = Layers()
    if file is not None:
        layers.add_file(file)
    layers.add_environment(environ)
    layers.add_flags(flags)
    layers.add_properties_file()
    settings, wrong = judge(layers.values)
    problems = [*layers.problems, *wrong]
    settings = settings.came_from({key: given.origin for key, given in layers.values.items()})
    told = {problem.key for problem in problems}
    for doubt in doubts(settings):
        if told.isdisjoint(doubt.keys):  # what rests on a wrong value means nothing
            key = doubt.keys[0]
            problems.append(SettingProblem(key, settings.origin(key), doubt.cause, doubt.mend))
    if problems:
        raise ConfigurationError(problems)
    return settings


def load_settings_from_environment(file: Path | None, flags: Mapping[str, str]) -> Settings:
    """`load_settings` with this process's environment."""
    return load_settings(file, os.environ, flags)


def explain(settings: Settings) -> list[SettingRow]:
    """Every setting with its value and where that came from, without secrets."""
    rows: list[SettingRow] = []
    for setting in SETTINGS.values():
        if setting.key == PROPERTIES:
            rows += [
                _row(settings, f"{PROPERTIES}.{name}", value.get_secret_value())
                for name, value in settings.kafka.properties.items()
            ]
            continue
        value: object = settings
        for step in setting.path:
            value = getattr(value, step)
        if setting.key == "redis.url":
            address = redis_for_reads(settings).address
            rows.append(SettingRow(setting.key, address, settings.origin(setting.key)))
        else:
            rows.append(_row(settings, setting.key, value))
    return rows


def load_usecase(settings: Settings) -> Definition:
    """The definition in `usecase`. Raises `DefinitionError`, and `ConfigurationError` without a file."""
    try:
        return load_definition(settings.usecase)
    except OSError as error:
        cause = f"{settings.usecase} cannot be read: {error.strerror}"
        problem = SettingProblem(
            "usecase", settings.origin("usecase"), cause, "set it, or give --usecase FILE"
        )
        raise ConfigurationError([problem]) from None


def topics_of(settings: Settings, use_case: str) -> Topics:
    """The topics of a use case. Raises `ConfigurationError` where two would be one."""
    chosen = settings.kafka.topics
    topics = {name: topic or f"{use_case}.{name}" for name, topic in chosen}
    for name, topic in topics.items():
        same = [other for other in topics if other != name and topics[other] == topic]
        if same and getattr(chosen, name) is not None:
            key = f"kafka.topics.{name}"
            cause = f"{topic} is the topic for {same[0]} already"
            raise ConfigurationError(
                [SettingProblem(key, settings.origin(key), cause, "give each its own topic")]
            )
    return Topics(**topics)


def groups_of(settings: Settings, use_case: str) -> Groups:
    """The consumer groups of a use case. Raises `ConfigurationError` where the two would be one."""
    kafka = settings.kafka
    score = kafka.group or f"{use_case}.score"
    materialize = kafka.materialize_group or f"{use_case}.materialize"
    if score == materialize:
        key = "kafka.group" if kafka.group else "kafka.materialize_group"
        cause = f"{score} is the group of the other kind of worker already: each would see only some events"
        raise ConfigurationError([SettingProblem(key, settings.origin(key), cause, "give them two groups")])
    return Groups(score, materialize)


def kafka_connection(settings: Settings) -> KafkaConnection:
    properties = {name: value.get_secret_value() for name, value in settings.kafka.properties.items()}
    return KafkaConnection(settings.kafka.bootstrap_servers, properties)


def transactional_id(settings: Settings, group: str) -> str:
    """By which Kafka knows this worker, after every start."""
    name = settings.delivery.worker or f"{socket.gethostname()}-{settings.http.port}"
    return f"{group}.{name}"


def compiled_cache(settings: Settings) -> Path:
    """The directory of compiled models. Raises `ConfigurationError` where the user has none for caches."""
    if settings.model.cache is not None:
        return settings.model.cache
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        caches = given if given.is_absolute() else Path.home() / ".cache"
    except RuntimeError as error:
        problem = SettingProblem("model.cache", settings.origin("model.cache"), str(error), "set it")
        raise ConfigurationError([problem]) from None
    return caches / "riverrun" / "compiled"


def redis_for_reads(settings: Settings) -> RedisOptions:
    """Redis within a score worker's deadline."""
    return redis_options(settings, settings.redis.deadline_ms)


def redis_for_writes(settings: Settings) -> RedisOptions:
    """Redis within a materialize worker's deadline; it must learn of every restart."""
    return redis_options(settings, settings.redis.write_timeout_ms, reconnect_silently=False)


def _row(settings: Settings, key: str, value: object) -> SettingRow:
    if value is None:
        return SettingRow(key, "", settings.origin(key))
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return SettingRow(key, MASK if is_secret(key) else text, settings.origin(key))
