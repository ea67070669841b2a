"""The train worker: labelled history from parquet files to a bundle, and into force when asked."""

from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from features.definition import load_definition
from features.definition.model import Definition
from features.past.history import history_from_table
from models.deployment import deploy
from models.training.run import TrainingError, TrainOptions
from models.training.train import TrainResult, train_bundle
from stream.clock import moment_ms, now_ms
from stream.errors import ExitCode
from stream.workers.lookups import read_lookups
from stream.workers.tables import read_tables


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """One training run."""

    usecase: Path
    data: tuple[Path, ...]
    """Parquet files of the same columns, read one after the other."""
    start: str
    """The first event time that trains, and `end` the first that does not: dates or ISO 8601 times (UTC
    unless they say otherwise), or numbers of the sequence where the use case has no clock."""
    end: str
    models: Path
    version: str | None
    seed: int
    deploy: bool
    lookups: tuple[str, ...] = ()
    """Files of lookups, as `stream.workers.lookups.read_lookups` takes them."""


def run(request: TrainRequest) -> int:
    """Train, and say what came of it.

    Raises `DefinitionError`, `HistoryError`, `LookupTableError`, `ConfigurationError`, `TrainingError`,
    `BundleRefused`, `DeploymentError`, OSError.
    """
    console = Console(highlight=False)
    definition = load_definition(request.usecase)
    start, end = (parse_moment(definition, text) for text in (request.start, request.end))
    if start >= end:
        raise TrainingError(f"--to {request.end} is not after --from {request.start}", "It is left out")
    with console.status("reading history"):
        lookups = read_lookups(definition, request.lookups)
        history = replace(history_from_table(definition, read_tables(request.data)), lookups=lookups)
    console.print(f"history: {len(history):,} events")
    with console.status("training") as status:
        result = train_bundle(
            definition,
            history,
            start,
            end,
            request.models,
            created_ms=now_ms(),
            options=TrainOptions(
                version=request.version,
                seed=request.seed,
                lineage={
                    "files": [path.name for path in request.data],
                    "lookups": [Path(text.partition("=")[2]).name for text in request.lookups],
                },
            ),
            progress=lambda what, done, total: status.update(f"training: {what} {done}/{total}"),
        )
    for line in report(result):
        console.print(line, soft_wrap=True)
    if request.deploy:
        previous = deploy(request.models, result.version).previous
        console.print(f"champion: {result.version}, after {previous or 'none'}")
    return ExitCode.OK


def parse_moment(definition: Definition, text: str) -> int:
    """A point in the definition's time unit. Raises `TrainingError`."""
    if definition.time.is_sequence:
        try:
            return int(text)
        except ValueError:
            cause = (
                f"{text!r} is not a number, and {definition.name} counts events by {definition.time.field}"
            )
            raise TrainingError(cause, "Give a number of the sequence, such as 100") from None
    try:
        return moment_ms(text)
    except ValueError:
        cause = f"{text!r} is neither a date nor an ISO 8601 time"
        raise TrainingError(cause, "Give YYYY-MM-DD, such as 2018-07-25") from None


def report(result: TrainResult) -> list[str]:
    """What came of a training run, for people."""
    held_out = result.held_out
    lines = [
        f"bundle:   {result.path}",
        f"version:  {result.version}",
        f"digest:   {result.digest}",
        f"trained:  on {result.events:,} labelled events",
    ]
    if not held_out.metrics:
        return [*lines, "held out: nothing, because too little is left to measure on"]
    lines.append(f"held out: {held_out.events:,} labelled events ({held_out.split.replace('_', ' ')})")
    return [*lines, *(f"  {name:<32} {value:.4f}" for name, value in held_out.metrics.items())]
