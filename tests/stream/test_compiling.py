"""How a worker comes to compiled models, and what it does where it does not."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog

from models.bundle import MODEL, Bundle
from models.compiled.cache import Cache
from models.compiled.identity import Identity, NotInstalled, identity_of
from stream.workers import compiling as module
from stream.workers.compiling import PATIENCE_MS, Compiling

pytest.importorskip("llvmlite", reason="the extra `compiled` is not installed")

from models.compiled.code import machine_code
from models.compiled.text import parse

WAIT_S = 300.0
Said = list[Any]


@pytest.fixture
def said() -> Iterator[Said]:
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.fixture
def bundle(bundles: tuple[Bundle, Bundle]) -> Bundle:
    return bundles[0]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def events(said: Said) -> list[str]:
    return [line["event"] for line in said]


def code_of(bundle: Bundle) -> bytes:
    return machine_code(parse((bundle.path / MODEL).read_text()))


def until(look: Callable[[], Bundle | None]) -> Bundle:
    tick = threading.Event()
    for _ in range(int(WAIT_S / 0.02)):
        found = look()
        if found is not None:
            return found
        tick.wait(0.02)
    raise AssertionError("it does not get ready")


def test_a_champion_is_compiled_beside_the_worker_and_at_once_the_next_time(
    bundle: Bundle, cache: Cache, said: Said
) -> None:
    compiling = Compiling(cache, makes=True, nice=0)
    assert compiling.at_once(bundle) is bundle
    assert compiling.look(bundle) is None
    ready = until(lambda: compiling.look(bundle))
    assert ready.is_compiled
    np.testing.assert_array_equal(ready.scorer.predict(bundle.golden), bundle.scorer.predict(bundle.golden))
    assert compiling.look(ready) is None
    assert events(said) == ["compiling", "compiled"]
    again = Compiling(cache, makes=True, nice=0).at_once(bundle)
    assert again is not None
    assert again.is_compiled


def test_what_the_cache_does_not_have_is_not_made_unless_wanted(
    bundle: Bundle, cache: Cache, said: Said
) -> None:
    compiling = Compiling(cache, makes=False)
    assert compiling.at_once(bundle) is bundle
    assert compiling.look(bundle) is None
    assert compiling._under_way is None
    cache.write(identity_of(bundle.digest), code_of(bundle))
    found = compiling.look(bundle)
    assert found is not None
    assert found.is_compiled
    assert events(said) == ["compiled"]


@pytest.mark.parametrize("makes", [True, False])
def test_a_damaged_file_is_never_loaded_and_made_anew(
    bundle: Bundle, cache: Cache, said: Said, makes: bool
) -> None:
    path = cache.write(identity_of(bundle.digest), code_of(bundle))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    compiling = Compiling(cache, makes=makes)
    assert compiling.at_once(bundle) is bundle
    assert compiling.look(bundle) is None
    assert events(said)[0] == "compiled_code_not_taken"
    assert "damaged" in said[0]["problem"]
    if makes:
        assert until(lambda: compiling.look(bundle)).is_compiled
        assert path.read_bytes() != bytes(data)
    assert events(said).count("compiled_code_not_taken") == 1


def test_code_that_says_something_else_is_refused_loudly_and_made_anew(
    bundles: tuple[Bundle, Bundle], cache: Cache, said: Said
) -> None:
    one, other = bundles
    cache.write(identity_of(one.digest), code_of(other))
    compiling = Compiling(cache, makes=True, nice=0)
    assert compiling.at_once(one) is one
    assert (said[0]["event"], said[0]["log_level"]) == ("compiled_code_refused", "error")
    assert "scores differ" in said[0]["problem"]
    assert until(lambda: compiling.look(one)).is_compiled


def test_in_a_directory_that_others_may_write_nothing_is_looked_for_and_nothing_kept(
    bundle: Bundle, cache: Cache, said: Said
) -> None:
    cache.write(identity_of(bundle.digest), code_of(bundle))
    cache.directory.chmod(0o777)
    compiling = Compiling(cache, makes=True, nice=0)
    assert compiling.at_once(bundle) is bundle
    assert until(lambda: compiling.look(bundle)).is_compiled
    assert events(said) == ["compiled_code_not_taken", "compiling", "compiled_code_not_kept", "compiled"]


def test_without_the_extra_lightgbm_goes_on_and_it_is_said_once(
    bundle: Bundle, cache: Cache, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: str) -> Identity:
        raise NotInstalled("pip install it")

    monkeypatch.setattr(module, "identity_of", refuse)
    compiling = Compiling(cache, makes=True, nice=0)
    for _ in range(3):
        assert compiling.at_once(bundle) is bundle
        assert compiling.look(bundle) is None
    assert events(said) == ["not_compiled"]
    assert said[0]["answering"] == "lightgbm"


def test_what_cannot_be_compiled_is_tried_once(
    bundle: Bundle, cache: Cache, said: Said, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'no room' >&2\nkill -9 $$\n")
    python.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(python))
    compiling = Compiling(cache, makes=True, nice=0)
    tick = threading.Event()
    for _ in range(int(WAIT_S / 0.02)):
        assert compiling.look(bundle) is None
        if "not_compiled" in events(said):
            break
        tick.wait(0.02)
    for _ in range(3):
        assert compiling.look(bundle) is None
    assert events(said) == ["compiling", "not_compiled"]
    assert said[1]["problem"] == "no room (ended with SIGKILL)"


def test_a_compilation_that_takes_too_long_is_ended(
    bundle: Bundle, cache: Cache, said: Said, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 600\n")
    python.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(python))
    now_ms = [0]
    compiling = Compiling(cache, makes=True, clock_ms=lambda: now_ms[0])
    assert compiling.look(bundle) is None
    assert compiling._under_way is not None
    process = compiling._under_way._process
    now_ms[0] = PATIENCE_MS
    assert compiling.look(bundle) is None
    assert process.returncode is not None
    assert events(said) == ["compiling", "not_compiled"]


def test_the_champion_before_is_compiled_no_longer(
    bundles: tuple[Bundle, Bundle], cache: Cache, said: Said
) -> None:
    compiling = Compiling(cache, makes=True, nice=0)
    assert compiling.look(bundles[0]) is None
    assert compiling._under_way is not None
    before = compiling._under_way._process
    assert compiling.look(bundles[1]) is None
    assert before.returncode is not None
    assert until(lambda: compiling.look(bundles[1])).version == bundles[1].version
    compiling.close()


def test_without_a_champion_nothing_is_compiled(cache: Cache, said: Said) -> None:
    compiling = Compiling(cache, makes=True, nice=0)
    assert compiling.at_once(None) is None
    assert compiling.look(None) is None
    assert said == []
