"""`riverrun features build`: a training set out of history, or out of the topics."""

# ruff: noqa: PLC0415  help comes at once, without the libraries that the work needs

from pathlib import Path
from typing import Annotated

import typer

from stream.commands.flags import (
    ConfigFile,
    KafkaProperties,
    KafkaServers,
    LookupFiles,
    Sets,
    UseCaseFile,
    settings_from,
)


def build(  # noqa: PLR0913  a command has as many parameters as flags
    *,
    usecase: UseCaseFile = None,
    data: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Labelled history, parquet; repeatable.")
    ] = None,
    topic: Annotated[
        bool, typer.Option("--topic", help="Take the events and labels topics instead of files.")
    ] = False,
    start: Annotated[
        str,
        typer.Option("--from", metavar="WHEN", help="First event time: a date, or a number of the sequence."),
    ],
    end: Annotated[str, typer.Option("--to", metavar="WHEN", help="First event time that is left out.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where it goes, parquet.", dir_okay=False)],
    lookups: LookupFiles = None,
    config: ConfigFile = None,
    kafka: KafkaServers = None,
    kafka_properties: KafkaProperties = None,
    sets: Sets = None,
) -> None:
    """Build the point-in-time training set, with the windows that serving evaluates."""
    if topic == bool(data):
        raise typer.BadParameter("give files, or --topic, and not both", param_hint="--data")
    settings = settings_from(config, sets, usecase=usecase, kafka=kafka, kafka_properties=kafka_properties)
    from stream.workers.build import run, run_topic

    if topic:
        raise typer.Exit(run_topic(settings, start, end, out, tuple(lookups or ())))
    raise typer.Exit(run(settings, tuple(data or ()), start, end, out, tuple(lookups or ())))
