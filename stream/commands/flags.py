"""The flags that workers share, and the settings they make."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    from stream.config import Settings

ConfigFile: TypeAlias = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Settings in YAML: see docs/settings.md.")
]
UseCaseFile: TypeAlias = Annotated[
    str | None, typer.Option("--usecase", metavar="FILE", help="The use case file.")
]
ModelsFolder: TypeAlias = Annotated[
    str | None, typer.Option("--models", metavar="DIR", help="Where bundles and deployment.json are.")
]
KafkaServers: TypeAlias = Annotated[
    str | None, typer.Option("--kafka", metavar="HOST:PORT", help="Brokers to ask first, with commas.")
]
RedisUrl: TypeAlias = Annotated[
    str | None, typer.Option("--redis", metavar="URL", help="The online store: redis://HOST:PORT/DB.")
]
KafkaProperties: TypeAlias = Annotated[
    str | None,
    typer.Option("--kafka-properties", metavar="FILE", help="librdkafka's settings, as .properties."),
]
HttpPort: TypeAlias = Annotated[
    str | None, typer.Option("--http-port", metavar="N", help="Health and metrics; 0 takes any free port.")
]
LookupFiles: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--lookups", metavar="ENTITY=FILE", help="What was looked up, and when it was written, parquet."
    ),
]
Sets: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any other setting; may be given many times."),
]


def settings_from(
    config: Path | None,
    sets: list[str] | None,
    *,
    usecase: str | None = None,
    models: str | None = None,
    kafka: str | None = None,
    redis: str | None = None,
    kafka_properties: str | None = None,
    http_port: str | None = None,
) -> "Settings":
    """Raises `ConfigurationError` with every mistake of file, environment and flags at once."""
    from stream.config import load_settings_from_environment  # noqa: PLC0415  help needs no client libraries

    named = {
        "--usecase": usecase,
        "--models": models,
        "--kafka": kafka,
        "--redis": redis,
        "--kafka-properties": kafka_properties,
        "--http-port": http_port,
    }
    flags = {flag: text for flag, text in named.items() if text is not None}
    return load_settings_from_environment(config, flags | _settings_set(sets or [], flags))


def _settings_set(sets: list[str], flags: dict[str, str]) -> dict[str, str]:
    """What `--set` says, by key. A setting that is said twice is a mistake: which one was meant?"""
    from stream.settings.keys import NAMED_FLAGS  # noqa: PLC0415  as above

    said = {NAMED_FLAGS[flag]: flag for flag in flags}
    found: dict[str, str] = {}
    for text in sets:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not key or not equals:
            raise typer.BadParameter(f"{key or text!r} is not KEY=VALUE", param_hint="--set")
        if key in said:
            raise typer.BadParameter(f"{key} is set by {said[key]} too; keep one", param_hint="--set")
        said[key] = "another --set"
        found[key] = value
    return found
