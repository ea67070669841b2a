"""Compiling real bundles in a process of its own."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.bundle import MODEL, Bundle, load_bundle
from models.compiled.cache import encode
from models.compiled.compilation import Compilation, Failed
from models.compiled.identity import identity_of
from models.explain import contributions
from models.training.train import TrainResult
from tests.models.test_bundle import reseal

pytest.importorskip("llvmlite", reason="the extra `compiled` is not installed")

from models.compiled.activate import CompiledRefused, NotSupported, activate
from models.compiled.code import machine_code
from models.compiled.text import parse

WAIT_S = 60.0


@pytest.fixture(scope="module")
def orders(trained: Mapping[str, TrainResult]) -> Bundle:
    return load_bundle(trained["orders"].path)


def result_of(bundle: Bundle) -> bytes | Failed:
    compilation = Compilation(bundle, identity_of(bundle.digest))
    try:
        return compilation.wait()
    finally:
        compilation.close()


@pytest.mark.parametrize("name", ["orders", "sizes", "pumps"])
def test_a_bundle_is_compiled_and_answers_the_same(name: str, trained: Mapping[str, TrainResult]) -> None:
    bundle = load_bundle(trained[name].path)
    code = result_of(bundle)
    assert isinstance(code, bytes), code
    compiled = activate(bundle, code)
    assert compiled.is_compiled
    assert not bundle.is_compiled
    np.testing.assert_array_equal(
        compiled.scorer.predict(bundle.golden), bundle.scorer.predict(bundle.golden)
    )
    assert contributions(compiled, bundle.golden, 3) == contributions(bundle, bundle.golden, 3)


def test_code_of_another_model_is_refused(orders: Bundle) -> None:
    """Whatever a cache file says of itself: the scores decide."""
    forest = parse((orders.path / MODEL).read_text())
    last = forest.trees[-1]
    nudged = replace(last, leaves=(last.leaves[0] + 1e-12, *last.leaves[1:]))
    with pytest.raises(CompiledRefused, match=r"\d+ of \d+ scores differ; features"):
        activate(orders, machine_code(replace(forest, trees=(*forest.trees[:-1], nudged))))


def test_a_bundle_that_is_another_by_now_is_not_compiled(orders: Bundle) -> None:
    was = replace(orders, manifest=replace(orders.manifest, model_digest="0" * 64))
    result = result_of(was)
    assert isinstance(result, Failed)
    assert "holds another model by now" in result.cause
    with pytest.raises(NotSupported, match="is not what it was"):
        activate(was, b"")


def test_a_bundle_that_is_gone_is_told(orders: Bundle, tmp_path: Path) -> None:
    gone = replace(orders, path=tmp_path / "gone")
    result = result_of(gone)
    assert isinstance(result, Failed)
    assert str(tmp_path / "gone") in result.cause


def test_a_model_of_another_kind_is_left_to_lightgbm(copied: Callable[[str], Path]) -> None:
    path = copied("pumps")
    text = (path / MODEL).read_text()
    (path / MODEL).write_text(text.replace("version=v4", "version=v5"))
    reseal(path)
    result = result_of(load_bundle(path))
    assert isinstance(result, Failed)
    assert result.cause.startswith("its text is of version v5")


@pytest.fixture
def compilation(orders: Bundle) -> Iterator[Compilation]:
    made = Compilation(orders, identity_of(orders.digest))
    yield made
    made.close()


def test_what_is_closed_ends(compilation: Compilation) -> None:
    process = compilation._process
    compilation.close()
    assert process.returncode is not None


STARTS_ONE = """
import os, pathlib, sys
from models.bundle import load_bundle
from models.compiled.compilation import Compilation
from models.compiled.identity import identity_of
bundle = load_bundle(pathlib.Path(sys.argv[1]))
made = Compilation(bundle, identity_of(bundle.digest))
print(made._process.pid, flush=True)
os._exit(0)
"""


def test_it_does_not_outlive_the_process_that_began_it(orders: Bundle) -> None:
    command = [sys.executable, "-c", STARTS_ONE, str(orders.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    child = Path("/proc", done.stdout.strip())
    tick = threading.Event()
    for _ in range(int(WAIT_S / 0.05)):
        if not child.exists() or "State:\tZ" in (child / "status").read_text():
            break
        tick.wait(0.05)
    else:
        pytest.fail("it goes on")


def test_what_it_makes_is_what_the_cache_keeps(orders: Bundle) -> None:
    command = [sys.executable, "-m", "models.compiled", str(orders.path), orders.digest, "0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        made = process.stdout.read()
        code = process.wait()
    identity = identity_of(orders.digest)
    assert made.startswith(encode(identity, b"")[:40])
    assert code == os.EX_OK
