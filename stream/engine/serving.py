"""What a score worker serves with: models, and everything worked out from their definition."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from features.definition.model import Definition, RowKind
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

    @property
    def reads_labels(self) -> bool:
        """Whether any window is over labels."""
        return any(row.kind is RowKind.LABELS for row in self.definition.rows)


def load_deployed(models: Path, deployment: Deployment) -> Loaded:
    """Load, verify and warm what is deployed. A bundle that is refused is left out and said so."""
    refused: list[str] = []
    champion = _load(models / deployment.champion, refused)
    previous = _load(models / deployment.previous, refused) if deployment.previous else None
    return Loaded(champion, previous, tuple(refused))


def begin_with(
    loaded: Loaded, is_whole: Callable[[Definition, Definition], bool]
) -> tuple[Loaded, Loaded | None]:
    """What to serve at first, and what to serve instead once its rows are whole.

    As a worker does that has been running: where the champion needs other rows than the previous one,
    and those are not whole, the previous one goes on alone. Where its own are not either, nothing is gained.

    is_whole: whether the rows of the first definition are, as good as those of the second.
    """
    champion, previous = loaded.champion, loaded.previous
    if champion is None or previous is None:
        return loaded, None
    new, old = champion.definition, previous.definition
    if not can_follow(new, old) or shares_rows(new, old) or is_whole(new, old) or not is_whole(old, old):
        return loaded, None
    return Loaded(previous, None, loaded.refused), loaded


def build_serving(
    loaded: Loaded, fallback: Definition, *, future_limit_ms: int, message_bytes_max: int
) -> Serving:
    """Serve with the champion's definition; else the previous champion's; else the file's.

    A previous champion that needs other rows or lookups, or predicts something else, is left out.
    """
    first = loaded.champion or loaded.previous
    definition = first.definition if first else fallback
    previous = loaded.previous
    if previous is not None and not (
        shares_rows(previous.definition, definition) and _looks_up_within(previous.definition, definition)
    ):
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


def with_champion(serving: Serving, champion: Bundle) -> Serving:
    """The same, with the champion as another object that gives the same answers."""
    return replace(serving, answerers=replace(serving.answerers, champion=champion))


def can_follow(other: Definition, definition: Definition) -> bool:
    """Whether a running worker of `definition` can serve `other` next: the same answer to the same events.

    It may need other rows: a materializer of their own fills those. For the rows there are, the
    materializer reads events by the definition it began with, so there the fields must be the same.
    """
    return (
        other.name == definition.name
        and other.task == definition.task
        and other.label == definition.label
        and other.id_fields == definition.id_fields
        and other.time == definition.time
        and other.timezone == definition.timezone
        and (other.fingerprints.state != definition.fingerprints.state or other.fields == definition.fields)
    )


def shares_rows(other: Definition, definition: Definition) -> bool:
    """Whether `other` can be served at once, or beside `definition`, from the same rows."""
    return other.fingerprints.state == definition.fingerprints.state and can_follow(other, definition)


def _looks_up_within(other: Definition, definition: Definition) -> bool:
    """Whether all that `other` looks up is looked up for `definition` anyway."""
    there = definition.lookups
    return all(set(fields) <= set(there.get(entity, ())) for entity, fields in other.lookups.items())


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
