"""From labelled history to a bundle: train, measure on what was held out, write, verify, put in place."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from platform import python_version
from typing import Any

import msgspec
import numpy as np

from features.arrays import Floats, Ints
from features.categories import Categories
from features.definition.model import Definition
from features.past.history import History
from features.past.offline import TrainingSet, build_training_set, training_categories
from models.bundle import Contents, encode_bundle, load_bundle
from models.categories import encode_categories
from models.decision import class_names, score_columns
from models.deployment import BUNDLE_NAME
from models.files import create_directory
from models.golden import make_cases, spread
from models.manifest import sha256
from models.reference import Histogram, Reference, make_category_histogram, make_histogram
from models.training.fit import fit, lightgbm_parameters, load
from models.training.held_out import HeldOut, measure
from models.training.run import Progress, Run, TrainingError, TrainOptions, silent

_LIBRARIES = ("lightgbm", "msgspec", "numpy", "riverrun", "scikit-learn", "sqlglot")
_DEFAULTS = TrainOptions()


@dataclass(frozen=True, slots=True)
class TrainResult:
    path: Path
    version: str
    digest: str
    """The SHA-256 of the model's text."""
    held_out: HeldOut
    events: int
    """Labelled events the model was trained on."""


def train_bundle(
    definition: Definition,
    history: History,
    start: int,
    end: int,
    out: Path,
    *,
    created_ms: int,
    options: TrainOptions = _DEFAULTS,
    progress: Progress = silent,
) -> TrainResult:
    """Train on all events with start <= time < end; put the bundle into the models directory `out`.

    start, end: in the time unit. created_ms: now. The bundle is loaded, and so verified, before it is
    renamed into place. Raises `TrainingError`, or `BundleRefused` should it not verify.
    """
    _check_version(out, options.version)
    _check_lookups(definition, history)
    parameters = lightgbm_parameters(definition, options.seed)
    progress("features", 0, 1)
    categories = training_categories(definition, history, start, end)
    training = build_training_set(definition, history, start, end, categories)
    run = Run(definition, history, categories, training, start, end, parameters, options, progress)
    text = fit(run, np.ones(len(training.labels), dtype=np.bool_))
    scorer = load(definition, text)
    progress("evaluate", 0, 1)
    held_out = measure(run, scorer)
    progress("bundle", 0, 1)
    scores = scorer.predict(training.matrix)
    places = _places(history, training, spread(scores))
    contents = Contents(
        definition=definition,
        categories=categories,
        model=text,
        golden=make_cases(definition, categories, history, places, scorer),
        reference=_reference(run, scores),
        metrics=_metrics(training, held_out),
        lineage=_lineage(run),
    )
    version = options.version or _version(definition, categories, text)
    _check_version(out, version)
    created = datetime.fromtimestamp(created_ms / 1000, UTC).isoformat(timespec="seconds")
    create_directory(
        out / version, encode_bundle(contents, version, created), lambda made: load_bundle(made).warm()
    )
    progress("bundle", 1, 1)
    return TrainResult(out / version, version, sha256(text.encode()), held_out, _labelled(training))


def data_digest(training: TrainingSet) -> str:
    """SHA-256 over the events' ids, times, labels, weights and features, in their order."""
    digest = hashlib.sha256()
    digest.update(training.events.hashes.astype("<u8").tobytes())
    digest.update(training.events.times.astype("<i8").tobytes())
    for numbers in (training.labels, training.weights, training.matrix):
        one_nan = np.where(np.isnan(numbers), np.nan, numbers)  # NaN has many bit patterns
        digest.update(one_nan.astype("<f8").tobytes())
    return digest.hexdigest()


def _check_version(out: Path, version: str | None) -> None:
    """Before the work and not after it."""
    if version is None:
        return
    if not BUNDLE_NAME.fullmatch(version):
        raise TrainingError(
            f"{version!r} cannot name a bundle", "Use letters, digits, '.', '_' and '-', at most 64"
        )
    if (out / version).exists():
        mend = "Bundles never change: choose another version, or remove it if nothing uses it"
        raise TrainingError(f"{out / version} exists", mend)


def _check_lookups(definition: Definition, history: History) -> None:
    lacking = [entity for entity in definition.lookups if entity not in history.lookups]
    if lacking:
        raise TrainingError(
            f"the history has no past of what is looked up for {', '.join(lacking)}",
            "Give it one; an empty one says that nothing was ever written",
        )


def _version(definition: Definition, categories: Categories, text: str) -> str:
    """Equal for equal bundles: a policy change over the same model is another version."""
    prints = definition.fingerprints
    parts = [text, prints.state, prints.features, prints.policy, encode_categories(categories).decode()]
    return sha256("\n".join(parts).encode())[:12]


def _places(history: History, training: TrainingSet, index: Ints) -> Ints:
    """Where in the history the training events at `index` stand; positions are unique."""
    order = np.argsort(history.events.positions)
    wanted = training.events.positions[index]
    return np.asarray(order[np.searchsorted(history.events.positions, wanted, sorter=order)], dtype=np.int64)


def _reference(run: Run, scores: Floats) -> Reference:
    definition, weights = run.definition, run.training.weights
    features: dict[str, Histogram] = {}
    for at, name in enumerate(definition.feature_names):
        values, known = run.training.matrix[:, at], run.categories.get(name)
        features[name] = (
            make_histogram(values, weights)
            if known is None
            else make_category_histogram(values, weights, len(known))
        )
    columns = score_columns(definition, scores)
    names = [f"probability_{name}" for name in class_names(definition)] or ["score"]
    return Reference(features, {name: make_histogram(columns[name], weights) for name in names})


def _metrics(training: TrainingSet, held_out: HeldOut) -> dict[str, Any]:
    labelled = ~np.isnan(training.labels)
    return {
        "training": {
            "events": len(labelled),
            "labelled": _labelled(training),
            "label_mean": float(training.labels[labelled].mean()),
        },
        "held_out": msgspec.to_builtins(held_out),
    }


def _lineage(run: Run) -> dict[str, Any]:
    return {
        **run.options.lineage,
        "data": {
            "digest": data_digest(run.training),
            "events": len(run.training.labels),
            "start": run.start,
            "end": run.end,
        },
        "parameters": run.parameters,
        "rounds": run.definition.training.rounds,
        "seed": run.options.seed,
        "libraries": {"python": python_version()} | {name: _installed(name) for name in _LIBRARIES},
    }


def _installed(name: str) -> str | None:
    """None where it runs from a checkout that is not installed."""
    try:
        return installed_version(name)
    except PackageNotFoundError:
        return None


def _labelled(training: TrainingSet) -> int:
    return int((~np.isnan(training.labels)).sum())
