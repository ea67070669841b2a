"""The command line as a person meets it: what it prints, where, and the code it ends with."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from stream import cli
from stream.commands.endings import EXITS, ending_in_words
from stream.config import Settings
from stream.errors import ExitCode, Fatal

ROOT = Path(__file__).resolve().parents[2]
FRAUD = str(ROOT / "examples" / "fraud" / "usecase.yaml")


@dataclass(frozen=True, slots=True)
class Done:
    code: int
    out: str
    err: str


Riverrun = Callable[..., Done]


@pytest.fixture(autouse=True)
def no_settings_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment without settings of ours, in an empty directory."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as the command line would: put back afterwards
    for name in [name for name in os.environ if name.startswith("RIVERRUN_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def riverrun(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Riverrun:
    """Runs the console script's function in this process."""

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["riverrun", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return Done(int(ended.value.code or 0), captured.out, captured.err)

    return run


def test_help_names_every_command(riverrun: Riverrun) -> None:
    done = riverrun("--help")
    assert done.code == ExitCode.OK
    for command in (
        "score",
        "materialize",
        "train",
        "demo",
        "check",
        "schema",
        "config",
        "topics",
        "deadletters",
        "replay",
        "version",
    ):
        assert f"\n  {command} " in done.out


@pytest.mark.parametrize("command", ["score", "materialize", "config"])
def test_workers_and_config_take_the_same_flags(riverrun: Riverrun, command: str) -> None:
    done = riverrun(command, "--help")
    for flag in ("--config", "--usecase", "--models", "--kafka", "--redis", "--kafka-properties"):
        assert f"  {flag} " in done.out
    assert "  --http-port N" in done.out
    assert "  --set KEY=VALUE" in done.out


def test_config_shows_values_with_their_places_and_no_secret(
    riverrun: Riverrun, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("riverrun.yaml").write_text("batch:\n  wait_ms: 7\n")
    monkeypatch.setenv("RIVERRUN_REDIS__PASSWORD", "hunter2")
    done = riverrun("config", "--config", "riverrun.yaml", "--kafka", "h:1", "--set", "log.level=debug")
    assert done.code == ExitCode.OK
    rows = [line.split() for line in done.out.splitlines()]
    assert ["batch.wait_ms", "7", "riverrun.yaml:2"] in rows
    assert ["redis.password", "***", "RIVERRUN_REDIS__PASSWORD"] in rows
    assert ["kafka.bootstrap_servers", "h:1", "--kafka"] in rows
    assert ["log.level", "debug", "--set", "log.level"] in rows
    assert ["models", "-", "default"] in rows
    assert "hunter2" not in done.out


@pytest.mark.parametrize("command", [["config"], ["score"], ["materialize"], ["topics", "create"]])
def test_mistakes_in_settings_end_with_code_2_and_a_line_each(riverrun: Riverrun, command: list[str]) -> None:
    done = riverrun(*command, "--set", "batch.events_max=0", "--set", "kafka.grup=x", "--kafka", "nowhere")
    assert (done.code, done.out) == (ExitCode.CONFIGURATION, "")
    assert [line.partition(" (")[0] for line in done.err.splitlines()] == [
        "kafka.grup",
        "kafka.bootstrap_servers",
        "batch.events_max",
    ]


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        (["--set", "kafka.group"], "is not KEY=VALUE"),
        (["--set", "=x"], "is not KEY=VALUE"),
        (["--kafka", "a:1", "--set", "kafka.bootstrap_servers=b:1"], "is set by --kafka too"),
        (["--set", "drain_s=1", "--set", "drain_s=2"], "is set by another --set too"),
    ],
)
def test_a_flag_that_cannot_be_meant_is_refused(riverrun: Riverrun, given: list[str], cause: str) -> None:
    done = riverrun("config", *given)
    assert done.code == ExitCode.CONFIGURATION
    assert cause in done.err


def test_a_value_after_set_may_hold_equals_signs(riverrun: Riverrun) -> None:
    done = riverrun("config", "--set", "kafka.properties.sasl.username=a=b")
    assert ["kafka.properties.sasl.username", "a=b"] in [line.split()[:2] for line in done.out.splitlines()]


def test_check_prints_the_features_or_every_mistake(riverrun: Riverrun) -> None:
    done = riverrun("check", FRAUD)
    assert done.code == ExitCode.OK
    assert "terminal_mean_label_30d_delay_7d" in done.out
    Path("bad.yaml").write_text(Path(FRAUD).read_text().replace("binary", "guess").replace("1h", "x"))
    done = riverrun("check", "bad.yaml")
    assert (done.code, done.out) == (ExitCode.CONFIGURATION, "")
    assert [line.startswith("bad.yaml:") for line in done.err.splitlines()] == [True, True]


