"""The command line, `riverrun`. Commands import their workers when they run, so that help comes at once.

What a person can mend ends in plain lines on stderr and a code of `ExitCode`; a bug of ours in a traceback.
"""

# ruff: noqa: PLC0415  that is what the imports inside the commands are for

from pathlib import Path
from typing import Annotated, Literal

import typer

from models.threads import prepare_lightgbm, use_one_thread
from stream.commands import deadletters, features
from stream.commands import models as bundles
from stream.commands.endings import ending_in_words
from stream.commands.flags import (
    ConfigFile,
    HttpPort,
    KafkaProperties,
    KafkaServers,
    LookupFiles,
    ModelsFolder,
    RedisUrl,
    Sets,
    UseCaseFile,
    settings_from,
)
from stream.commands.materialize import materialize
from stream.commands.replay import replay

app = typer.Typer(
    name="riverrun",
    help="Scores events as they flow: Kafka in, features from Redis, LightGBM, predictions out.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
topics_app = typer.Typer(help="The topics of a use case.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(topics_app, name="topics")
app.add_typer(features.app, name="features")
app.add_typer(bundles.app, name="models")
app.add_typer(deadletters.app, name="deadletters")

UseCaseArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="The use case file.", exists=True, dir_okay=False)
]


@app.command()
def score(
    *,
    config: ConfigFile = None,
    usecase: UseCaseFile = None,
    models: ModelsFolder = None,
    kafka: KafkaServers = None,
    redis: RedisUrl = None,
    kafka_properties: KafkaProperties = None,
    http_port: HttpPort = None,
    sets: Sets = None,
) -> None:
    """Score events: a prediction for each, until told to stop."""
    prepare_lightgbm()
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
    from stream.workers import score as worker

    raise typer.Exit(worker.run(settings))


app.command()(materialize)
app.command()(replay)


@app.command()
def train(
    *,
    usecase: Annotated[
        Path, typer.Option(metavar="FILE", help="The use case file.", exists=True, dir_okay=False)
    ],
    data: Annotated[list[Path], typer.Option(metavar="FILE", help="Labelled history, parquet; repeatable.")],
    start: Annotated[
        str,
        typer.Option("--from", metavar="WHEN", help="First event time: a date, or a number of the sequence."),
    ],
    end: Annotated[str, typer.Option("--to", metavar="WHEN", help="First event time that is left out.")],
    models: Annotated[Path, typer.Option(metavar="DIR", help="Where the bundle goes.")],
    version: Annotated[
        str | None, typer.Option(help="Its version; made from its contents when not given.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same model.")] = 0,
    deploy: Annotated[bool, typer.Option("--deploy", help="Make it the champion.")] = False,
    lookups: LookupFiles = None,
) -> None:
    """Train a bundle from labelled history and measure it on what was held out."""
    prepare_lightgbm()
    from stream.workers.train import TrainRequest, run

    past = tuple(lookups or ())
    raise typer.Exit(run(TrainRequest(usecase, tuple(data), start, end, models, version, seed, deploy, past)))


@app.command()
def demo(
    *,
    usecase: Annotated[str, typer.Option(help="fraud, maintenance, … or a use case file.")] = "fraud",
    transactions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Real events, parquet, instead of simulated ones.")
    ] = None,
    train_from: Annotated[str | None, typer.Option(metavar="DATE", help="First day that trains.")] = None,
    train_to: Annotated[str | None, typer.Option(metavar="DATE", help="First day that does not.")] = None,
    score_from: Annotated[str | None, typer.Option(metavar="DATE", help="First day scored.")] = None,
    score_to: Annotated[str | None, typer.Option(metavar="DATE", help="First day that is not.")] = None,
    kafka: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="A real Kafka; otherwise one is embedded.")
    ] = None,
    redis: Annotated[
        str | None, typer.Option(metavar="URL", help="A real Redis; otherwise one is started.")
    ] = None,
    speed: Annotated[
        str | None, typer.Option(metavar="max|N", help="Events per second.  [default: 1500]")
    ] = None,
    fault: Annotated[
        str | None, typer.Option("--break", metavar="redis|model|poison", help="What breaks midway.")
    ] = None,
    summary: Annotated[Path | None, typer.Option(metavar="FILE", help="Write figures, JSON.")] = None,
    predictions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write predictions, parquet.")
    ] = None,
    events: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the events, parquet, as `train` takes them.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the simulator and of training.")] = 0,
) -> None:
    """Watch events become predictions: train, start the workers, feed them, and count."""
    prepare_lightgbm()
    from stream.demo.options import DEFAULT_SPEED, DemoOptions, parse_day, parse_fault, parse_speed
    from stream.demo.run import run

    options = DemoOptions(
        usecase=usecase,
        transactions=transactions,
        train_from=parse_day("--train-from", train_from),
        train_to=parse_day("--train-to", train_to),
        score_from=parse_day("--score-from", score_from),
        score_to=parse_day("--score-to", score_to),
        kafka=kafka,
        redis=redis,
        speed=DEFAULT_SPEED if speed is None else parse_speed(speed),
        fault=parse_fault(fault),
        summary=summary,
        predictions=predictions,
        events=events,
        seed=seed,
    )
    raise typer.Exit(run(options))


