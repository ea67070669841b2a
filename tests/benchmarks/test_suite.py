"""The report of the whole suite: parts merged, and shown."""

import json
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console

from benchmarks.__main__ import merged
from benchmarks.report import show

ROOT = Path(__file__).parents[2]
THROUGHPUT = {
    "benchmark": "throughput",
    "ratios": {"plain_to_passthrough": 0.41, "eos_to_alo": 0.8, "beyond_the_goals": 2.0},
    "cpu_ratios": {"plain_to_passthrough": 0.39},
    "ratio_details": {"plain_to_passthrough": {"spread": [0.4, 0.42]}},
    "contestants": {
        "plain": {
            "kind": "ours",
            "events_per_s": 100_000,
            "events_per_s_spread": [90_000, 110_000],
            "cpu_us_per_event": 6.5,
            "cpu_share": 0.98,
            "rss_peak_mb": 210.5,
            "broker_cpu_us_per_event": 3.0,
            "redis_cpu_us_per_event": 0.5,
        }
    },
    "left_out": {"quix": "there is no environment"},
}
LATENCY = {"ratios": {"own_p99_ms": 0.7}, "by_rate": {"1000": {}}}


def run_check(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "benchmarks.check", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def written(path: Path, ratios: dict[str, float]) -> Path:
    path.write_text(json.dumps({"ratios": ratios}))
    return path


def test_ratios_of_all_parts_stand_together_and_once() -> None:
    report = merged({"throughput": THROUGHPUT, "latency": LATENCY}, {"growth": "it ended with code 1"})
    assert report["ratios"] == {
        "plain_to_passthrough": 0.41,
        "eos_to_alo": 0.8,
        "beyond_the_goals": 2.0,
        "own_p99_ms": 0.7,
    }
    assert report["parts"]["latency"] == {"by_rate": {"1000": {}}}
    assert "ratios" not in report["parts"]["throughput"]
    assert report["failed"] == {"growth": "it ended with code 1"}


def test_the_table_says_what_was_reached_missed_and_not_measured() -> None:
    text = StringIO()
    report = merged({"throughput": THROUGHPUT}, {"growth": "it ended with code 1"})
    show(report, Console(file=text, width=200, highlight=False))
    lines = {line.split()[0]: line for line in text.getvalue().splitlines() if line.strip()}
    assert "reached" in lines["plain_to_passthrough"]
    assert "0.4 – 0.42" in lines["plain_to_passthrough"]
    assert "missed" in lines["eos_to_alo"]
    assert "not measured" in lines["read_to_feast_1"]
    assert "100,000" in lines["plain"]
    assert lines["growth"] == "growth failed: it ended with code 1"
    assert lines["quix"] == "quix did not take part: there is no environment"


def test_the_check_ends_with_1_where_something_became_slower(tmp_path: Path) -> None:
    baseline = written(tmp_path / "baseline.json", {"plain_to_passthrough": 0.4})
    good = run_check(written(tmp_path / "good.json", {"plain_to_passthrough": 0.38}), "--baseline", baseline)
    bad = run_check(written(tmp_path / "bad.json", {"plain_to_passthrough": 0.2}), "--baseline", baseline)
    assert (good.returncode, bad.returncode) == (0, 1)
    assert "WORSE" in bad.stdout


def test_a_run_that_is_accepted_becomes_the_baseline(tmp_path: Path) -> None:
    run = written(tmp_path / "bench.json", {"plain_to_passthrough": 0.4, "beyond_the_goals": 2.0})
    baseline = tmp_path / "baseline.json"
    assert run_check(run, "--baseline", baseline, "--accept").returncode == 0
    assert json.loads(baseline.read_text()) == {"ratios": {"plain_to_passthrough": 0.4}}


def test_without_a_run_the_check_says_what_makes_one(tmp_path: Path) -> None:
    done = run_check(tmp_path / "none.json")
    assert done.returncode == 1
    assert "make bench" in done.stderr
