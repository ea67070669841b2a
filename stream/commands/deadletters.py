"""`riverrun deadletters`: look at what was rejected, and send it back."""

# ruff: noqa: PLC0415  help comes at once, without the libraries that the work needs

import sys
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from stream.commands.flags import (
    ConfigFile,
    KafkaProperties,
    KafkaServers,
    Sets,
    UseCaseFile,
    settings_from,
)
from stream.commands.moments import moment_ms, place
from stream.errors import ExitCode

if TYPE_CHECKING:
    from stream.workers.deadletters.replaying import Plan, Replay
    from stream.workers.deadletters.standing import Wanted
    from stream.workers.deadletters.worker import DeadLetters

INTERRUPTED = 130
"""What a shell says of a program that Ctrl-C ended."""
LINES = 100

app = typer.Typer(
    help="The dead letters of a use case: look at them, and send them back.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Reasons: TypeAlias = Annotated[
    list[str] | None, typer.Option("--reason", metavar="REASON", help="Only of this reason; repeatable.")
]
Fields: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--field", metavar="FIELD", help="Only where this field is at fault; repeatable."),
]
Since: TypeAlias = Annotated[
    str | None, typer.Option(metavar="WHEN", help="Only what became a dead letter from then on, ISO 8601.")
]
Until: TypeAlias = Annotated[
    str | None, typer.Option(metavar="WHEN", help="Only what became a dead letter before then.")
]
TopicPartition: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="[TOPIC:]N", help="Only what came from this partition of its source topic."),
]


@app.command("list")
def list_(  # noqa: PLR0913  a command has as many parameters as flags
    *,
    reason: Reasons = None,
    field: Fields = None,
    since: Since = None,
    until: Until = None,
    topic_partition: TopicPartition = None,
    limit: Annotated[
        int, typer.Option(metavar="N", min=0, help="Only the newest N have a line; 0 for all.")
    ] = LINES,
    form: Annotated[
        Literal["table", "json"], typer.Option("--format", help="A table, or one object a line.")
    ] = "table",
    usecase: UseCaseFile = None,
    config: ConfigFile = None,
    kafka: KafkaServers = None,
    kafka_properties: KafkaProperties = None,
    sets: Sets = None,
) -> None:
    """List dead letters, and count them by reason."""
    wanted = _wanted(reason, field, since, until, topic_partition)
    letters = _letters(config, usecase, kafka, kafka_properties, sets)
    from rich.console import Console

    from stream.workers.deadletters.listing import count_lines, json_line, table_of

    listing = letters.list(wanted, limit or None)
    if form == "json":
        for one in listing.lines:
            typer.echo(json_line(one))
    elif listing.lines:
        wide = None if sys.stdout.isatty() else 200
        Console(highlight=False, width=wide).print(table_of(listing))
    for text in count_lines(listing):
        typer.echo(text, err=form == "json")


@app.command()
def show(
    at: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="Where it stands.")],
    *,
    unmasked: Annotated[bool, typer.Option("--unmasked", help="Show personal data as well.")] = False,
    usecase: UseCaseFile = None,
    config: ConfigFile = None,
    kafka: KafkaServers = None,
    kafka_properties: KafkaProperties = None,
    sets: Sets = None,
) -> None:
    """Show everything of one dead letter; personal data is masked."""
    partition, offset = place(at, "PARTITION:OFFSET")
    letters = _letters(config, usecase, kafka, kafka_properties, sets)
    from stream.workers.deadletters.showing import lines
    from stream.workers.deadletters.standing import Place

    standing = letters.at(Place(partition, offset))
    if unmasked:
        typer.echo("--unmasked: what follows may hold personal data", err=True)
    for text in lines(letters.definition, standing, unmasked=unmasked):
        typer.echo(text)


