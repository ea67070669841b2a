"""The bundle: a model version as an immutable directory with all it needs, refused unless it verifies."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from features.arrays import Floats
from features.categories import Categories
from features.definition import definition_from_data
from features.definition.fingerprint import fingerprints
from features.definition.model import Definition
from features.matrix import FeaturePlan
from models.booster import BoosterScorer
from models.categories import decode_categories, encode_categories
from models.golden import GoldenCase, GoldenMismatch, decode_cases, encode_cases, verify_cases
from models.manifest import (
    FORMAT,
    MANIFEST,
    SIGNATURE,
    Manifest,
    ManifestInvalid,
    decode_manifest,
    encode_manifest,
    sha256,
)
from models.reference import Reference, decode_reference, encode_reference
from models.rules import RuleModel
from models.scorer import Explainable, ModelMismatch, Scorer, output_count

MODEL = "model.txt"
DEFINITION = "definition.json"
GOLDEN = "golden.json"
REFERENCE = "reference.json"
METRICS = "metrics.json"
LINEAGE = "lineage.json"
CATEGORIES = "categories.json"
FILES = frozenset({MODEL, DEFINITION, GOLDEN, REFERENCE, METRICS, LINEAGE, CATEGORIES})

WARM_SIZES = (1, 1000)

_COPY_AGAIN = "Copy the bundle again from where it was made, or train it again"


class BundleRefused(Exception):
    """The bundle must not be used; the champion stays. The text names the file, the cause and the mend."""

    def __init__(self, file: Path, cause: str, mend: str) -> None:
        super().__init__(f"{file}: {cause}. {mend}")
        self.file = file
        self.cause = cause
        self.mend = mend


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified model version."""

    path: Path
    manifest: Manifest
    definition: Definition
    plan: FeaturePlan
    scorer: Scorer
    explainer: Explainable
    rules: RuleModel
    reference: Reference
    golden: Floats
    """The feature matrix of the golden cases."""
    is_compiled: bool = False
    """Whether `scorer` is compiled code, which says what LightGBM says."""

    @property
    def name(self) -> str:
        """The use case."""
        return self.manifest.name

    @property
    def version(self) -> str:
        return self.manifest.version

    @property
    def digest(self) -> str:
        """The SHA-256 of ``model.txt``."""
        return self.manifest.model_digest

    def warm(self) -> None:
        """Predict batches of usual sizes, so that the first live batch pays for nothing that happens once."""
        for size in WARM_SIZES:
            self.scorer.predict(np.resize(self.golden, (size, self.golden.shape[1])))


@dataclass(frozen=True, slots=True)
class Contents:
    """What goes into a new bundle."""

    definition: Definition
    categories: Categories
    model: str
    golden: list[GoldenCase]
    reference: Reference
    metrics: Mapping[str, Any]
    """JSON data."""
    lineage: Mapping[str, Any]
    """JSON data."""


def encode_bundle(contents: Contents, version: str, created: str) -> dict[str, bytes]:
    """Every file of a bundle by name. created: UTC, ISO 8601."""
    files = {
        MODEL: contents.model.encode(),
        DEFINITION: _json(contents.definition.source),
        CATEGORIES: encode_categories(contents.categories),
        GOLDEN: encode_cases(contents.golden),
        REFERENCE: encode_reference(contents.reference),
        METRICS: _json(contents.metrics),
        LINEAGE: _json(contents.lineage),
    }
    manifest = Manifest(
        name=contents.definition.name,
        version=version,
        created=created,
        task=contents.definition.task,
        model_digest=sha256(files[MODEL]),
        fingerprints=contents.definition.fingerprints,
        files={name: sha256(data) for name, data in files.items()},
    )
    return {**files, MANIFEST: encode_manifest(manifest)}


def load_bundle(path: Path) -> Bundle:
    """Read and verify a bundle: its files, hashes, format, fingerprints, model and golden cases.

    Raises `BundleRefused`.
    """
    manifest, files = _read(path)
    definition = _definition(path, manifest, files[DEFINITION])
    try:
        scorer = BoosterScorer(
            files[MODEL].decode(), definition.task, definition.feature_names, output_count(definition)
        )
    except (ModelMismatch, UnicodeDecodeError) as error:
        raise BundleRefused(path / MODEL, str(error), "Train again with this definition") from error
    try:
        reference = decode_reference(files[REFERENCE])
    except (ValueError, RecursionError) as error:
        raise BundleRefused(path / REFERENCE, f"cannot be read: {error}", "Train again") from error
    categories = _categories(path, definition, files.get(CATEGORIES))
    golden = _golden(path, definition, categories, scorer, files[GOLDEN])
    return Bundle(
        path=path,
        manifest=manifest,
        definition=definition,
        plan=FeaturePlan(definition, categories),
        scorer=scorer,
        explainer=scorer,
        rules=RuleModel(definition),
        reference=reference,
        golden=golden,
    )


