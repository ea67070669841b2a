from pathlib import Path

import pytest

from models.deployment import Deployment, DeploymentError, deploy, read_deployment, write_deployment


def make_bundle(models_dir: Path, name: str) -> None:
    (models_dir / name).mkdir()
    (models_dir / name / "manifest.json").write_text("{}")


@pytest.mark.parametrize("deployment", [Deployment("a1", None), Deployment("b.2", "a_1-x")])
def test_a_deployment_is_read_as_it_was_written(tmp_path: Path, deployment: Deployment) -> None:
    write_deployment(tmp_path, deployment)
    assert read_deployment(tmp_path) == deployment
    assert [entry.name for entry in tmp_path.iterdir()] == ["deployment.json"]


def test_the_first_champion_has_no_previous_one(tmp_path: Path) -> None:
    make_bundle(tmp_path, "v1")
    assert deploy(tmp_path, "v1") == Deployment("v1", None)


def test_the_champion_moves_to_previous(tmp_path: Path) -> None:
    for name in ("v1", "v2"):
        make_bundle(tmp_path, name)
        deploy(tmp_path, name)
    assert read_deployment(tmp_path) == Deployment("v2", "v1")


def test_deploying_the_champion_again_changes_nothing(tmp_path: Path) -> None:
    for name in ("v1", "v2", "v2"):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "manifest.json").touch()
        deploy(tmp_path, name)
    assert read_deployment(tmp_path) == Deployment("v2", "v1")


def test_what_is_no_bundle_is_not_deployed(tmp_path: Path) -> None:
    make_bundle(tmp_path, "v1")
    with pytest.raises(DeploymentError, match=r"'v9' is no bundle.*There are: v1"):
        deploy(tmp_path, "v9")
    assert not (tmp_path / "deployment.json").exists()


def test_an_unreadable_deployment_is_not_overwritten(tmp_path: Path) -> None:
    make_bundle(tmp_path, "v1")
    (tmp_path / "deployment.json").write_text("half a fi")
    with pytest.raises(DeploymentError, match="is not JSON"):
        deploy(tmp_path, "v1")
    assert (tmp_path / "deployment.json").read_text() == "half a fi"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (None, "there is no such file"),
        ("", "is not JSON"),
        ("\udcff", "is not JSON"),
        ("[]", "names no champion"),
        ("{}", "names no champion"),
        ('{"champion": 3}', "3 is not the name of a bundle"),
        ('{"champion": ""}', "'' is not the name of a bundle"),
        ('{"champion": "../other"}', r"'\.\./other' is not the name of a bundle"),
        ('{"champion": "a", "previous": "/etc"}', "'/etc' is not the name of a bundle"),
        ('{"champion": "a", "canary": "b"}', "unknown entries 'canary'"),
    ],
)
def test_what_is_no_deployment_is_refused_with_its_file_and_mend(
    tmp_path: Path, text: str | None, cause: str
) -> None:
    if text is not None:
        (tmp_path / "deployment.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(DeploymentError, match=cause) as refused:
        read_deployment(tmp_path)
    assert refused.value.path == tmp_path / "deployment.json"
    assert refused.value.mend in str(refused.value)


def test_a_name_that_leaves_the_directory_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError):
        write_deployment(tmp_path, Deployment("..", None))
    assert list(tmp_path.iterdir()) == []
