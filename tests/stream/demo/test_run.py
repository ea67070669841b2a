"""`riverrun demo` as a person runs it: the real workers, over the embedded servers."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
import redis
from confluent_kafka.admin import AdminClient

from features.definition import load_definition
from stream.demo import examples

pytestmark = pytest.mark.slow
COMMAND = [sys.executable, "-m", "stream.cli", "demo", "--speed", "max"]


def demo(folder: Path, *arguments: str) -> dict[str, Any]:
    """The summary of a run that went well."""
    files = ["--summary", str(folder / "summary.json"), "--predictions", str(folder / "predictions.parquet")]
    done = subprocess.run(
        [*COMMAND, *files, *arguments], check=False, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    summary["said"] = done.stdout
    assert (summary["lost"], summary["duplicates"], summary["problems"]) == (0, 0, [])
    assert summary["predictions"] == summary["events"]
    return summary


def test_cards_are_scored_and_the_figures_are_those_of_a_model(tmp_path: Path) -> None:
    summary = demo(tmp_path)
    assert summary["sources"] == {"model": summary["events"]}
    assert summary["degradations"] == {}
    assert summary["fallbacks"] == {}
    assert summary["roc_auc"] > 0.85
    assert summary["average_precision_protocol"] > 0.5
    assert summary["card_precision_at_100_protocol"] > 0.2
    assert set(summary["latency_ms"]) == {"p50", "p99"}
    table = pq.read_table(tmp_path / "predictions.parquet")
    assert table.num_rows == summary["events"]
    fraud = load_definition(examples.path("fraud"))
    assert tuple(table.column_names[-len(fraud.feature_names) :]) == fraud.feature_names
    assert table["score"].null_count == 0
    assert set(table["model_version"].to_pylist()) == {summary["model_version"]}


@pytest.mark.parametrize(
    ("name", "metric"), [("maintenance", "roc_auc"), ("maintenance/remaining_life", "rmse")]
)
def test_machines_without_a_clock_go_through_the_same_code(tmp_path: Path, name: str, metric: str) -> None:
    summary = demo(tmp_path, "--usecase", name)
    assert summary["sources"] == {"model": summary["events"]}
    assert summary["degradations"] == {}
    assert summary[metric] > 0.95 if metric == "roc_auc" else summary[metric] < 30


def test_rules_answer_while_redis_is_dead_and_the_model_when_it_is_back(tmp_path: Path) -> None:
    summary = demo(tmp_path, "--break", "redis")
    assert summary["sources"]["rules"] > 0
    told = {"store_down", "store_timeout", "rebuilding"}  # the last while what it may have lost is repeated
    assert summary["fallbacks"].keys() <= told
    said = summary["said"]
    words = ["redis killed", "rules answer (store", "redis is back", "model answers again"]
    assert [said.index(word) for word in words] == sorted(said.index(word) for word in words)
    table = pq.read_table(tmp_path / "predictions.parquet")
    for source, causes in zip(table["source"].to_pylist(), table["degradations"].to_pylist(), strict=True):
        assert (source == "rules") == bool(told & set(causes or []))


def test_a_damaged_bundle_is_refused_and_rules_answer_without_one(tmp_path: Path) -> None:
    summary = demo(tmp_path, "--break", "model")
    assert summary["sources"]["rules"] == summary["fallbacks"]["no_model"] > 0
    said = summary["said"]
    words = ["-damaged refused; champion", "rules answer (no_model)", "model answers again"]
    assert [said.index(word) for word in words] == sorted(said.index(word) for word in words)


def test_poison_ends_in_the_dead_letters_and_costs_no_event(tmp_path: Path) -> None:
    summary = demo(tmp_path, "--break", "poison")
    assert summary["dead_letters"] == summary["poison"] > 50
    assert summary["sources"] == {"model": summary["events"]}


def test_on_servers_that_are_given_a_run_has_topics_of_its_own_and_leaves_no_rows(
    tmp_path: Path, kafka: str, redis_url: str
) -> None:
    summary = demo(tmp_path, "--usecase", "maintenance", "--kafka", kafka, "--redis", redis_url)
    assert summary["sources"] == {"model": summary["events"]}
    assert summary["degradations"] == {}
    (events,) = re.findall(r"left on Kafka to look at: (maintenance_[0-9a-f]{8})\.events", summary["said"])
    topics = AdminClient({"bootstrap.servers": kafka}).list_topics(timeout=30).topics
    assert f"{events}.predictions" in topics
    client = redis.Redis.from_url(redis_url)
    assert list(client.scan_iter(f"rr:{events}:*")) == []
    client.close()


def test_a_worker_that_dies_is_a_failure_with_the_end_of_its_log() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "stream.cli", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        said = until(process, "are ready")
        worker_of(process.pid, "score").kill()
        assert process.stdout is not None
        said += process.stdout.read()
    assert process.returncode == 1
    assert "FAILED: worker score ended by itself" in said
    assert "the end of score's log" in said


def test_ctrl_c_ends_workers_and_servers_and_leaves_no_files() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "stream.cli", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        until(process, "are ready")
        children = psutil.Process(process.pid).children(recursive=True)
        worker = worker_of(process.pid, "score")
        folder = Path(worker.cmdline()[worker.cmdline().index("--models") + 1]).parent
        assert folder.is_dir()
        os.kill(process.pid, signal.SIGINT)
        said = process.communicate(timeout=60)[0]
    assert process.returncode == 130, said
    assert "interrupted; workers and servers are stopped" in said
    assert len(children) >= 3
    assert not any(child.is_running() for child in children)
    assert not folder.exists()


def until(process: "subprocess.Popen[str]", words: str) -> str:
    """What it says up to the line with these words."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(said)


def worker_of(demo_pid: int, name: str) -> psutil.Process:
    children = psutil.Process(demo_pid).children(recursive=True)
    return next(child for child in children if name in child.cmdline())


def test_what_cannot_be_done_is_said_before_anything_starts(tmp_path: Path) -> None:
    for arguments, words in (
        (["--usecase", "churn"], "neither a file nor a use case"),
        (["--break", "redis", "--redis", "redis://localhost"], "not ours to kill"),
        (["--transactions", str(tmp_path / "none.parquet")], "cannot be read as parquet"),
    ):
        done = subprocess.run([*COMMAND, *arguments], check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2
        assert words in done.stdout + done.stderr
