"""Follow `deployment.json`: notice a change, load and verify off the hot path, hand over when ready."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from models.deployment import DEPLOYMENT, DeploymentError, read_deployment
from stream.engine.serving import Loaded, load_deployed

INTERVAL_S = 0.5

Identity: TypeAlias = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class Change:
    """A deployment was read anew."""

    loaded: Loaded | None
    """None where it could not be read."""
    problems: tuple[str, ...]
    """Why it, or a bundle it names, is not here."""


class DeploymentWatcher:
    """A thread that loads what is deployed next; the worker takes it between two batches."""

    def __init__(
        self,
        models: Path,
        seen: Identity,
        on_change: Callable[[Change], None],
        on_look: Callable[[], None] = lambda: None,
    ) -> None:
        """seen: `identity` from before the deployment in force was read, so that no change slips through.

        on_change: called in the watcher's thread with each change; keep what it brings for the worker.
        on_look: called in that thread whenever it has looked, every `INTERVAL_S`.
        """
        self._models = models
        self._on_change = on_change
        self._on_look = on_look
        self._stopped = threading.Event()
        self._seen = seen
        self._thread = threading.Thread(target=self._run, name="deployments", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(INTERVAL_S):
            found = identity(self._models)
            if found != self._seen:
                self._seen = found
                self._on_change(read_and_load(self._models))
            self._on_look()


def read_and_load(models: Path) -> Change:
    """Read the deployment and load what it names."""
    try:
        deployment = read_deployment(models)
    except DeploymentError as error:
        return Change(None, (str(error),))
    try:
        loaded = load_deployed(models, deployment)
    except Exception as error:  # noqa: BLE001  whatever a bundle makes a library do, the worker goes on without it
        return Change(None, (f"{models}: {deployment.champion}: {type(error).__name__}: {error}",))
    return Change(loaded, loaded.refused)


def identity(models: Path) -> Identity:
    """What changes when the file is replaced; None while there is none."""
    try:
        status = (models / DEPLOYMENT).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
