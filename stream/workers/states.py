"""The states that a materialize worker keeps: those that what is deployed needs, as that changes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from features.definition.model import Definition
from models.deployment import DEPLOYMENT
from stream.config import Settings
from stream.engine.deployments import Change, DeploymentWatcher, Identity, identity, read_and_load
from stream.engine.states import needed

log = structlog.get_logger()


@dataclass(slots=True)
class DeployedStates:
    """Turns deployments into definitions whose states are needed. First `first`, then `follow`."""

    settings: Settings
    fallback: Definition
    """The use case file's, for the time without a usable bundle."""
    _seen: Identity = None
    _needed: tuple[Definition, ...] = ()

    def first(self) -> Sequence[Definition]:
        """Those needed now, the champion's first; the file's where nothing usable is deployed."""
        if self.settings.models is not None:
            self._seen = identity(self.settings.models)
            self._take(read_and_load(self.settings.models))
        self._needed = self._needed or (self.fallback,)
        return self._needed

    def follow(self, want: Callable[[Sequence[Definition]], None]) -> DeploymentWatcher | None:
        """Tell what is needed after every deployment; None where nothing can be deployed."""

        def on_change(change: Change) -> None:
            self._take(change)
            want(self._needed)

        models = self.settings.models
        return DeploymentWatcher(models, self._seen, on_change) if models is not None else None

    def _take(self, change: Change) -> None:
        for problem in change.problems:
            log.warning("bundle_refused", problem=problem)
        if change.loaded is None:
            return
        champion = change.loaded.champion
        if champion is not None and champion.definition.name != self.fallback.name:
            log.warning(
                "bundle_refused",
                problem=f"{champion.path}: is of use case {champion.definition.name}, "
                f"and {self.fallback.name} is materialized here; see {DEPLOYMENT}",
            )
        self._needed = tuple(needed(change.loaded, self._needed, self.fallback))
