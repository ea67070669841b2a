"""Follow `deployment.json`: notice a change, load and verify off the hot path, hand over when ready."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models.deployment import DEPLOYMENT, DeploymentError, read_deployment
from stream.engine.serving import Loaded, load_deployed

INTERVAL_S = 0.5


@dataclass(frozen=True, slots=True)
class Change:
    """A deployment was read anew."""

    loaded: Loaded | None
    """None where it could not be read."""
    problems: tuple[str, ...]
    """Why it, or a bundle it names, is not here."""


class DeploymentWatcher:
    """A thread that loads what is deployed next; the worker takes it between two batches."""

    def __init__(self, models: Path, on_change: Callable[[Change], None]) -> None:
        """on_change: called in the watcher's thread with each change; keep what it brings for the worker."""
        self._models = models
        self._on_change = on_change
        self._stopped = threading.Event()
        self._seen = _identity(models)
        self._thread = threading.Thread(target=self._run, name="deployments", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(INTERVAL_S):
            identity = _identity(self._models)
            if identity != self._seen:
                self._seen = identity
                self._on_change(read_and_load(self._models))


def read_and_load(models: Path) -> Change:
    """Read the deployment and load what it names."""
    try:
        deployment = read_deployment(models)
    except DeploymentError as error:
        return Change(None, (str(error),))
    loaded = load_deployed(models, deployment)
    return Change(loaded, loaded.refused)


def _identity(models: Path) -> tuple[int, int, int] | None:
    """What changes when the file is replaced; None while there is none."""
    try:
        status = (models / DEPLOYMENT).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
