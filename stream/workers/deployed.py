"""What a score worker serves with: first at start, then whatever is deployed while it runs."""

from dataclasses import dataclass
from pathlib import Path

import structlog

from features.definition.model import Definition
from models.deployment import DeploymentError, read_deployment
from stream.config import Settings
from stream.engine.deployments import Change, DeploymentWatcher, Identity, identity
from stream.engine.loop import ScoreLoop
from stream.engine.serving import Loaded, Serving, build_serving, can_follow, load_deployed
from stream.errors import ConfigurationError, SettingProblem
from stream.metrics import ScoreMetrics
from stream.pipeline.encode import MESSAGE_BYTES_MIN

log = structlog.get_logger()

ENVELOPE_BYTES = 4_096
"""Room for a prediction's key and headers beside its value."""
MESSAGE_BYTES_MAX = 1_000_000
"""librdkafka's default."""


@dataclass(slots=True)
class Deployed:
    """Turns deployments into what is served."""

    settings: Settings
    fallback: Definition
    """The use case file's, for the time without a usable bundle."""
    _seen: Identity = None

    def first(self) -> Serving:
        """What to start with. A bundle that cannot be used is said loudly, and others or the rules answer."""
        loaded = Loaded(None, None, ())
        if self.settings.models is not None:
            self._seen = identity(self.settings.models)
            try:
                loaded = load_deployed(self.settings.models, read_deployment(self.settings.models))
            except DeploymentError as error:
                log.error("no_deployment", problem=str(error), answering="rules")
        for problem in loaded.refused:
            log.error("bundle_refused", problem=problem)
        serving = self.serving(loaded)
        if serving.definition.name != self.fallback.name:
            cause = (
                f"what is deployed is of use case {serving.definition.name}, the file of {self.fallback.name}"
            )
            mend = "point usecase and models at the same use case"
            origin = self.settings.origin("models")
            raise ConfigurationError([SettingProblem("models", origin, cause, mend)])
        return serving

    def serving(self, loaded: Loaded) -> Serving:
        """Everything worked out from what was loaded."""
        given = self.settings.kafka.properties.get("message.max.bytes")
        bytes_max = int(given.get_secret_value()) if given else MESSAGE_BYTES_MAX
        if bytes_max < ENVELOPE_BYTES + MESSAGE_BYTES_MIN:
            key, least = "kafka.properties.message.max.bytes", ENVELOPE_BYTES + MESSAGE_BYTES_MIN
            cause = f"{bytes_max} bytes are too few for a prediction with its key and headers"
            problem = SettingProblem(key, self.settings.origin(key), cause, f"give it {least} or more")
            raise ConfigurationError([problem])
        serving = build_serving(
            loaded,
            self.fallback,
            future_limit_ms=self.settings.future_limit_ms,
            message_bytes_max=bytes_max - ENVELOPE_BYTES,
        )
        answerers = serving.answerers
        log.info(
            "serving",
            champion=answerers.champion.version if answerers.champion else None,
            previous=answerers.previous.version if answerers.previous else None,
            features=serving.definition.fingerprints.features[:12],
            state=serving.definition.fingerprints.state[:12],
        )
        return serving

    def follow(
        self, models: Path, first: Serving, loop: ScoreLoop, metrics: ScoreMetrics
    ) -> DeploymentWatcher:
        """Serve what is deployed from now on; what is refused leaves everything as it is."""

        def on_change(change: Change) -> None:
            loaded, problems = change.loaded, list(change.problems)
            champion = loaded.champion if loaded else None
            if champion is not None and not can_follow(champion.definition, first.definition):
                cause = (
                    "is of another use case, needs other rows, or has another task or label than is served"
                )
                problems.append(f"{champion.path}: {cause}. Start workers anew with it")
                champion = None
            for problem in problems:
                log.error("bundle_refused", problem=problem)
            metrics.refused(len(problems))
            if loaded is not None and champion is not None:
                loop.serve(self.serving(loaded))

        return DeploymentWatcher(models, self._seen, on_change)
