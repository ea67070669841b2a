"""The run in figures: for people at the end of the view, for programs as JSON."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.table import Table

from stream.demo.board import Snapshot
from stream.demo.ledger import Account, percentiles
from stream.demo.view import counts


@dataclass(frozen=True, slots=True)
class Summary:
    """What `--summary` holds."""

    use_case: str
    account: Account
    snapshot: Snapshot
    scoring_s: float
    """From the first event sent to the last prediction read."""
    latencies_ms: Sequence[float]
    """Of each event, from its record's timestamp to the arrival of its prediction at a reader."""
    seconds: Mapping[str, float]
    """By phase of the demo."""
    metrics: Mapping[str, float]
    model_version: str
    problems: Sequence[str]
    """Why the run counts as failed, one sentence each."""

    def as_data(self) -> dict[str, Any]:
        """Plain JSON data; a figure that cannot be computed is null."""
        account, snapshot = self.account, self.snapshot
        p50, p99 = percentiles(self.latencies_ms, (50, 99))
        return {
            "use_case": self.use_case,
            "events": account.events,
            "predictions": account.predictions,
            "dead_letters": account.dead_letters,
            "duplicates": account.duplicates,
            "lost": account.lost,
            "fallbacks": dict(sorted(snapshot.fallbacks.items())),
            "throughput_eps": _plain(self.throughput_eps),
            "latency_ms": {"p50": _plain(p50), "p99": _plain(p99)},
            "seconds": {phase: round(seconds, 3) for phase, seconds in self.seconds.items()},
            **{name: _plain(value) for name, value in self.metrics.items()},
            "decisions": dict(snapshot.decisions),
            "sources": dict(snapshot.sources),
            "degradations": dict(sorted(snapshot.causes.items())),
            "poison": account.poison,
            "model_version": self.model_version,
            "problems": list(self.problems),
        }

    @property
    def throughput_eps(self) -> float:
        """Predicted events a second while scoring."""
        return self.snapshot.answered / self.scoring_s if self.scoring_s > 0 else math.nan


def write_summary(summary: Summary, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(summary.as_data(), indent=2, allow_nan=False) + "\n", "utf-8")


def write_predictions(table: pa.Table, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd")


def final_table(summary: Summary) -> Table:
    """What a person reads last; fits 80 columns."""
    account, snapshot = summary.account, summary.snapshot
    p50, p99 = percentiles(summary.latencies_ms, (50, 99))
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("events", f"{account.events:,}   lost {account.lost:,}   doubled {account.duplicates:,}")
    table.add_row("dead letters", f"{account.dead_letters:,} of {account.poison:,} poison records")
    table.add_row("speed", f"{summary.throughput_eps:,.0f} events/s, p50 {p50:,.0f} ms, p99 {p99:,.0f} ms")
    table.add_row("answered by", counts(snapshot.sources))
    table.add_row("decisions", counts(snapshot.decisions))
    table.add_row("degraded", counts(snapshot.causes) or "none")
    for name, value in summary.metrics.items():
        if not name.endswith("_protocol"):
            within = summary.metrics.get(f"{name}_protocol", math.nan)
            table.add_row(name, f"{_figure(value)}   by protocol {_figure(within)}")
    table.add_row("seconds", ", ".join(f"{phase} {value:.1f}" for phase, value in summary.seconds.items()))
    return table


def problems(
    account: Account,
    *,
    exit_codes: Mapping[str, int],
    dead: Sequence[str],
    is_mended: bool,
    is_read: bool,
    unreadable: int,
) -> list[str]:
    """Why the run counts as failed, a sentence each.

    exit_codes: of the workers after SIGTERM. dead: workers that had ended before. is_read: whether the
    output topics were read to their ends. unreadable: messages there that are no predictions.
    """
    found = [
        (account.lost, "events without a prediction"),
        (account.duplicates, "events predicted more than once"),
        (account.poison_missing, "poison records without a dead letter"),
        (account.poison_changed, "dead letters that differ from what was sent"),
        (account.strangers, "predictions or dead letters that belong to no such record"),
        (unreadable, "messages that are no predictions"),
    ]
    sentences = [f"{count:,} {what}" for count, what in found if count]
    sentences += [f"worker {name} ended by itself" for name in dead]
    sentences += [
        f"worker {name} did not drain: exit code {code}" for name, code in exit_codes.items() if code
    ]
    if not is_read:
        sentences.append("the predictions could not be read to their end")
    if not is_mended:
        sentences.append("what was broken did not recover")
    return sentences


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _figure(value: float) -> str:
    return f"{value:,.3f}" if math.isfinite(value) else "-"
