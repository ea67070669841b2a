"""The train worker: labelled history from parquet files to a bundle, and into force when asked."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from features.definition import load_definition
from features.definition.model import Definition
from features.history import HistoryError, history_from_table
from models.deployment import deploy
from models.training.run import TrainingError, TrainOptions
from models.training.train import TrainResult, train_bundle
from stream.errors import ExitCode


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


def run(request: TrainRequest) -> int:
    """Train, and say what came of it.

    Raises `DefinitionError`, `HistoryError`, `TrainingError`, `BundleRefused`, `DeploymentError`, OSError.
    """
    console = Console(highlight=False)
    definition = load_definition(request.usecase)
    start, end = (parse_moment(definition, text) for text in (request.start, request.end))
    if start >= end:
        raise TrainingError(f"--to {request.end} is not after --from {request.start}", "It is left out")
    with console.status("reading history"):
        history = history_from_table(definition, read_tables(request.data))
    console.print(f"history: {len(history):,} events")
    with console.status("training") as status:
        result = train_bundle(
            definition,
            history,
            start,
            end,
            request.models,
            created_ms=time.time_ns() // 1_000_000,
            options=TrainOptions(
                version=request.version,
                seed=request.seed,
                lineage={"files": [path.name for path in request.data]},
            ),
            progress=lambda what, done, total: status.update(f"training: {what} {done}/{total}"),
        )
    for line in report(result):
        console.print(line, soft_wrap=True)
    if request.deploy:
        previous = deploy(request.models, result.version).previous
        console.print(f"champion: {result.version}, after {previous or 'none'}")
    return ExitCode.OK


def read_tables(paths: tuple[Path, ...]) -> pa.Table:
    """The files as one table. Raises `HistoryError` for what cannot be read, or has other columns."""
    tables: list[pa.Table] = []
    for path in paths:
        try:
            with path.open("rb") as file:
                tables.append(pq.read_table(file))
        except pa.ArrowInvalid as error:
            raise HistoryError(f"{path} is not a parquet file: {error}") from None
        except OSError as error:
            raise HistoryError(f"{path} cannot be read: {error.strerror}") from None
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        names = ", ".join(str(path) for path in paths)
        raise HistoryError(f"{names} do not hold the same columns: {error}") from None


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
        moment = datetime.fromisoformat(text)
    except ValueError:
        cause = f"{text!r} is neither a date nor an ISO 8601 time"
        raise TrainingError(cause, "Give YYYY-MM-DD, such as 2018-07-25") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1_000)


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