@app.command()
def replay(  # noqa: PLR0913  as above
    *,
    reason: Reasons = None,
    field: Fields = None,
    since: Since = None,
    until: Until = None,
    topic_partition: TopicPartition = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Not more than the first N of them.")
    ] = None,
    after: Annotated[
        str | None,
        typer.Option(metavar="PARTITION:OFFSET", help="Only what comes after it: where another one ended."),
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="TOPIC", help="To this topic, not to the one it came from.")
    ] = None,
    count_max: Annotated[
        int, typer.Option(metavar="N", min=1, help="A record is not replayed more often.")
    ] = 3,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be sent and what not, and why; send nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    usecase: UseCaseFile = None,
    config: ConfigFile = None,
    kafka: KafkaServers = None,
    kafka_properties: KafkaProperties = None,
    sets: Sets = None,
) -> None:
    """Send dead letters back to where they came from, as they came, once what was wrong is mended."""
    wanted = _wanted(reason, field, since, until, topic_partition)
    letters = _letters(config, usecase, kafka, kafka_properties, sets)
    from stream.workers.deadletters.replaying import ReplayPolicy, plan_lines, stay_lines
    from stream.workers.deadletters.standing import Place

    last = None if after is None else Place(*place(after, "--after"))
    plan = letters.plan(wanted, ReplayPolicy(to, count_max, last, limit))
    for text in plan_lines(plan) if dry_run else stay_lines(plan):
        typer.echo(text)
    destinations = ", ".join(f"{count:,} to {topic}" for topic, count in plan.destinations().items())
    typer.echo(f"{len(plan.going):,} go ({destinations or 'nowhere'}), {len(plan.staying):,} stay")
    if dry_run or not plan.going:
        return
    if not yes:
        _ask(len(plan.going))
    raise typer.Exit(run_replay(letters, plan))


def _ask(count: int) -> None:
    if not sys.stdin.isatty():
        typer.echo("nobody is there to be asked: give --yes to send them", err=True)
        raise typer.Exit(ExitCode.CONFIGURATION)
    if not typer.confirm(f"Send {count:,} dead letters?"):
        raise typer.Exit(ExitCode.OK)


def _wanted(
    reasons: list[str] | None,
    fields: list[str] | None,
    since: str | None,
    until: str | None,
    topic_partition: str | None,
) -> "Wanted":
    from stream.workers.deadletters.standing import Wanted

    source: tuple[str | None, int] | None = None
    if topic_partition is not None:
        topic, _, partition = topic_partition.rpartition(":")
        if not partition.isdecimal():
            raise typer.BadParameter(f"{topic_partition!r} is not [TOPIC:]N", param_hint="--topic-partition")
        source = (topic or None, int(partition))
    return Wanted(
        reasons=frozenset(reasons or ()),
        fields=frozenset(fields or ()),
        since=None if since is None else moment_ms(since, "--since"),
        until=None if until is None else moment_ms(until, "--until"),
        source=source,
    )


def _letters(
    config: ConfigFile,
    usecase: UseCaseFile,
    kafka: KafkaServers,
    kafka_properties: KafkaProperties,
    sets: Sets,
) -> "DeadLetters":
    settings = settings_from(config, sets, usecase=usecase, kafka=kafka, kafka_properties=kafka_properties)
    from stream.workers.deadletters.worker import DeadLetters

    return DeadLetters.of(settings)


def run_replay(letters: "DeadLetters", plan: "Plan") -> int:
    """Send them, and leave an account of it however it ends."""
    from stream.errors import Fatal
    from stream.workers.deadletters.replaying import account

    started: list[Replay] = []
    try:
        letters.replay(plan, started.append)
    except (KeyboardInterrupt, Fatal) as ended:
        for text in account(started[0], plan) if started else []:
            typer.echo(text, err=True)
        if isinstance(ended, Fatal):
            raise
        return INTERRUPTED
    for text in account(started[0], plan):
        typer.echo(text)
    return ExitCode.FAILED if started[0].too_large else ExitCode.OK
