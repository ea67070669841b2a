"""What a score worker serves with: first at start, then whatever is deployed while it runs."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import structlog

from features.definition.model import Definition
from models.compiled.cache import Cache
from models.deployment import DeploymentError, read_deployment
from stream.clock import monotonic_ms
from stream.config import Settings, compiled_cache
from stream.engine.deployments import Change, DeploymentWatcher, Identity, identity
from stream.engine.lacking import Lacking
from stream.engine.loop import ScoreLoop
from stream.engine.serving import (
    Loaded,
    Serving,
    begin_with,
    build_serving,
    can_follow,
    load_deployed,
    shares_rows,
    with_champion,
)
from stream.errors import ConfigurationError, Retryable, SettingProblem
from stream.metrics import ScoreMetrics
from stream.pipeline.encode import MESSAGE_BYTES_MIN
from stream.workers.compiling import Compiling

log = structlog.get_logger()

ENVELOPE_BYTES = 4_096
"""Room for a prediction's key and headers beside its value."""
MESSAGE_BYTES_MAX = 1_000_000
"""librdkafka's default."""
SAY_EVERY_MS = 30_000

LookAtRows: TypeAlias = Callable[[Definition, Definition | None], Lacking]
"""What the rows of the first definition lack, to replace those of the second. Raises `Retryable`."""


@dataclass(slots=True)
class Deployed:
    """Turns deployments into what is served. First `first`, then `follow`."""

    settings: Settings
    fallback: Definition
    """The use case file's, for the time without a usable bundle."""
    look_at_rows: LookAtRows
    _seen: Identity = None
    _in_force: Serving | None = None
    _waiting: Serving | None = None
    """Served as soon as its rows are whole."""
    _said_ms: int | None = None
    """When it was last said that it waits."""
    _compiling: Compiling | None = field(init=False)

    def __post_init__(self) -> None:
        mode = self.settings.model.compiled
        cache = None if mode == "off" else Cache(compiled_cache(self.settings))
        self._compiling = Compiling(cache, makes=mode == "auto") if cache else None

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
        chosen, later = begin_with(loaded, self._is_whole)
        serving = self._in_force = self.serving(chosen)
        if serving.definition.name != self.fallback.name:
            cause = (
                f"what is deployed is of use case {serving.definition.name}, the file of {self.fallback.name}"
            )
            mend = "point usecase and models at the same use case"
            origin = self.settings.origin("models")
            raise ConfigurationError([SettingProblem("models", origin, cause, mend)])
        self._waiting = self.serving(later) if later else None
        _say("serving", serving)
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
        if self._compiling:
            loaded = replace(loaded, champion=self._compiling.at_once(loaded.champion))
        return build_serving(
            loaded,
            self.fallback,
            future_limit_ms=self.settings.future_limit_ms,
            message_bytes_max=bytes_max - ENVELOPE_BYTES,
        )

    def follow(self, models: Path, loop: ScoreLoop, metrics: ScoreMetrics) -> DeploymentWatcher:
        """Serve what is deployed from now on; what is refused leaves everything as it is."""

        def on_change(change: Change) -> None:
            loaded, problems = change.loaded, list(change.problems)
            champion = loaded.champion if loaded else None
            if champion is not None and not self._can_follow(champion.definition):
                cause = (
                    "is of another use case, task, label, id or time than is served, "
                    "or reads other fields into the same rows"
                )
                problems.append(f"{champion.path}: {cause}. Start workers anew with it")
                champion = None
            for problem in problems:
                log.error("bundle_refused", problem=problem)
            metrics.refused(len(problems))
            if loaded is not None and champion is not None:
                self._succeed(self.serving(loaded), loop)

        def on_look() -> None:
            waiting = self._waiting
            lacks = self._lacking(waiting) if waiting is not None else None
            if waiting is not None and lacks is not None and lacks.whole:
                self._hand_over(waiting, loop)
            metrics.waits({_version(w): lacks.records if lacks else 0 for w in [self._waiting] if w})
            champion = self._current.answerers.champion
            compiled = self._compiling.look(champion) if self._compiling else None
            if compiled is not None:
                self._in_force = with_champion(self._current, compiled)
                loop.serve(self._in_force)

        return DeploymentWatcher(models, self._seen, on_change, on_look)

    def close(self) -> None:
        """When nothing is followed any more."""
        if self._compiling:
            self._compiling.close()

    def _can_follow(self, definition: Definition) -> bool:
        """What waits has rows already, which are filled by its definition."""
        there = [self._current, *([self._waiting] if self._waiting else [])]
        return all(can_follow(definition, serving.definition) for serving in there)

    def _succeed(self, serving: Serving, loop: ScoreLoop) -> None:
        if shares_rows(serving.definition, self._current.definition):
            self._hand_over(serving, loop)
        else:
            self._waiting, self._said_ms = serving, None

    def _hand_over(self, serving: Serving, loop: ScoreLoop) -> None:
        self._in_force, self._waiting = serving, None
        _say("serving", serving)
        loop.serve(serving)

    def _lacking(self, waiting: Serving) -> Lacking | None:
        """What its rows lack, said now and then; None where that is not known."""
        problem, lacks = None, None
        try:
            lacks = self.look_at_rows(waiting.definition, self._current.definition)
        except Retryable as error:
            problem = str(error)
        now = monotonic_ms()
        due = self._said_ms is None or now - self._said_ms >= SAY_EVERY_MS
        if due and (lacks is None or not lacks.whole):
            self._said_ms = now
            _say("waiting_for_rows", waiting, partitions=asdict(lacks) if lacks else None, problem=problem)
        return lacks

    def _is_whole(self, definition: Definition, replaced: Definition) -> bool:
        try:
            return self.look_at_rows(definition, replaced).whole
        except Retryable as error:
            log.warning("rows_unknown", problem=str(error), state=definition.fingerprints.state[:12])
            return False

    @property
    def _current(self) -> Serving:
        assert self._in_force is not None, "ask for the first one first"
        return self._in_force


def _version(serving: Serving) -> str:
    champion = serving.answerers.champion
    return champion.version if champion else "rules"


def _say(event: str, serving: Serving, **more: object) -> None:
    answerers = serving.answerers
    log.info(
        event,
        champion=answerers.champion.version if answerers.champion else None,
        previous=answerers.previous.version if answerers.previous else None,
        features=serving.definition.fingerprints.features[:12],
        state=serving.definition.fingerprints.state[:12],
        **more,
    )
