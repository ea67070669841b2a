"""Control records: deployment.json, a bundle's manifest and its other files."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import msgspec

from models.bundle import BundleRefused, load_bundle
from models.deployment import BUNDLE_NAME, DEPLOYMENT, DeploymentError, read_deployment, write_deployment
from models.manifest import (
    MANIFEST,
    Manifest,
    ManifestInvalid,
    decode_manifest,
    encode_manifest,
    is_plain_name,
    sha256,
)
from tests.fuzz.drawing import Drawing
from tests.integration.usecase import definition_named, train

FORGED = (
    "definition.json",
    "golden.json",
    "reference.json",
    "metrics.json",
    "lineage.json",
    "categories.json",
)


def deployment(data: bytes) -> None:
    """deployment.json: two names of bundles, or refused."""
    folder = _folder() / "models"
    folder.mkdir(exist_ok=True)
    (folder / DEPLOYMENT).write_bytes(data)
    try:
        read = read_deployment(folder)
    except DeploymentError as error:
        assert error.cause
        assert error.mend
        return
    names = [read.champion, *([] if read.previous is None else [read.previous])]
    assert all(BUNDLE_NAME.fullmatch(name) and (folder / name).parent == folder for name in names)
    write_deployment(folder, read)
    assert read_deployment(folder) == read


def deployment_seeds() -> list[bytes]:
    """Right and nearly so."""
    texts = (
        '{"champion": "v1", "previous": null}',
        '{"champion": "v1", "previous": "v2"}',
        '{"champion": "../v1"}',
        "[1]",
    )
    return [text.encode() for text in texts]


def manifest(data: bytes) -> None:
    """manifest.json: plain names and digests, or refused."""
    try:
        read = decode_manifest(data)
    except ManifestInvalid as error:
        assert error.cause
        assert error.mend
        return
    assert all(is_plain_name(name) and (_folder() / name).parent == _folder() for name in read.files)
    assert decode_manifest(encode_manifest(read)) == read


def manifest_seeds() -> list[bytes]:
    """Of the bundle, and of other formats."""
    plain = (_bundle() / MANIFEST).read_bytes()
    return [
        plain,
        plain.replace(b'"format": 2', b'"format": 1'),
        plain.replace(b'"format": 2', b'"format": 3'),
    ]


def bundle(data: bytes) -> None:
    """Byte 0: which file of a bundle is replaced by the rest, with a manifest that says so."""
    draw = Drawing(data)
    name, forged = draw.choice((MANIFEST, *FORGED)), draw.rest()
    folder = _copy()
    changed = {name: forged}
    if name != MANIFEST:
        whole = decode_manifest((_bundle() / MANIFEST).read_bytes())
        changed[MANIFEST] = _sealed(whole, name, forged)
    for file, content in changed.items():
        (folder / file).write_bytes(content)
    try:
        loaded = load_bundle(folder)
    except BundleRefused as error:
        assert error.file.parent in (folder, folder.parent)
        assert error.cause
        assert error.mend
    else:
        loaded.warm()
        assert loaded.definition.fingerprints == loaded.manifest.fingerprints
    finally:
        for file in changed:
            shutil.copyfile(_bundle() / file, folder / file)


def bundle_seeds() -> list[bytes]:
    """Each file as it was written."""
    names = (MANIFEST, *FORGED)
    return [bytes([at]) + _compact((_bundle() / name).read_bytes()) for at, name in enumerate(names)]


def _compact(data: bytes) -> bytes:
    """JSON without blanks, and of the golden cases the first two alone."""
    content = msgspec.json.decode(data)
    if "cases" in content:
        content = {"cases": content["cases"][:2]}
    return msgspec.json.encode(content)


def _sealed(whole: Manifest, name: str, forged: bytes) -> bytes:
    content = msgspec.to_builtins(whole)
    content["files"][name] = sha256(forged)
    return msgspec.json.encode(content)


@cache
def _folder() -> Path:
    """Gone when the process ends."""
    folder = tempfile.mkdtemp(prefix="riverrun-fuzz-")
    atexit.register(shutil.rmtree, folder)
    return Path(folder)


@cache
def _bundle() -> Path:
    return train(definition_named("visits"), _folder() / "trained", "v1")


@cache
def _copy() -> Path:
    return Path(shutil.copytree(_bundle(), _folder() / "copied"))
