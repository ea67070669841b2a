"""`riverrun demo`: prepares, starts the real workers, feeds and watches them, and settles the books."""

import tempfile
import uuid
from pathlib import Path

from rich.console import Console

from features.definition import DefinitionError
from features.past.history import HistoryError
from models.training.run import TrainingError
from stream.demo.interrupt import Interrupted, interruptible
from stream.demo.options import DemoError, DemoOptions, check
from stream.demo.phases import Phases
from stream.demo.prepare import Prepared, load_history, prepare
from stream.demo.remains import rows_removed
from stream.demo.served import predictions_table
from stream.demo.servers import servers
from stream.demo.session import Result, score
from stream.demo.summary import Summary, final_table, problems, write_predictions, write_summary
from stream.demo.topology import topology_of
from stream.demo.training import measure
from stream.demo.usecase import load_usecase
from stream.demo.view import View, view_on
from stream.errors import ConfigurationError, ExitCode, Fatal, Retryable

INTERRUPTED = 130


def run(options: DemoOptions) -> int:
    """Returns the exit code: 0 only where nothing was lost or doubled, and every worker drained."""
    console = Console()
    try:
        check(options)
        with interruptible(), tempfile.TemporaryDirectory(prefix="riverrun-demo-") as directory:
            return _run(options, Path(directory), console)
    except (DemoError, DefinitionError, HistoryError, TrainingError, ConfigurationError) as error:
        return _refuse(console, error, ExitCode.CONFIGURATION)
    except (Fatal, Retryable) as error:
        return _refuse(console, error, ExitCode.FATAL)
    except (Interrupted, KeyboardInterrupt):
        return _refuse(console, "interrupted; workers and servers are stopped", INTERRUPTED)


def _run(options: DemoOptions, directory: Path, console: Console) -> int:
    phases = Phases()
    usecase = load_usecase(options, uuid.uuid4().hex[:8], directory)
    with view_on(console, f"riverrun demo: {usecase.title}") as view:
        prepared = prepare(options, usecase, directory, view, phases)
        with servers(options, directory) as found:
            topology = topology_of(prepared, found, directory)
            with rows_removed(prepared.definition, topology.redis, found):
                if prepared.plan.in_store:
                    with phases.phase("history"):
                        load_history(prepared, topology.redis, view)
                result = score(options, prepared, found, topology, directory, view, phases)
        if found.own_kafka is None:
            view.say(f"left on Kafka to look at: {topology.events}, {topology.predictions}, …")
        summary = _settle(prepared, result, view, phases)
    _write(options, prepared, result, summary, phases)
    console.print(final_table(summary))
    for problem in summary.problems:
        console.print(f"FAILED: {problem}", style="red", markup=False, highlight=False, soft_wrap=True)
    for name, log in result.logs.items():
        console.print(f"the end of {name}'s log:\n{log}", markup=False, highlight=False, soft_wrap=True)
    return ExitCode.FAILED if summary.problems else ExitCode.OK


def _settle(prepared: Prepared, result: Result, view: View, phases: Phases) -> Summary:
    view.step("evaluation", 0, 1)
    with phases.phase("evaluate"):
        metrics = measure(prepared.definition, prepared.plan, result.ear.served)
    return Summary(
        use_case=prepared.usecase.title,
        account=result.account,
        snapshot=result.board.snapshot(result.ear.last_s),
        scoring_s=result.scoring_s,
        latencies_ms=result.ear.latencies_ms,
        seconds=phases.seconds,
        metrics=metrics,
        model_version=prepared.version,
        problems=problems(
            result.account,
            exit_codes=result.exit_codes,
            dead=result.dead,
            is_mended=result.is_mended,
            is_read=result.is_read,
            unreadable=result.ear.unreadable,
        ),
    )


def _write(
    options: DemoOptions, prepared: Prepared, result: Result, summary: Summary, phases: Phases
) -> None:
    if options.predictions is not None:
        with phases.phase("write"):
            write_predictions(predictions_table(prepared.definition, result.ear.served), options.predictions)
    if options.summary is not None:
        write_summary(summary, options.summary)


def _refuse(console: Console, why: object, code: int) -> int:
    console.print(f"riverrun demo: {why}", markup=False, highlight=False, soft_wrap=True)
    return code
