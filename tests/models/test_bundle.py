import base64
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.codec import decode_rows
from features.definition import definition_from_data
from features.definition.fingerprint import fingerprints
from models.bundle import BundleRefused, load_bundle
from models.manifest import FORMAT, sha256
from models.training.train import TrainResult

Copy = Callable[[str], Path]
TASKS = ["orders", "sizes", "pumps"]


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    """Change a JSON file."""
    data = json.loads(path.read_bytes())
    change(data)
    path.write_text(json.dumps(data))


def reseal(bundle: Path, **also: object) -> None:
    """Make the manifest's hashes those of the files: what a careful forger, or a careless tool, would do."""

    def change(manifest: dict[str, Any]) -> None:
        manifest["files"] = {name: sha256((bundle / name).read_bytes()) for name in manifest["files"]}
        manifest["model_digest"] = manifest["files"]["model.txt"]
        manifest.update(also)

    edit(bundle / "manifest.json", change)


@pytest.mark.parametrize("name", TASKS)
def test_a_bundle_has_what_scoring_needs(name: str, trained: Mapping[str, TrainResult]) -> None:
    result = trained[name]
    bundle = load_bundle(result.path)
    assert (bundle.name, bundle.version, bundle.digest) == (name, result.version, result.digest)
    assert bundle.digest == sha256((result.path / "model.txt").read_bytes())
    assert bundle.path == result.path
    assert set(bundle.reference.features) == set(bundle.plan.names) == set(bundle.definition.feature_names)
    scores = bundle.scorer.predict(bundle.golden)
    assert scores.shape == ((32, 3) if name == "sizes" else (32,))
    assert np.isfinite(scores).all()
    bundle.warm()


def test_the_files_are_those_of_the_design(trained: Mapping[str, TrainResult]) -> None:
    assert {entry.name for entry in trained["orders"].path.iterdir()} == {
        "categories.json", "definition.json", "golden.json", "lineage.json", "manifest.json", "metrics.json",
        "model.txt", "reference.json",
    }  # fmt: skip


def refusal(bundle: Path) -> BundleRefused:
    with pytest.raises(BundleRefused) as refused:
        load_bundle(bundle)
    error = refused.value
    assert str(error.file) in str(error)
    assert error.cause in str(error)
    assert error.mend in str(error)
    return error


@pytest.mark.parametrize(
    "name",
    ["model.txt", "definition.json", "golden.json", "reference.json", "metrics.json", "categories.json"],
)
def test_a_changed_byte_is_refused(name: str, copied: Copy) -> None:
    bundle = copied("orders")
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(data)
    error = refusal(bundle)
    assert error.file == bundle / name
    assert "SHA-256" in error.cause


@pytest.mark.parametrize("name", ["model.txt", "lineage.json", "manifest.json"])
def test_a_missing_file_is_refused(name: str, copied: Copy) -> None:
    bundle = copied("orders")
    (bundle / name).unlink()
    assert refusal(bundle).file == bundle / name


def test_a_bundle_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "nowhere").cause


def test_a_path_that_the_system_refuses_is_refused(tmp_path: Path) -> None:
    error = refusal(tmp_path / ("x" * 1_000))
    assert error.file.name == "manifest.json"
    assert "too long" in error.cause


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize(
    ("closed", "mode", "named"),
    [("", 0, "manifest.json"), ("", 0o100, ""), ("model.txt", 0, "model.txt")],
)
def test_what_may_not_be_read_is_refused(closed: str, mode: int, named: str, copied: Copy) -> None:
    bundle = copied("orders")
    place = bundle / closed
    before = place.stat().st_mode
    place.chmod(mode)
    try:
        error = refusal(bundle)
    finally:
        place.chmod(before)
    assert error.file == bundle / named
    assert "Permission denied" in error.cause


def test_a_file_the_manifest_does_not_name_is_refused(copied: Copy) -> None:
    bundle = copied("orders")
    (bundle / "extra.txt").write_text("?")
    assert refusal(bundle).file == bundle / "extra.txt"


def test_a_link_is_refused_even_to_the_right_bytes(copied: Copy) -> None:
    bundle = copied("orders")
    (bundle / "model.txt").rename(bundle.parent / "elsewhere.txt")
    (bundle / "model.txt").symlink_to(bundle.parent / "elsewhere.txt")
    assert "not a plain file" in refusal(bundle).cause


def test_a_directory_in_place_of_a_file_is_refused(copied: Copy) -> None:
    bundle = copied("orders")
    (bundle / "metrics.json").unlink()
    (bundle / "metrics.json").mkdir()
    assert "not a plain file" in refusal(bundle).cause


def test_a_signature_has_its_place_beside_the_manifest(copied: Copy) -> None:
    bundle = copied("orders")
    (bundle / "manifest.sig").write_bytes(b"later")
    load_bundle(bundle)


def test_a_newer_format_is_refused_with_the_version_it_needs(copied: Copy) -> None:
    bundle = copied("orders")
    edit(bundle / "manifest.json", lambda manifest: manifest.update(format=FORMAT + 1, riverrun="9.1.0"))
    error = refusal(bundle)
    assert f"format {FORMAT + 1}" in error.cause
    assert "9.1.0" in error.mend


