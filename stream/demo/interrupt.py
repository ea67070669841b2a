"""Ctrl-C, noticed for certain."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):
    """Somebody pressed Ctrl-C."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Raises `Interrupted` where SIGINT came, whatever became of its KeyboardInterrupt on the way.

    C code that runs Python under way may make another error of it: configuring a Kafka client does.
    Enter it in the main thread.
    """
    came = False

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        signal.default_int_handler(number, frame)

    before = signal.signal(signal.SIGINT, on_signal)
    try:
        yield
    except BaseException as error:
        if came and isinstance(error, Exception | KeyboardInterrupt):
            raise Interrupted from error
        raise
    finally:
        signal.signal(signal.SIGINT, before)
