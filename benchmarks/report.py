"""The report of `make bench` for people: contestants, and ratios beside what is aimed at."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.goals import GOALS

_COLUMNS = {
    "events/s": "events_per_s",
    "µs CPU": "cpu_us_per_event",
    "of a core": "cpu_share",
    "MB": "rss_peak_mb",
    "broker µs": "broker_cpu_us_per_event",
    "Redis µs": "redis_cpu_us_per_event",
}


def show(report: Mapping[str, Any], console: Console) -> None:
    """report: what `python -m benchmarks` writes."""
    contestants = report["parts"].get("throughput", {}).get("contestants", {})
    if contestants:
        console.print(contestants_table(contestants))
        console.print()
    console.print(ratios_table(report))
    for name, why in report["failed"].items():
        console.print(f"{name} failed: {why}", soft_wrap=True)
    for name, why in report["parts"].get("throughput", {}).get("left_out", {}).items():
        console.print(f"{name} did not take part: {why}", soft_wrap=True)


def contestants_table(contestants: Mapping[str, Mapping[str, Any]]) -> Table:
    """Medians, with the quartiles of events/s."""
    table = _table("contestant", "", *_COLUMNS, "quartiles of events/s")
    for name, found in contestants.items():
        numbers = [f"{found[key]:,}" for key in _COLUMNS.values()]
        low, high = found["events_per_s_spread"]
        table.add_row(name, found["kind"], *numbers, f"{low:,} – {high:,}")
    return table


def ratios_table(report: Mapping[str, Any]) -> Table:
    """Every ratio there is, and those goals that were not measured."""
    table = _table("ratio", "", "found", "of CPU", "spread", "aim")
    found, cpu, details = report["ratios"], report["cpu_ratios"], report["ratio_details"]
    for name in dict.fromkeys([*GOALS, *found]):
        goal, value = GOALS.get(name), found.get(name)
        said = "not measured" if value is None else "" if goal is None else _verdict(goal.is_met(value))
        aim = "" if goal is None else f"{'≥' if goal.more_is_better else '≤'} {goal.aim:g}"
        spread = details.get(name, {}).get("spread")
        table.add_row(
            name,
            said,
            "" if value is None else f"{value:g}",
            f"{cpu[name]:g}" if name in cpu else "",
            f"{spread[0]:g} – {spread[1]:g}" if spread else "",
            aim,
        )
    return table


def _verdict(is_met: bool) -> str:
    return "reached" if is_met else "missed"


def _table(*headings: str) -> Table:
    """Words to the left, numbers to the right."""
    table = Table(box=None, pad_edge=False)
    for at, heading in enumerate(headings):
        table.add_column(heading, justify="left" if at < 2 else "right", no_wrap=True)
    return table