def test_check_sizes_only_with_a_rate_and_entities(riverrun: Riverrun) -> None:
    assert "memory in Redis" in riverrun("check", FRAUD, "--sizing", "--rate", "5", "--entities", "2e3").out
    for given in (["--sizing"], ["--rate", "0", "--entities", "1"], ["--rate", "1", "--entities", "nan"]):
        done = riverrun("check", FRAUD, *given)
        assert done.code == ExitCode.CONFIGURATION
        assert "needs --rate above 0 and --entities of at least 1" in done.err


def test_a_file_that_is_not_there_is_named(riverrun: Riverrun) -> None:
    for command in (["check", "none.yaml"], ["schema", "event", "none.yaml"]):
        done = riverrun(*command)
        assert done.code == ExitCode.CONFIGURATION
        assert "none.yaml" in done.err


def test_schemas_are_printed_as_json(riverrun: Riverrun) -> None:
    assert "amount" in json.loads(riverrun("schema", "event", FRAUD).out)["properties"]
    assert "features" in json.loads(riverrun("schema", "usecase").out)["properties"]
    done = riverrun("schema", "event")
    assert done.code == ExitCode.CONFIGURATION
    assert "made from a use case file" in done.err


def test_topics_create_says_where_the_use_case_was_named(riverrun: Riverrun) -> None:
    done = riverrun("topics", "create", "--usecase", "none.yaml")
    assert done.code == ExitCode.CONFIGURATION
    assert done.err.startswith("usecase (from --usecase): none.yaml cannot be read: No such file")


def test_demo_refuses_what_it_cannot_read_before_it_starts_anything(riverrun: Riverrun) -> None:
    for given in (["--speed", "x"], ["--break", "everything"], ["--train-from", "yesterday"]):
        done = riverrun("demo", *given)
        assert (done.code, done.out) == (ExitCode.CONFIGURATION, "")
        assert done.err.startswith(" ".join(given))


@pytest.mark.parametrize("name", ["score", "materialize"])
def test_a_worker_gets_the_settings_and_its_code_is_the_commands(
    riverrun: Riverrun, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    given: list[Settings] = []

    def run(settings: Settings) -> int:
        given.append(settings)
        return ExitCode.STALLED

    monkeypatch.setattr(f"stream.workers.{name}.run", run)
    arguments = ("--usecase", "u.yaml", "--models", "m", "--redis", "redis://h:1", "--http-port", "0")
    done = riverrun(name, *arguments, "--set", "materialize.complete_since=-5")
    assert done.code == ExitCode.STALLED
    (settings,) = given
    assert (settings.usecase, settings.models, settings.http.port) == (Path("u.yaml"), Path("m"), 0)
    assert settings.materialize.complete_since == -5


def test_what_only_a_person_can_mend_ends_with_code_3(
    riverrun: Riverrun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(settings: Settings) -> int:
        raise Fatal("topic fraud.events: is gone; create it")

    monkeypatch.setattr("stream.workers.score.run", run)
    assert riverrun("score") == Done(ExitCode.FATAL, "", "topic fraud.events: is gone; create it\n")


def test_a_bug_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(settings: Settings) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr("stream.workers.score.run", run)
    monkeypatch.setattr(sys, "argv", ["riverrun", "score"])
    with pytest.raises(ZeroDivisionError):
        cli.main()


@pytest.mark.parametrize("name", sorted(EXITS))
def test_every_error_that_ends_in_words_exists_under_its_name(name: str) -> None:
    module, _, kind = name.rpartition(".")
    found = getattr(__import__(module, fromlist=[kind]), kind)
    assert issubclass(found, Exception)
    assert found.__module__ == module


def test_a_package_of_an_extra_that_is_missing_is_named_with_the_extra(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended, ending_in_words():
        raise ModuleNotFoundError("No module named 'pyarrow'", name="pyarrow.parquet")
    assert ended.value.code == ExitCode.CONFIGURATION
    assert "pip install 'riverrun[train]'" in capsys.readouterr().err
    with pytest.raises(ModuleNotFoundError), ending_in_words():
        raise ModuleNotFoundError("No module named 'stream.workers.nothing'", name="stream.workers.nothing")


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_it_runs_as_a_module() -> None:
    done = process("-m", "stream.cli", "config", "--set", "drain_s=0")
    assert done.returncode == ExitCode.CONFIGURATION
    assert done.stderr.startswith("drain_s (from --set drain_s): ")


def test_help_loads_no_client_library_and_openmp_is_held_to_one_thread_before_lightgbm() -> None:
    code = """
import os, sys
from stream import cli
sys.argv = ["riverrun", "--help"]
try:
    cli.main()
except SystemExit:
    pass
heavy = {"numpy", "lightgbm", "confluent_kafka", "redis", "pyarrow", "rich"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}), os.environ["OMP_NUM_THREADS"])
"""
    done = process("-c", code)
    assert done.stdout.splitlines()[-1] == "[] 1", done.stderr
