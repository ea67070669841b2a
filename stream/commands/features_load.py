"""`riverrun features load`: lookups from a file into the online store."""

# ruff: noqa: PLC0415  help comes at once, without the libraries that the work needs

from pathlib import Path
from typing import Annotated

import typer

from stream.commands.flags import ConfigFile, RedisUrl, Sets, UseCaseFile, settings_from


def load(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="The values, parquet: a row for each key.", dir_okay=False),
    ],
    *,
    entity: Annotated[str, typer.Option(metavar="NAME", help="The entity that the values belong to.")],
    ttl: Annotated[
        str | None,
        typer.Option(metavar="SPAN", help="How long values are kept, such as 30d; otherwise as until now."),
    ] = None,
    config: ConfigFile = None,
    usecase: UseCaseFile = None,
    redis: RedisUrl = None,
    sets: Sets = None,
) -> None:
    """Write looked-up values into the online store; the newest of a key wins."""
    settings = settings_from(config, sets, usecase=usecase, redis=redis)
    from features.definition.lengths import parse_length
    from stream.workers.load_lookups import run

    length = None if ttl is None else parse_length(ttl)
    if ttl is not None and (length is None or length.kind != "clock" or length.n == 0):
        raise typer.BadParameter(f"{ttl!r} is no span of time; write such as 30d or 12h", param_hint="--ttl")
    raise typer.Exit(run(settings, entity, file, None if length is None else length.n))
