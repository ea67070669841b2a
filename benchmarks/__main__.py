"""The whole suite: every part one after the other, one JSON object in build/bench.json, and a table.

Each part is a program of its own that prints one JSON object with its `ratios`. One that fails is named in
the report, and the others go on.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.check import RUN
from benchmarks.environment import environment
from benchmarks.report import show

PARTS: Mapping[str, Sequence[str]] = {
    "throughput": (),
    "latency": (),
    "growth": (),
    "swap": (),
    "feature_reads": (),
}
"""Modules of this package, with their arguments."""
MERGED = ("ratios", "cpu_ratios", "ratio_details")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas")
    parser.add_argument("--out", type=Path, default=RUN)
    chosen = parser.parse_args()
    around = environment()
    found: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    for name in chosen.only.split(","):
        try:
            found[name] = part(name, PARTS[name])
        except PartFailed as error:
            failed[name] = str(error)
    report = merged(found, failed) | {"environment": around}
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(report, indent=2) + "\n")
    show(report, Console(highlight=False))
    sys.exit(bool(failed))


class PartFailed(Exception):
    """The text says how."""


def part(name: str, arguments: Sequence[str]) -> dict[str, Any]:
    """What a part printed; what it says meanwhile is for who waits. Raises `PartFailed`."""
    if importlib.util.find_spec(f"benchmarks.{name}") is None:
        raise PartFailed("there is no such part")
    print(f"==> {name}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise PartFailed(f"it ended with code {done.returncode}")
    try:
        found = json.loads(done.stdout)
    except ValueError as error:
        raise PartFailed(f"it printed no JSON: {error}") from None
    if not isinstance(found, dict):
        raise PartFailed("it printed no JSON object")
    return found


def merged(found: Mapping[str, Mapping[str, Any]], failed: Mapping[str, str]) -> dict[str, Any]:
    """All ratios together, and beside them every part's own report without them."""
    together: dict[str, dict[str, Any]] = {key: {} for key in MERGED}
    for report in found.values():
        for key in MERGED:
            together[key] |= report.get(key, {})
    parts = {
        name: {key: value for key, value in report.items() if key not in MERGED}
        for name, report in found.items()
    }
    return {**together, "parts": parts, "failed": dict(failed)}


if __name__ == "__main__":
    main()
