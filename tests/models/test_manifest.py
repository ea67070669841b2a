import json
from dataclasses import replace

import pytest

from features.definition.model import Fingerprints
from models.manifest import FORMAT, Manifest, ManifestInvalid, decode_manifest, encode_manifest, sha256

MANIFEST = Manifest(
    name="orders",
    version="v1",
    created="2018-08-14T00:00:00+00:00",
    task="binary",
    model_digest=sha256(b"model"),
    fingerprints=Fingerprints("a" * 64, "b" * 64, "c" * 64),
    files={"model.txt": sha256(b"model")},
)


def test_a_manifest_survives_its_file() -> None:
    assert decode_manifest(encode_manifest(MANIFEST)) == MANIFEST


def test_a_newer_format_is_refused_with_the_version_it_needs() -> None:
    data = json.loads(encode_manifest(MANIFEST))
    newer = json.dumps({"format": FORMAT + 1, "riverrun": "7.2.0", "changed": data}).encode()
    with pytest.raises(ManifestInvalid, match=rf"format {FORMAT + 1}.*Upgrade to riverrun 7\.2\.0"):
        decode_manifest(newer)


def test_a_format_older_than_the_one_before_is_refused() -> None:
    with pytest.raises(ManifestInvalid, match="oldest still read"):
        decode_manifest(encode_manifest(replace(MANIFEST, format=min(FORMAT - 2, 0))))


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../model.txt",
        "..",
        ".",
        "",
        "a/b",
        ".hidden",
        "manifest.json",
        "manifest.sig",
        "a\n",
        "a\0",
    ],
)
def test_a_name_that_is_no_plain_file_is_refused(name: str) -> None:
    with pytest.raises(ManifestInvalid, match="plain files"):
        decode_manifest(encode_manifest(replace(MANIFEST, files={name: sha256(b"")})))


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"format": "1"}', b'{"format": 1}'])
def test_anything_else_is_no_manifest(data: bytes) -> None:
    with pytest.raises(ManifestInvalid, match="is no manifest"):
        decode_manifest(data)


def test_a_hash_that_is_none_is_refused() -> None:
    with pytest.raises(ManifestInvalid, match="SHA-256 of model"):
        decode_manifest(encode_manifest(replace(MANIFEST, files={"model.txt": "abc"})))
