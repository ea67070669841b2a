"""`riverrun replay`: events scored once more, to see what another model would have said, or the same."""

# ruff: noqa: PLC0415  help comes at once, without the libraries that the work needs

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from models.threads import prepare_lightgbm
from stream.commands.flags import (
    ConfigFile,
    KafkaProperties,
    KafkaServers,
    LookupFiles,
    ModelsFolder,
    Sets,
    UseCaseFile,
    settings_from,
)
from stream.commands.moments import is_place, moment_ms, place


def replay(  # noqa: PLR0913  a command has as many parameters as flags
    *,
    start: Annotated[
        str,
        typer.Option(
            "--from", metavar="WHEN", help="A date or time of records, or PARTITION:OFFSET, with commas."
        ),
    ],
    end: Annotated[
        str | None,
        typer.Option("--to", metavar="WHEN", help="What is left out first; the log's end when not given."),
    ] = None,
    bundle: Annotated[
        str, typer.Option(metavar="BUNDLE", help="What scores: a directory, or a version in --models.")
    ],
    topic_out: Annotated[
        str | None, typer.Option(metavar="TOPIC", help="Write predictions to this topic.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write predictions, parquet.", dir_okay=False)
    ] = None,
    computed: Annotated[
        bool, typer.Option("--computed", help="Compute all features, though they were logged as served.")
    ] = False,
    lookups: LookupFiles = None,
    usecase: UseCaseFile = None,
    models: ModelsFolder = None,
    config: ConfigFile = None,
    kafka: KafkaServers = None,
    kafka_properties: KafkaProperties = None,
    sets: Sets = None,
) -> None:
    """Score a range of events once more, and print what differs from what was served."""
    if topic_out is not None and out is not None:
        raise typer.BadParameter("give a topic or a file, not both", param_hint="--topic-out")
    first, last = _bound(start, "--from"), None if end is None else _bound(end, "--to")
    prepare_lightgbm()
    settings = settings_from(
        config, sets, usecase=usecase, models=models, kafka=kafka, kafka_properties=kafka_properties
    )
    from stream.workers.replay import ReplayRequest, run

    request = ReplayRequest(bundle, first, last, topic_out, out, tuple(lookups or ()), computed)
    raise typer.Exit(run(settings, request))


def _bound(text: str, flag: str) -> int | Mapping[int, int]:
    parts = text.split(",")
    if not any(map(is_place, parts)):
        return moment_ms(text, flag)
    offsets = [place(part, flag) for part in parts]
    if len(dict(offsets)) < len(offsets):
        raise typer.BadParameter("a partition is named twice", param_hint=flag)
    return dict(offsets)
