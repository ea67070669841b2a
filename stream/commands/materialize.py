"""`riverrun materialize`: the worker, and loading history into the rows that it keeps."""

# ruff: noqa: PLC0415  help comes at once, without the libraries that the work needs

from pathlib import Path
from typing import Annotated

import typer

from models.threads import prepare_lightgbm
from stream.commands.flags import (
    ConfigFile,
    HttpPort,
    KafkaProperties,
    KafkaServers,
    ModelsFolder,
    RedisUrl,
    Sets,
    UseCaseFile,
    settings_from,
)


def materialize(  # noqa: PLR0913  each is a flag
    *,
    backfill: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Load events and labels from parquet instead, and end; repeatable. Workers may be live.",
        ),
    ] = None,
    config: ConfigFile = None,
    usecase: UseCaseFile = None,
    models: ModelsFolder = None,
    kafka: KafkaServers = None,
    redis: RedisUrl = None,
    kafka_properties: KafkaProperties = None,
    http_port: HttpPort = None,
    sets: Sets = None,
) -> None:
    """Bring events and labels into the online store, until told to stop."""
    prepare_lightgbm()  # a deployed bundle brings the definition
    settings = settings_from(
        config,
        sets,
        usecase=usecase,
        models=models,
        kafka=kafka,
        redis=redis,
        kafka_properties=kafka_properties,
        http_port=http_port,
    )
    from stream.config import load_usecase
    from stream.workers import load_history
    from stream.workers import materialize as worker
    from stream.workers.states import DeployedStates

    if backfill:
        definitions = DeployedStates(settings, load_usecase(settings)).first()
        raise typer.Exit(load_history.run(settings, definitions, backfill))
    raise typer.Exit(worker.run(settings))
