"""The manifest: what a bundle is, and the SHA-256 of every other file in it."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from features.definition.model import Fingerprints, Task

MANIFEST = "manifest.json"

SIGNATURE = "manifest.sig"
"""The place of a signature over the manifest's bytes; not listed there. None is written or read yet."""

FORMAT = 2
"""The bundle format written here. Readers take it and the one before it, which has no categories.

Its fingerprints are those of the same format (`features.definition.fingerprint`)."""

OLDEST_READ = max(1, FORMAT - 1)

SINCE = "0.1.0"
"""The first riverrun that reads `FORMAT`; each manifest says it, for those who cannot."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


class ManifestInvalid(Exception):
    """The text says what is wrong and, after it, the mend."""

    def __init__(self, cause: str, mend: str) -> None:
        super().__init__(f"{cause}. {mend}")
        self.cause = cause
        self.mend = mend


@dataclass(frozen=True, slots=True)
class Manifest:
    """`files` maps plain file names to SHA-256, hexadecimal, and names everything but the manifest."""

    name: str
    version: str
    created: str
    """UTC, ISO 8601."""
    task: Task
    model_digest: str
    """The SHA-256 of ``model.txt``."""
    fingerprints: Fingerprints
    files: Mapping[str, str]
    format: int = field(default=FORMAT)
    riverrun: str = field(default=SINCE)
    """The oldest riverrun that can read this bundle."""


class _Header(msgspec.Struct):
    """What every format has had and will have."""

    format: int
    riverrun: str = "?"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def encode_manifest(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def decode_manifest(data: bytes) -> Manifest:
    """Raises `ManifestInvalid` for another format, a missing or wrong field, or an unsafe file name."""
    rebuild = "Train or copy the bundle again"
    try:
        header = msgspec.json.decode(data, type=_Header)
    except (ValueError, RecursionError) as error:
        raise ManifestInvalid(f"is no manifest: {error}", rebuild) from error
    if header.format > FORMAT:
        reads = f"this riverrun reads {OLDEST_READ}" + (f" to {FORMAT}" if OLDEST_READ < FORMAT else "")
        raise ManifestInvalid(
            f"is in format {header.format}, {reads}", f"Upgrade to riverrun {header.riverrun} or newer"
        )
    if header.format < OLDEST_READ:
        raise ManifestInvalid(
            f"is in format {header.format}, {OLDEST_READ} is the oldest still read", "Train again"
        )
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (ValueError, RecursionError) as error:
        raise ManifestInvalid(f"is no manifest: {error}", rebuild) from error
    for name, digest in manifest.files.items():
        if not is_plain_name(name):
            raise ManifestInvalid(f"names the file {name!r}", "A bundle holds plain files and no directories")
        if not _SHA256.fullmatch(digest):
            raise ManifestInvalid(f"has {digest!r} as the SHA-256 of {name}", rebuild)
    return manifest


def is_plain_name(name: str) -> bool:
    """A file directly in the bundle: no separator, not hidden, not ``..``, nothing odd."""
    return re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name) is not None and name not in {
        MANIFEST,
        SIGNATURE,
    }
