"""How far a long piece of work is: a bar on a terminal, plain lines elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Advance: TypeAlias = Callable[[int], None]
"""Is told how many more are done."""
LINES = 10
"""Without a terminal, a line for each such part of the work."""


@contextmanager
def progress(console: Console, what: str, total: int) -> Iterator[Advance]:
    """Yields what is told how many more of `total` are done."""
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda more: bar.update(task, advance=more)
        return
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        said, done = done * LINES // max(total, 1), done + more
        if done * LINES // max(total, 1) > said:
            console.print(f"{what}: {done:,} of {total:,}")

    yield advance
