"""Whether anything became slower: the ratios of build/bench.json against those of benchmarks/baseline.json.

Absolute figures are a machine's, and ratios measured side by side are nearly ours alone; by how much noise
still moves them stands with each in benchmarks/goals.py. A ratio that is worse than the baseline by more ends
this with code 1, and so does one that the baseline has and the run has not. `--accept` makes the run the new
baseline.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.goals import GOALS, Goal

RUN, BASELINE = Path("build/bench.json"), Path(__file__).parent / "baseline.json"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one ratio that the baseline has."""

    name: str
    baseline: float
    value: float | None
    """None where the run has none."""
    worst: float
    """What would still pass."""
    is_worse: bool


def judge(
    baseline: Mapping[str, float], found: Mapping[str, float], goals: Mapping[str, Goal] = GOALS
) -> list[Verdict]:
    """In the order of the baseline. What is no goal is not judged."""
    verdicts = []
    for name, before in baseline.items():
        if (goal := goals.get(name)) is not None:
            now = found.get(name)
            worse = now is None or goal.is_worse(now, before)
            verdicts.append(Verdict(name, before, now, goal.worst(before), worse))
    return verdicts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", type=Path, default=RUN)
    parser.add_argument("--baseline", type=Path, default=BASELINE)
    parser.add_argument("--accept", action="store_true", help="make the run the baseline")
    chosen = parser.parse_args()
    found = read_ratios(chosen.run, "`make bench` writes it")
    if chosen.accept:
        kept = {name: value for name, value in found.items() if name in GOALS}
        chosen.baseline.write_text(json.dumps({"ratios": kept}, indent=2) + "\n")
        return
    verdicts = judge(read_ratios(chosen.baseline, "--accept writes it"), found)
    show(verdicts, Console(highlight=False))
    sys.exit(any(one.is_worse for one in verdicts))


def read_ratios(path: Path, mend: str) -> dict[str, float]:
    """Ends the program where there are none."""
    try:
        ratios = json.loads(path.read_bytes())["ratios"]
    except FileNotFoundError:
        sys.exit(f"there is no {path}; {mend}")
    except (ValueError, KeyError) as error:
        sys.exit(f"{path} holds no ratios: {error!r}; {mend}")
    return dict(ratios)


def show(verdicts: list[Verdict], console: Console) -> None:
    """As a table."""
    table = Table(box=None, pad_edge=False)
    for heading in ("ratio", "baseline", "now", "may be", ""):
        table.add_column(heading, justify="left" if heading in ("ratio", "") else "right")
    for one in verdicts:
        now = "none" if one.value is None else f"{one.value:.3f}"
        said = "WORSE" if one.is_worse else "as good"
        table.add_row(one.name, f"{one.baseline:.3f}", now, f"{one.worst:.3f}", said)
    console.print(table)


if __name__ == "__main__":
    main()