def as_before(bundle: Path) -> None:
    """Make a bundle what it was in the first format: other rows and fingerprints, and no categories."""
    definition = definition_from_data(json.loads((bundle / "definition.json").read_bytes()), "definition")
    schemas = {f"{schema.entity}/{schema.kind.value}": schema for schema in definition.rows}

    def first_layout(golden: Any) -> None:
        for case in golden["cases"]:
            del case["input"]["layout"], case["input"]["lookups"]
            for name, row in case["input"]["rows"].items():
                entries = decode_rows(schemas[name], [base64.b64decode(row)]).entries
                words = [entries.times.view(np.uint64), entries.ids, entries.marks]
                words += list(np.ascontiguousarray(entries.values).view(np.uint64).T)
                case["input"]["rows"][name] = base64.b64encode(np.column_stack(words).tobytes()).decode()

    edit(bundle / "golden.json", first_layout)
    (bundle / "categories.json").unlink()
    edit(bundle / "manifest.json", lambda manifest: manifest["files"].pop("categories.json"))
    reseal(bundle, format=1, fingerprints=asdict(fingerprints(definition, 1)))


@pytest.mark.parametrize("name", TASKS)
def test_a_bundle_of_the_format_before_is_still_read(
    name: str, copied: Copy, trained: Mapping[str, TrainResult]
) -> None:
    bundle = copied(name)
    as_before(bundle)
    then, now = load_bundle(bundle), load_bundle(trained[name].path)
    assert then.definition == now.definition
    np.testing.assert_array_equal(then.golden, now.golden)


def test_a_bundle_of_the_format_before_with_the_fingerprints_of_today_is_refused(copied: Copy) -> None:
    bundle = copied("orders")
    edit(bundle / "manifest.json", lambda manifest: manifest.update(format=1))
    assert "state fingerprint" in refusal(bundle).cause


def test_a_manifest_that_leaves_a_file_out_is_refused(copied: Copy) -> None:
    bundle = copied("orders")
    (bundle / "golden.json").unlink()
    edit(bundle / "manifest.json", lambda manifest: manifest["files"].pop("golden.json"))
    assert "golden.json" in refusal(bundle).cause


def test_another_model_digest_is_refused(copied: Copy) -> None:
    bundle = copied("orders")
    edit(bundle / "manifest.json", lambda manifest: manifest.update(model_digest=sha256(b"?")))
    assert "model_digest" in refusal(bundle).cause


@pytest.mark.parametrize("change", [{"name": "others"}, {"task": "regression"}])
def test_the_definition_of_another_use_case_is_refused(change: dict[str, str], copied: Copy) -> None:
    bundle = copied("orders")
    edit(bundle / "manifest.json", lambda manifest: manifest.update(change))
    assert "another use case or task" in refusal(bundle).cause


def test_a_definition_with_another_fingerprint_is_refused(copied: Copy) -> None:
    bundle = copied("orders")
    edit(bundle / "definition.json", lambda definition: definition["decisions"][1].update(otherwise="hold"))
    reseal(bundle)
    error = refusal(bundle)
    assert error.file == bundle / "definition.json"
    assert "policy fingerprint" in error.cause


def test_a_definition_with_mistakes_is_refused(copied: Copy) -> None:
    bundle = copied("orders")
    edit(bundle / "definition.json", lambda definition: definition.update(task="guess"))
    reseal(bundle)
    assert "no valid definition" in refusal(bundle).cause


def test_the_model_of_another_use_case_is_refused(copied: Copy, trained: Mapping[str, TrainResult]) -> None:
    bundle = copied("orders")
    (bundle / "model.txt").write_bytes((trained["sizes"].path / "model.txt").read_bytes())
    reseal(bundle)
    error = refusal(bundle)
    assert error.file == bundle / "model.txt"
    assert "features" in error.cause


def test_a_model_that_scores_otherwise_is_refused_by_the_golden_cases(
    copied: Copy, trained: Mapping[str, TrainResult]
) -> None:
    bundle = copied("orders")
    text = (bundle / "model.txt").read_text()
    value = next(line for line in text.splitlines() if line.startswith("leaf_value="))
    first = value.removeprefix("leaf_value=").split()[0]
    (bundle / "model.txt").write_text(text.replace(first, str(float(first) + 0.001), 1))
    reseal(bundle)
    error = refusal(bundle)
    assert error.file == bundle / "golden.json"
    assert "score is" in error.cause


def set_first(case: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(golden: dict[str, Any]) -> None:
        held = golden["cases"][0][case]
        golden["cases"][0][case] = value if isinstance(held, str) else [value, *held[1:]]

    return change


@pytest.mark.parametrize(
    ("part", "value", "cause"),
    [("features", 1e6, "amount is"), ("score", 0.5, "score is"), ("decision", "burn", "not 'burn'")],
)
def test_a_golden_case_that_comes_out_otherwise_is_refused(
    part: str, value: object, cause: str, copied: Copy
) -> None:
    bundle = copied("orders")
    edit(bundle / "golden.json", set_first(part, value))
    reseal(bundle)
    assert cause in refusal(bundle).cause


def test_a_score_that_differs_in_its_last_bits_is_accepted(copied: Copy) -> None:
    bundle = copied("orders")
    score = json.loads((bundle / "golden.json").read_bytes())["cases"][0]["score"][0]
    edit(bundle / "golden.json", set_first("score", score * (1 + 1e-13)))
    reseal(bundle)
    load_bundle(bundle)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("golden.json", '{"cases": []}'),
        ("golden.json", '{"cases": [{"input": {}, "features": [], "score": [], "decision": null}]}'),
        ("golden.json", "no JSON"),
        ("reference.json", "{}"),
        ("definition.json", "[]"),
        ("definition.json", "no JSON"),
        ("model.txt", "tree"),
    ],
)
def test_a_file_that_says_nothing_is_refused(name: str, text: str, copied: Copy) -> None:
    bundle = copied("orders")
    (bundle / name).write_text(text)
    reseal(bundle)
    assert refusal(bundle).file == bundle / name
