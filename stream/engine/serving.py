"""What a score worker serves with: models, and everything worked out from their definition."""

from dataclasses import dataclass
from pathlib import Path

from features.definition.model import Definition
from features.keys import Namespace
from features.matrix import FeaturePlan
from models.bundle import Bundle, BundleRefused, load_bundle
from models.deployment import Deployment
from models.rules import RuleModel
from stream.pipeline.decode import Decoder
from stream.pipeline.encode import ModelStamp, PredictionEncoder
from stream.pipeline.score import Answerers

CHAMPION_VARIANT = "champion"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of a deployment's bundles."""

    champion: Bundle | None
    previous: Bundle | None
    refused: tuple[str, ...]
    """Why a bundle that was named is not here, one sentence each."""


@dataclass(frozen=True, slots=True)
class Serving:
    """Built off the hot path, exchanged whole between two batches."""

    answerers: Answerers
    decoder: Decoder
    encoder: PredictionEncoder
    namespace: Namespace
    stamps: tuple[ModelStamp, ModelStamp, ModelStamp]
    """By `Source`: champion, previous champion, rules. The stamp of an absent model is never used."""

    @property
    def definition(self) -> Definition:
        return self.answerers.definition


def load_deployed(models: Path, deployment: Deployment) -> Loaded:
    """Load, verify and warm what is deployed. A bundle that is refused is left out and said so."""
    refused: list[str] = []
    champion = _load(models / deployment.champion, refused)
    previous = _load(models / deployment.previous, refused) if deployment.previous else None
    return Loaded(champion, previous, tuple(refused))


def build_serving(
    loaded: Loaded, fallback: Definition, *, future_limit_ms: int, message_bytes_max: int
) -> Serving:
    """Serve with the champion's definition; else the previous champion's; else the file's.

    A previous champion that needs other rows or predicts something else cannot stand in, and is left out.
    """
    first = loaded.champion or loaded.previous
    definition = first.definition if first else fallback
    previous = loaded.previous
    if previous is not None and not can_follow(previous.definition, definition):
        previous = None
    answerers = Answerers(
        definition=definition,
        plan=first.plan if first else FeaturePlan(definition),
        champion=loaded.champion,
        previous=previous,
        rules=RuleModel(definition),
    )
    return Serving(
        answerers=answerers,
        decoder=Decoder(definition, future_limit_ms=future_limit_ms),
        encoder=PredictionEncoder(definition, message_bytes_max=message_bytes_max),
        namespace=Namespace.of(definition),
        stamps=_stamps(definition, loaded.champion, previous),
    )


def can_follow(other: Definition, definition: Definition) -> bool:
    """Whether a worker of `definition` can serve `other` next: same events, same rows, same answer."""
    return (
        other.name == definition.name
        and other.fingerprints.state == definition.fingerprints.state
        and other.task == definition.task
        and other.label == definition.label
        and other.fields == definition.fields  # the materializer reads events by the definition it began with
        and other.timezone == definition.timezone
    )


def _load(path: Path, refused: list[str]) -> Bundle | None:
    try:
        bundle = load_bundle(path)
    except BundleRefused as error:
        refused.append(str(error))
        return None
    bundle.warm()
    return bundle


def _stamps(
    definition: Definition, champion: Bundle | None, previous: Bundle | None
) -> tuple[ModelStamp, ModelStamp, ModelStamp]:
    rules = ModelStamp(name=definition.name, version="rules", digest=None, variant=CHAMPION_VARIANT)
    return (_stamp(champion, rules), _stamp(previous, rules), rules)


def _stamp(bundle: Bundle | None, absent: ModelStamp) -> ModelStamp:
    if bundle is None:
        return absent
    return ModelStamp(
        name=bundle.name, version=bundle.version, digest=bundle.digest, variant=CHAMPION_VARIANT
    )
