"""What a run is worth keeping of: build/chaos.json."""

import json
import os
import platform
import subprocess
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import confluent_kafka
import numpy as np

from tests.chaos.harness.audit import Account, Finding
from tests.chaos.harness.fleet import Fleet
from tests.chaos.harness.recovery import Recovery
from tests.chaos.harness.run import Outcome
from tests.chaos.harness.stamps import Verdict
from tests.chaos.harness.trial import Trial

PATH = Path("build/chaos.json")


def report(trial: Trial, outcome: Outcome) -> dict[str, Any]:
    """JSON data."""
    kinds = Counter(one.kind for one in outcome.happened)
    return {
        "seed": trial.seed,
        "protocol": trial.protocol,
        "faults": len(outcome.happened),
        "faults_by_kind": dict(sorted(kinds.items())),
        "events": len(trial.generator.books),
        "seconds": round(outcome.seconds),
        "stuck": outcome.stuck,
        "modes": {
            mode: {**_account(outcome.accounts[mode]), **_verdict(outcome.verdicts[mode])}
            for mode in outcome.accounts
        },
        "exits": {fleet.name.removeprefix(f"{trial.name}-"): exits(fleet) for fleet in trial.fleets.all},
        "recovery": {mode: by_kind(found) for mode, found in outcome.recoveries.items()},
        "happened": [
            {"kind": one.kind, "what": one.what, "begin_ms": one.begin_ms, "end_ms": one.end_ms}
            for one in outcome.happened
        ],
        "environment": environment(),
    }


def write(data: dict[str, Any], path: Path = PATH) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(data, indent=2) + "\n")


def exits(fleet: Fleet) -> dict[str, int]:
    """How often by exit code; what was asked for apart."""
    return dict(sorted(fleet.codes.items()))


def by_kind(found: Sequence[Recovery]) -> dict[str, Any]:
    """p50 and maximum, over all faults and by kind."""
    grouped: dict[str, list[Recovery]] = defaultdict(list)
    for one in found:
        grouped["all"].append(one)
        grouped[one.kind].append(one)
    return {kind: _times(some) for kind, some in sorted(grouped.items())}


def environment() -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 2**30, 1),
        "load": [round(load, 1) for load in os.getloadavg()],
        "python": platform.python_version(),
        "system": platform.platform(),
        "librdkafka": confluent_kafka.libversion()[0],
        "redis": _said("redis-server", "--version"),
        "java": _said("java", "--version"),
    }


def _account(found: Account) -> dict[str, Any]:
    kinds = ("lost", "duplicated", "disordered", "wrongly_lettered", "strangers")
    counts = {kind: getattr(found, kind).count for kind in kinds}
    numbers = {name: getattr(found, name) for name in ("events", "predictions", "poison", "letters")}
    return {**numbers, **counts, "examples": _examples({kind: getattr(found, kind) for kind in kinds})}


def _verdict(found: Verdict) -> dict[str, Any]:
    return {
        "false_stamps": found.false_stamps.count,
        "clean": found.clean,
        "unexplained": dict(found.unexplained),
        "sources": dict(found.sources),
        "causes": dict(found.causes),
        "false_stamps_examples": found.false_stamps.examples,
    }


def _examples(findings: dict[str, Finding]) -> dict[str, list[str]]:
    return {kind: finding.examples for kind, finding in findings.items() if finding.examples}


def _times(some: Sequence[Recovery]) -> dict[str, Any]:
    after = [one.after_end_s for one in some]
    waits = [one.from_begin_s for one in some]
    return {
        "faults": len(some),
        "after_end_s": {"p50": round(float(np.median(after)), 2), "max": round(max(after), 2)},
        "longest_wait_s": {"p50": round(float(np.median(waits)), 2), "max": round(max(waits), 2)},
    }


def _said(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "none"
    return (done.stdout or done.stderr).strip().splitlines()[0]