def _read(path: Path) -> tuple[Manifest, dict[str, bytes]]:
    """The manifest and every file it names, each read once: what was hashed is what is used."""
    try:
        manifest = decode_manifest(_file(path, MANIFEST))
    except ManifestInvalid as error:
        raise BundleRefused(path / MANIFEST, error.cause, error.mend) from error
    try:
        present = {entry.name for entry in path.iterdir()} - {MANIFEST, SIGNATURE}
    except OSError as error:
        raise BundleRefused(path, f"cannot be listed: {error.strerror or error}", _COPY_AGAIN) from error
    for name in sorted(present - set(manifest.files)):
        raise BundleRefused(path / name, "the manifest does not name this file", f"Remove it. {_COPY_AGAIN}")
    for name in sorted(_required(manifest) - set(manifest.files)):
        raise BundleRefused(path / MANIFEST, f"does not name {name}", _COPY_AGAIN)
    files = {name: _file(path, name) for name in manifest.files}
    for name, data in files.items():
        if sha256(data) != manifest.files[name]:
            cause = f"its SHA-256 is {sha256(data)}, the manifest says {manifest.files[name]}"
            raise BundleRefused(path / name, cause, _COPY_AGAIN)
    if manifest.model_digest != manifest.files[MODEL]:
        raise BundleRefused(path / MANIFEST, f"model_digest is not the SHA-256 of {MODEL}", _COPY_AGAIN)
    return manifest, files


def _required(manifest: Manifest) -> frozenset[str]:
    return FILES if manifest.format == FORMAT else FILES - {CATEGORIES}


def _file(path: Path, name: str) -> bytes:
    file = path / name
    try:
        is_plain = not file.is_symlink() and (file.is_file() or not file.exists())
        data = file.read_bytes() if is_plain else b""
    except PermissionError as error:
        mend = "Let the user that riverrun runs as read the bundle's directory and files"
        raise BundleRefused(file, f"cannot be read: {error.strerror}", mend) from error
    except OSError as error:
        raise BundleRefused(file, f"cannot be read: {error.strerror or error}", _COPY_AGAIN) from error
    if not is_plain:
        raise BundleRefused(file, "is not a plain file", "Put the file itself there; links are not followed")
    return data


def _definition(path: Path, manifest: Manifest, data: bytes) -> Definition:
    file = path / DEFINITION
    try:
        definition = definition_from_data(msgspec.json.decode(data), str(file))
    except (ValueError, RecursionError) as error:  # DefinitionError is one, too
        raise BundleRefused(
            file, f"is no valid definition: {error}", "Train again with this riverrun"
        ) from error
    if (definition.name, definition.task) != (manifest.name, manifest.task):
        raise BundleRefused(file, "is of another use case or task than the manifest says", _COPY_AGAIN)
    prints = fingerprints(definition, manifest.format)
    for part in ("state", "features", "policy"):
        ours, theirs = getattr(prints, part), getattr(manifest.fingerprints, part)
        if ours != theirs:
            cause = f"its {part} fingerprint is {ours[:12]}… here, {theirs[:12]}… in the manifest"
            raise BundleRefused(
                file, cause, "This riverrun reads the definition differently: train again with it"
            )
    return definition


def _categories(path: Path, definition: Definition, data: bytes | None) -> Categories:
    """The categories of a bundle; one of the format before has none, and may need none."""
    file = path / CATEGORIES
    try:
        return decode_categories(definition, b"{}" if data is None else data)
    except (ValueError, RecursionError) as error:
        raise BundleRefused(file, str(error), "Train again with this definition") from error


def _golden(
    path: Path, definition: Definition, categories: Categories, scorer: Scorer, data: bytes
) -> Floats:
    file = path / GOLDEN
    try:
        cases = decode_cases(data)
    except (ValueError, RecursionError) as error:
        raise BundleRefused(file, f"cannot be read: {error}", "Train again") from error
    if not cases:
        raise BundleRefused(file, "holds no case", "Train again")
    try:
        return verify_cases(definition, categories, cases, scorer)
    except GoldenMismatch as error:
        mend = (
            "This machine or its libraries compute something else than where it was trained: train again here"
        )
        raise BundleRefused(file, str(error), mend) from error
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise BundleRefused(
            file, f"its inputs cannot be read: {error!r}", "Train again with this riverrun"
        ) from error


def _json(data: Mapping[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n"
