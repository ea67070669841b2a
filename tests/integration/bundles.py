"""Bundles in every state of disrepair."""

import shutil
from dataclasses import replace
from pathlib import Path

from models.bundle import MODEL
from models.manifest import MANIFEST, decode_manifest, encode_manifest, sha256

NAN_FROM = 100.0
"""The model of `with_nan` has no number for weights above this; no event of its training is."""


def damaged(models: Path, version: str, name: str) -> str:
    """A copy in whose model one byte is another, as a bad disk makes them."""
    shutil.copytree(models / version, models / name)
    model = models / name / MODEL
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    return name


def rubbish(models: Path, name: str) -> str:
    """A directory with something else in it."""
    (models / name).mkdir()
    (models / name / MANIFEST).write_bytes(b"\x00 not a manifest")
    return name


def with_nan(models: Path, version: str, name: str) -> str:
    """A copy that verifies, golden cases and all, and has NaN for a weight beyond `NAN_FROM`.

    A tree is added: weight <= NAN_FROM gives 0, else NaN.
    """
    shutil.copytree(models / version, models / name)
    folder = models / name
    text = (folder / MODEL).read_text()
    trees = text.count("\nTree=")
    tree = (
        f"Tree={trees}\nnum_leaves=2\nnum_cat=0\nsplit_feature=0\nsplit_gain=1\nthreshold={NAN_FROM}\n"
        "decision_type=2\nleft_child=-1\nright_child=-2\nleaf_value=0 nan\nleaf_weight=1 1\nleaf_count=1 1\n"
        "internal_value=0\ninternal_weight=2\ninternal_count=2\nis_linear=0\nshrinkage=1\n\n\n"
    )
    text = text.replace("end of trees", f"{tree}end of trees")
    sizes = next(line for line in text.splitlines() if line.startswith("tree_sizes="))
    (folder / MODEL).write_text(text.replace(sizes, f"{sizes} {len(tree)}"))
    _seal(folder, name)
    return name


def _seal(folder: Path, version: str) -> None:
    """Make the manifest say what the files are."""
    manifest = decode_manifest((folder / MANIFEST).read_bytes())
    files = {name: sha256((folder / name).read_bytes()) for name in manifest.files}
    sealed = replace(manifest, version=version, files=files, model_digest=files[MODEL])
    (folder / MANIFEST).write_bytes(encode_manifest(sealed))
