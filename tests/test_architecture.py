"""What import-linter cannot see: who reads clocks, chance and the environment, and how long files are."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(path for tree in ("features", "models", "stream") for path in (ROOT / tree).rglob("*.py"))
TOUCH_THE_ENVIRONMENT = {
    "stream/config.py",  # it is what reads settings
    "models/threads.py",  # OpenMP learns its number of threads in no other way than OMP_NUM_THREADS
}
ENVIRONMENT = {"os.environ", "os.environb", "os.getenv", "os.putenv"}
CLOCKS_AND_CHANCE = {
    "datetime.date.today",
    "datetime.datetime.now",
    "datetime.datetime.today",
    "datetime.datetime.utcnow",
    "numpy.random.default_rng()",
    "os.urandom",
    "random",
    "secrets",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.perf_counter_ns",
    "time.sleep",
    "time.time",
    "time.time_ns",
    "uuid.uuid1",
    "uuid.uuid4",
}


def is_pure(path: Path) -> bool:
    """Whether a file belongs to the core that gets time and randomness as arguments.

    Drivers of stores have time limits of their own, and training writes down when it ran.
    """
    place = path.relative_to(ROOT).as_posix()
    if place.startswith(("features/stores/", "models/training/")):
        return False
    return place.startswith(("features/", "models/", "stream/pipeline/"))


def names_used(tree: ast.Module) -> Iterator[str]:
    """Dotted names that a module imports or reaches through imports; `x()` is a call without arguments."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.asname or alias.name.partition(".")[0]
                known[bound] = alias.name if alias.asname else bound
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                known[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if name := dotted(node, known):
            yield name
        if isinstance(node, ast.Call) and not node.args and not node.keywords:
            yield f"{dotted(node.func, known)}()"


def dotted(node: ast.AST, known: dict[str, str]) -> str | None:
    """The full name that an attribute chain stands for, if it starts at an import."""
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.Attribute) and (owner := dotted(node.value, known)):
        return f"{owner}.{node.attr}"
    return None


def forbidden(source: str, names: set[str]) -> set[str]:
    """Those of `names` that the source uses, or anything inside them."""
    used = set(names_used(ast.parse(source)))
    return {name for name in names if any(use == name or use.startswith(f"{name}.") for use in used)}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import time\ntime.time()", {"time.time"}),
        ("from time import time_ns as now\nnow()", {"time.time_ns"}),
        ("import datetime as dt\ndt.datetime.now(tz)", {"datetime.datetime.now"}),
        ("import random", {"random"}),
        ("from random import choice", {"random"}),
        ("import numpy as np\nnp.random.default_rng()", {"numpy.random.default_rng()"}),
        ("import numpy as np\nnp.random.default_rng(seed)", set()),
        ("import time\ntime.strftime('%Y', moment)", set()),
    ],
)
def test_the_search_sees_through_aliases(source: str, found: set[str]) -> None:
    assert forbidden(source, CLOCKS_AND_CHANCE) == found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_only_the_configuration_reads_the_environment(path: Path) -> None:
    allowed = ENVIRONMENT if path.relative_to(ROOT).as_posix() in TOUCH_THE_ENVIRONMENT else set()
    assert forbidden(path.read_text(), ENVIRONMENT) <= allowed


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if is_pure(path)], ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_the_pure_core_asks_nobody_for_the_time_or_for_chance(path: Path) -> None:
    assert forbidden(path.read_text(), CLOCKS_AND_CHANCE) == set()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_tells_one_thing_in_at_most_300_lines(path: Path) -> None:
    lines = path.read_text().count("\n")
    assert lines <= 300
