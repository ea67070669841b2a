"""What a person sees while the demo runs: a live view in a terminal, lines without one."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stream.demo.board import Alert, Snapshot

PLAIN_EVERY_S = 2.0
_SOURCE_STYLES = {"model": "green", "previous": "yellow", "rules": "magenta"}


class View(Protocol):
    """Told what happens; called from one thread."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def say(self, text: str) -> None:
        """Something that happened once, and stays on the screen."""
        ...

    def step(self, what: str, done: int, total: int) -> None:
        """How far the preparation called `what` is."""
        ...

    def show(self, snapshot: Snapshot) -> None:
        """How the scoring goes now."""
        ...


def view_on(console: Console, title: str) -> View:
    """The view that suits the console."""
    return LiveView(console, title) if console.is_terminal else PlainView(console)


class LiveView:
    """Redraws its place at the bottom of the terminal; what was said stays above."""

    def __init__(self, console: Console, title: str) -> None:
        self._console, self._title = console, title
        self._started_s = time.monotonic()
        # Not refreshed by a thread of its own: it is drawn when there is something new, which cannot flicker.
        self._live = Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop")

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def say(self, text: str) -> None:
        self._console.print(Text.assemble((f"{self._elapsed_s:6.1f} s  ", "dim"), text))

    def step(self, what: str, done: int, total: int) -> None:
        bar = Table.grid(padding=(0, 1), expand=True)
        bar.add_column(no_wrap=True)
        bar.add_column(ratio=1)
        bar.add_row(f"{what}", ProgressBar(total=max(total, 1), completed=done))
        self._live.update(bar, refresh=True)

    def show(self, snapshot: Snapshot) -> None:
        self._live.update(render(snapshot, self._title, self._elapsed_s), refresh=True)

    @property
    def _elapsed_s(self) -> float:
        return time.monotonic() - self._started_s


class PlainView:
    """A line every two seconds, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started_s = time.monotonic()
        self._shown_s = 0.0
        self._what = ""
        self._alert: Alert | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def say(self, text: str) -> None:
        elapsed_s = time.monotonic() - self._started_s
        self._console.print(f"{elapsed_s:6.1f} s  {text}", markup=False, highlight=False, soft_wrap=True)

    def step(self, what: str, done: int, total: int) -> None:
        if what != self._what or self._is_due():
            self._what, self._shown_s = what, time.monotonic()
            self.say(what if total <= 1 else f"{what}: {done:,} of {total:,}")

    def show(self, snapshot: Snapshot) -> None:
        if not self._is_due():
            return
        self.say(line(snapshot))
        if snapshot.alerts and snapshot.alerts[0] != self._alert:
            self._alert = snapshot.alerts[0]
            self.say("alert: " + "  ".join(part for part in alert_cells(self._alert) if part))

    def _is_due(self) -> bool:
        now_s = time.monotonic()
        if now_s - self._shown_s < PLAIN_EVERY_S:
            return False
        self._shown_s = now_s
        return True


def render(snapshot: Snapshot, title: str, elapsed_s: float) -> RenderableType:
    """The live view at one moment; never wider than the console."""
    done = snapshot.answered / max(snapshot.events, 1)
    head = Table.grid(padding=(0, 1), expand=True)
    head.add_column(no_wrap=True, overflow="ellipsis")
    head.add_column(ratio=1)
    head.add_column(justify="right", no_wrap=True)
    head.add_row(
        Text(title, style="bold"),
        ProgressBar(total=max(snapshot.events, 1), completed=snapshot.answered),
        f"{snapshot.answered:,} of {snapshot.events:,} ({done:.0%}), {elapsed_s:.0f} s",
    )
    facts = Table.grid(padding=(0, 1))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(no_wrap=True, overflow="ellipsis")
    facts.add_row("speed", speed(snapshot))
    facts.add_row("decisions", counts(snapshot.decisions))
    facts.add_row("answered by", styled_counts(snapshot))
    facts.add_row("degraded", counts(snapshot.causes) or "none")
    facts.add_row(
        "books",
        f"waiting {max(0, snapshot.sent - snapshot.answered):,}   doubled {snapshot.duplicates:,}   "
        f"dead letters {snapshot.dead_letters:,}",
    )
    return Group(head, facts, alerts_table(snapshot))


def alerts_table(snapshot: Snapshot) -> RenderableType:
    table = Table(box=None, expand=True, padding=(0, 1), title_justify="left", title="last alerts")
    for name in ("event", "fields", "decision", "score"):
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    table.add_column("reasons", no_wrap=True, overflow="ellipsis", ratio=1)
    for alert in snapshot.alerts:
        style = _SOURCE_STYLES.get(alert.source, "")
        event, fields, decision, score, reasons = alert_cells(alert)
        table.add_row(event, fields, Text(decision, style=style), score, reasons)
    return table


def alert_cells(alert: Alert) -> tuple[str, str, str, str, str]:
    fields = ", ".join(f"{name} {value}" for name, value in alert.included.items())
    return alert.event_id, fields, alert.decision, alert.score, ", ".join(alert.reasons)


def line(snapshot: Snapshot) -> str:
    """The snapshot in one line."""
    parts = [
        f"{snapshot.answered:,} of {snapshot.events:,}",
        speed(snapshot),
        counts(snapshot.decisions),
        "by " + (counts(snapshot.sources) or "nobody yet"),
    ]
    if snapshot.causes:
        parts.append("degraded: " + counts(snapshot.causes))
    if snapshot.dead_letters or snapshot.duplicates:
        parts.append(f"dead letters {snapshot.dead_letters:,}, doubled {snapshot.duplicates:,}")
    return " | ".join(part for part in parts if part)


def speed(snapshot: Snapshot) -> str:
    if snapshot.p50_ms != snapshot.p50_ms:
        return "no prediction in the last seconds"
    return f"{snapshot.rate:,.0f} events/s, p50 {snapshot.p50_ms:,.0f} ms, p99 {snapshot.p99_ms:,.0f} ms"


def counts(counted: Mapping[str, int]) -> str:
    """The largest first."""
    return ", ".join(
        f"{name} {count:,}" for name, count in sorted(counted.items(), key=lambda item: -item[1])
    )


def styled_counts(snapshot: Snapshot) -> Text:
    return Text("   ").join(
        Text(f"{name} {count:,}", style=_SOURCE_STYLES.get(name, ""))
        for name, count in snapshot.sources.items()
    )