@app.command()
def check(
    file: UseCaseArgument,
    sizing: Annotated[bool, typer.Option("--sizing", help="Say what it needs of Redis.")] = False,
    rate: Annotated[float | None, typer.Option(metavar="R", help="Events per second, for --sizing.")] = None,
    entities: Annotated[
        float | None, typer.Option(metavar="N", help="How many of each entity, for --sizing.")
    ] = None,
) -> None:
    """Check a use case file: every mistake with its place, or what the file comes to."""
    from stream.workers.check import Load, lines

    load = None
    if sizing or rate is not None or entities is not None:
        if rate is None or entities is None or not 0 < rate < float("inf") or not 1 <= entities < 1e15:
            raise typer.BadParameter(
                "needs --rate above 0 and --entities of at least 1", param_hint="--sizing"
            )
        load = Load(rate, entities)
    print("\n".join(lines(file, load)))


@app.command()
def schema(
    kind: Annotated[Literal["usecase", "event", "label", "prediction", "deadletter"], typer.Argument()],
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="The use case file.", exists=True, dir_okay=False),
    ] = None,
) -> None:
    """Print a JSON Schema: of use case files, or of what a use case's topics carry."""
    from stream.commands.schemas import OF_A_USE_CASE, schema_text_of

    if file is None and kind in OF_A_USE_CASE:
        raise typer.BadParameter(f"the {kind}'s schema is made from a use case file", param_hint="FILE")
    print(schema_text_of(kind, file), end="")


@app.command("config")
def show_config(
    *,
    config: ConfigFile = None,
    usecase: UseCaseFile = None,
    models: ModelsFolder = None,
    kafka: KafkaServers = None,
    redis: RedisUrl = None,
    kafka_properties: KafkaProperties = None,
    http_port: HttpPort = None,
    sets: Sets = None,
) -> None:
    """Print every setting in force, and where it came from."""
    from stream.config import explain

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
    rows = explain(settings)
    widths = max(len(row.key) for row in rows), max(len(row.value) for row in rows)
    for row in rows:
        print(f"{row.key:<{widths[0]}}  {row.value or '-':<{widths[1]}}  {row.origin}")


@topics_app.command("create")
def create_topics(
    *,
    partitions: Annotated[int, typer.Option(metavar="N", min=1, help="Of each new topic.")] = 6,
    replication: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Copies; the cluster's default when not given.")
    ] = None,
    config: ConfigFile = None,
    usecase: UseCaseFile = None,
    kafka: KafkaServers = None,
    kafka_properties: KafkaProperties = None,
    sets: Sets = None,
) -> None:
    """Create the topics that are missing: events, labels, predictions and dead letters."""
    settings = settings_from(config, sets, usecase=usecase, kafka=kafka, kafka_properties=kafka_properties)
    from stream.workers.topics import BROKERS_CHOOSE, create

    print("\n".join(create(settings, partitions, BROKERS_CHOOSE if replication is None else replication)))


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        print(installed("riverrun"))
    except PackageNotFoundError:
        print("not installed: this is a checkout")


def main() -> None:
    """The console script."""
    use_one_thread()
    with ending_in_words():
        app()


if __name__ == "__main__":
    main()
