"""What a person may ask of `riverrun demo`, parsed once into a frozen value."""

import os
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal, TypeAlias, get_args

Fault: TypeAlias = Literal["redis", "model", "poison"]
FAULTS: tuple[str, ...] = get_args(Fault)

DEFAULT_SPEED = 1500.0
"""Events per second: well below what two slow cores score, so that latency is not a queue's length."""


class DemoError(Exception):
    """The demo cannot run as asked. The text says what is wrong and how to mend it."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """One run of the demo. Dates count from UTC midnight, `from` included and `to` excluded."""

    usecase: str = "fraud"
    """A name that ships with riverrun (`fraud`, `maintenance/remaining_life`) or a path to a YAML file."""
    transactions: Path | None = None
    """Real events to use instead of a simulator's."""
    train_from: date | None = None
    train_to: date | None = None
    score_from: date | None = None
    score_to: date | None = None
    kafka: str | None = None
    """`HOST:PORT` of a real Kafka; None hosts one in this process."""
    redis: str | None = None
    """URL of a real Redis; None starts one that lives as long as the demo."""
    speed: float | None = DEFAULT_SPEED
    """Events per second, open loop; None is as fast as the workers follow."""
    fault: Fault | None = None
    """What breaks midway (`--break`)."""
    summary: Path | None = None
    predictions: Path | None = None
    events: Path | None = None
    """Where all events go as a file, before any is sent: history as `riverrun train` takes it."""
    seed: int = 0


def parse_speed(text: str) -> float | None:
    """Events per second; None for ``max``. Raises `DemoError`."""
    if text.strip().lower() == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise DemoError(f"--speed {text}: not a rate; give 'max' or events per second, such as 1500")
    return speed


def parse_day(flag: str, text: str | None) -> date | None:
    """A date as ``YYYY-MM-DD``. Raises `DemoError`."""
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise DemoError(f"{flag} {text}: not a date; give YYYY-MM-DD, such as 2018-08-08") from None


def parse_fault(text: str | None) -> Fault | None:
    """One of `FAULTS`. Raises `DemoError`."""
    for fault in get_args(Fault):
        if text == fault:
            return fault  # type: ignore[no-any-return]  # get_args forgets the literal's type
    if text is None:
        return None
    raise DemoError(f"--break {text}: no such fault; give one of {', '.join(FAULTS)}")


def check(options: DemoOptions) -> None:
    """Raises `DemoError` for options that contradict each other, or ask for files nobody can write."""
    days = (options.train_from, options.train_to, options.score_from, options.score_to)
    if any(day is not None for day in days) and options.transactions is None:
        raise DemoError(
            "--train-from, --train-to, --score-from and --score-to choose days of a file: "
            "give --transactions FILE too, or leave them out"
        )
    if options.fault == "redis" and options.redis is not None:
        raise DemoError(
            "--break redis kills the Redis server, and the one at --redis is not ours to kill: "
            "leave out --redis, or choose another fault"
        )
    for flag, path in (("--summary", options.summary), ("--predictions", options.predictions)):
        if path is not None:
            _check_writable(flag, path)
    for flag, start, end in (("train", *days[:2]), ("score", *days[2:])):
        if start is not None and end is not None and start >= end:
            raise DemoError(
                f"--{flag}-to {end} is not after --{flag}-from {start}; it is the first day left out"
            )


def _check_writable(flag: str, path: Path) -> None:
    """Before the run and not after it."""
    if path.is_dir():
        raise DemoError(f"{flag} {path}: is a directory; name a file in it")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise DemoError(f"{flag} {path}: {folder} is no directory that can be written to")
