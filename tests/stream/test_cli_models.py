"""`riverrun models compile`: compiled code into the cache, for workers that begin later."""

from pathlib import Path

import pytest

from models.bundle import Bundle
from models.compiled.cache import Cache, CacheUnusable
from models.compiled.identity import identity_of
from models.deployment import Deployment, DeploymentError, write_deployment
from stream.config import Settings, compiled_cache, load_settings
from stream.errors import ConfigurationError, ExitCode
from stream.workers.compile import run
from stream.workers.compiling import Compiling
from tests.stream.visits import trained

pytest.importorskip("llvmlite", reason="the extra `compiled` is not installed")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    trained(folder, 0)
    trained(folder, 1)
    return folder


@pytest.fixture
def settings(models: Path, tmp_path: Path) -> Settings:
    return load_settings(None, {}, {"--models": str(models), "model.cache": str(tmp_path / "cache")})


def test_what_is_deployed_is_compiled_once(
    settings: Settings, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_deployment(models, Deployment("v1", "v0"))
    assert run(settings, ()) == ExitCode.OK
    first = capsys.readouterr().out.splitlines()
    assert [line.split(" in ")[0] for line in first] == ["v1: compiled", "v0: compiled"]
    assert run(settings, ()) == ExitCode.OK
    again = capsys.readouterr().out.splitlines()
    assert [line.split(":")[1] for line in again] == [" compiled already"] * 2


def test_a_worker_that_begins_afterwards_answers_compiled_at_once(
    settings: Settings, bundles: tuple[Bundle, Bundle]
) -> None:
    assert run(settings, ["v0"]) == ExitCode.OK
    ready = Compiling(Cache(compiled_cache(settings)), makes=False).at_once(bundles[0])
    assert ready is not None
    assert ready.is_compiled


def test_a_damaged_file_is_made_anew(
    settings: Settings, bundles: tuple[Bundle, Bundle], capsys: pytest.CaptureFixture[str]
) -> None:
    cache = Cache(compiled_cache(settings))
    identity = identity_of(bundles[0].digest)
    cache.write(identity, b"damaged").write_bytes(b"?")
    assert run(settings, ["v0"]) == ExitCode.OK
    assert "compiled in" in capsys.readouterr().out
    assert cache.read(identity)


def test_what_cannot_be_compiled_is_told_and_the_rest_is_done(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    assert run(settings, ["v0", "v1"]) == ExitCode.FAILED
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[1] for line in lines] == [" left to LightGBM"] * 2


def test_a_directory_that_others_may_write_ends_it(settings: Settings) -> None:
    folder = compiled_cache(settings)
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(CacheUnusable, match="others may write it"):
        run(settings, ["v0"])


def test_without_a_directory_of_models_or_a_deployment_there_is_nothing_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="give --models DIR"):
        run(load_settings(None, {}, {}), ())
    with pytest.raises(DeploymentError):
        run(load_settings(None, {}, {"--models": str(tmp_path)}), ())


@pytest.mark.parametrize(
    ("given", "environ", "expected"),
    [
        ({"model.cache": "/a/b"}, {"XDG_CACHE_HOME": "/x"}, "/a/b"),
        ({}, {"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/riverrun/compiled"),
        ({}, {"XDG_CACHE_HOME": "not/absolute", "HOME": "/h"}, "/h/.cache/riverrun/compiled"),
        ({}, {"HOME": "/h"}, "/h/.cache/riverrun/compiled"),
    ],
)
def test_the_cache_is_where_the_setting_or_the_user_keeps_such_things(
    given: dict[str, str], environ: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert compiled_cache(load_settings(None, {}, given)) == Path(expected)
