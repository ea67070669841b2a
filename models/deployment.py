"""Which bundles are in force: ``deployment.json`` in the models directory, replaced as a whole."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from models.files import replace_file

DEPLOYMENT = "deployment.json"

BUNDLE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""A bundle's directory name, which is its version."""


class DeploymentError(Exception):
    """The deployment cannot be read or is not one. The text names the file, the cause and the mend."""

    def __init__(self, path: Path, cause: str, mend: str) -> None:
        super().__init__(f"{path}: {cause}. {mend}")
        self.path = path
        self.cause = cause
        self.mend = mend


@dataclass(frozen=True, slots=True)
class Deployment:
    """Names of bundle directories inside the models directory."""

    champion: str
    previous: str | None
    """The champion before this one, which answers when it fails; None for the first."""


_MEND = 'It holds {"champion": "<version>", "previous": "<version>" or null}; deploying a bundle writes it'


def read_deployment(models_dir: Path) -> Deployment:
    """Raises `DeploymentError`, also where nothing is deployed yet."""
    path = models_dir / DEPLOYMENT
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise DeploymentError(path, "nothing is deployed: there is no such file", _MEND) from error
    except OSError as error:
        mend = "Check the path and that this process may read it"
        raise DeploymentError(path, f"cannot be read: {error.strerror}", mend) from error
    except (ValueError, RecursionError) as error:
        raise DeploymentError(path, f"is not JSON: {error}", _MEND) from error
    if not isinstance(data, dict) or "champion" not in data:
        raise DeploymentError(path, "names no champion", _MEND)
    unknown = sorted(set(data) - {"champion", "previous"})
    if unknown:
        raise DeploymentError(path, f"has unknown entries {', '.join(map(repr, unknown))}", _MEND)
    previous = data.get("previous")
    return Deployment(_name(path, data["champion"]), None if previous is None else _name(path, previous))


def write_deployment(models_dir: Path, deployment: Deployment) -> None:
    """Replace the deployment; readers see the old one or the new one, also after a crash.

    Raises `DeploymentError` for a name that is no bundle's.
    """
    path = models_dir / DEPLOYMENT
    _name(path, deployment.champion)
    if deployment.previous is not None:
        _name(path, deployment.previous)
    data = {"champion": deployment.champion, "previous": deployment.previous}
    replace_file(path, json.dumps(data, indent=2).encode() + b"\n")


def deploy(models_dir: Path, version: str) -> Deployment:
    """Make `version` the champion and the champion so far the previous one.

    Deploying the champion again changes nothing. Raises `DeploymentError` when there is no such
    bundle, or when the deployment that is there cannot be read: it is not overwritten unseen.
    """
    path = models_dir / DEPLOYMENT
    if not (models_dir / _name(path, version) / "manifest.json").is_file():
        raise DeploymentError(
            path, f"{version!r} is no bundle in {models_dir}", f"There are: {_bundles(models_dir)}"
        )
    if not os.path.lexists(path):
        deployment = Deployment(version, None)
    else:
        current = read_deployment(models_dir)
        deployment = current if current.champion == version else Deployment(version, current.champion)
    write_deployment(models_dir, deployment)
    return deployment


def _name(path: Path, value: object) -> str:
    if isinstance(value, str) and BUNDLE_NAME.fullmatch(value):
        return value
    mend = f"Name the directory of a bundle in {path.parent}: letters, digits, '.', '_' and '-'"
    raise DeploymentError(path, f"{value!r} is not the name of a bundle", mend)


def _bundles(models_dir: Path) -> str:
    names = sorted(entry.parent.name for entry in models_dir.glob("*/manifest.json"))
    return ", ".join(name for name in names if BUNDLE_NAME.fullmatch(name)) or "none"
