"""The long run: every target under atheris, as many at once as there are cores. See docs/fuzzing.md.

Prints a line for each target, writes build/fuzz.json, and fails where anything was found; what was found
stands in tests/fuzz/regressions from then on, where the test suite reads it.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.fuzz.catalog import TARGETS, Target
from tests.fuzz.kept import keep

SECONDS_PER_INPUT_MAX = 20
RSS_MB_MAX = 3_000
_STATUS = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)/")
_EXECUTED = re.compile(r"stat::number_of_executed_units:\s+(\d+)")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one target."""

    target: str
    inputs: int
    edges: int
    """Branches of the instrumented code that any input reached."""
    corpus: int
    """Inputs that each reached something new."""
    seconds: float
    findings: tuple[str, ...]
    """Files under tests/fuzz/regressions."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=int(os.environ.get("FUZZ_RUNS", "1050000")))
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**31)
    parser.add_argument("--directory", type=Path, default=Path("build/fuzz"))
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], default=[])
    chosen = parser.parse_args()
    names = chosen.targets or list(TARGETS)
    shares = sum(TARGETS[name].share for name in names)
    runs = {name: round(chosen.runs * TARGETS[name].share / shares) for name in names}
    print(f"seed {chosen.seed}, {chosen.jobs} at once", flush=True)
    print(f"{'target':<14}{'inputs':>10}{'edges':>8}{'corpus':>8}{'seconds':>9}  found", flush=True)
    with ThreadPoolExecutor(chosen.jobs) as pool:
        ended = [
            pool.submit(_fuzz, name, runs[name], chosen.seed, chosen.directory.resolve())
            for name in sorted(names, key=lambda name: -TARGETS[name].share)
        ]
        outcomes = [one.result() for one in ended]
    found = sum(len(one.findings) for one in outcomes)
    total = sum(one.inputs for one in outcomes)
    print(f"{'all':<14}{total:>10}{'':>25}  {found or 'nothing'}", flush=True)
    report = {"seed": chosen.seed, "inputs": total, "targets": [asdict(one) for one in outcomes]}
    Path("build").mkdir(exist_ok=True)
    Path("build/fuzz.json").write_text(json.dumps(report, indent=2) + "\n")
    complete = all(one.inputs >= runs[one.target] for one in outcomes)
    return 0 if complete and not found else 1


def _fuzz(name: str, runs: int, seed: int, directory: Path) -> Outcome:
    """One target, in processes of its own one after the other."""
    target, corpus, crashes = TARGETS[name], directory / "corpus" / name, directory / "found" / name
    for folder in (corpus, crashes):
        folder.mkdir(parents=True, exist_ok=True)
    for stale in crashes.iterdir():
        stale.unlink()
    for number, data in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(data)
    flags = [f"-max_len={target.bytes_max}", "-print_final_stats=1", f"-artifact_prefix={crashes}/"]
    flags += [f"-timeout={SECONDS_PER_INPUT_MAX}", f"-rss_limit_mb={RSS_MB_MAX}"]
    if target.words:
        flags.append(f"-dict={_dictionary(directory / f'{name}.dict', target)}")
    log = directory / f"{name}.log"
    log.unlink(missing_ok=True)
    began = time.monotonic()
    executed = edges = kept = 0
    while executed < runs and not any(crashes.iterdir()):
        some = min(runs - executed, target.process_inputs_max)
        said = _guided(name, [*flags, f"-runs={some}", f"-seed={seed + executed}", str(corpus)], log)
        status, done = _STATUS.findall(said), _EXECUTED.search(said)
        if done is None or not status:
            break
        executed += int(done[1])
        edges, kept = max(edges, int(status[-1][0])), int(status[-1][2])
    seconds = time.monotonic() - began
    findings = [keep(name, path.read_bytes()) for path in sorted(crashes.iterdir())]
    outcome = Outcome(name, executed, edges, kept, round(seconds, 1), tuple(findings))
    shown = ", ".join(findings) or ("-" if executed >= runs else f"ended early, see {log}")
    print(f"{name:<14}{executed:>10}{edges:>8}{kept:>8}{seconds:>9.0f}  {shown}", flush=True)
    return outcome


def _guided(name: str, flags: Sequence[str], log: Path) -> str:
    """What one process said, which is added to the log."""
    command = [sys.executable, "-m", "tests.fuzz.guided", name, *flags]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    with log.open("ab") as output:
        output.write(done.stdout)
    return done.stdout.decode("utf-8", "replace")


def _dictionary(path: Path, target: Target) -> Path:
    """The target's words as libFuzzer reads them."""
    escaped = ["".join(f"\\x{byte:02x}" for byte in word) for word in target.words]
    path.write_text("".join(f'"{word}"\n' for word in escaped))
    return path


if __name__ == "__main__":
    sys.exit(main())
