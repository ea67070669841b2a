"""Which part of the events topic is replayed: between two points in time, or two places of its partitions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from features.arrays import Ints, UInts
from features.event import position_offsets, position_partitions
from stream.errors import ConfigurationError, SettingProblem
from stream.transport.kafka.ranges import Offsets, TopicRanges

EVENTS_MAX = 5_000_000
"""Records of a range: what was served for each is held in memory."""

Bound: TypeAlias = int | Mapping[int, int]
"""ms since the epoch, by the records' own timestamps; or offsets by partition."""


@dataclass(frozen=True, slots=True)
class EventRange:
    """Records of the events topic, each with a number: its place among all, partition by partition."""

    topic: str
    starts: Offsets
    ends: Offsets

    @property
    def records(self) -> int:
        """How many there are at most: offsets may have no record."""
        return sum(self.ends[partition] - start for partition, start in self.starts.items())

    def numbers(self, positions: UInts) -> Ints:
        """The number of each position; -1 for one outside of the range. Shape (n,)."""
        partitions, offsets = position_partitions(positions), position_offsets(positions)
        numbers = np.full(len(positions), -1, np.int64)
        before = 0
        for partition in sorted(self.starts):
            start, end = self.starts[partition], self.ends[partition]
            inside = (partitions == partition) & (offsets >= start) & (offsets < end)
            numbers[inside] = before + offsets[inside] - start
            before += end - start
        return numbers


def read_range(ranges: TopicRanges, first: Bound, last: Bound | None) -> EventRange:
    """The records from `first` to before `last`; without one, to the end of the log as it is now.

    Raises `ConfigurationError` with everything that does not fit the log, and `Fatal`.
    """
    low, high = ranges.whole()
    problems: list[SettingProblem] = []
    starts = dict(ranges.since(first)[0]) if isinstance(first, int) else dict(first)
    ends = dict(high)
    if isinstance(last, int):
        ends = dict(ranges.since(last)[0])
    elif last is not None:
        ends = dict(last)
    for partition, start in starts.items():
        if partition not in low:
            problems.append(
                _problem("--from", f"{ranges.topic} has no partition {partition}", "leave it out")
            )
        elif start < low[partition]:
            cause = f"offset {start} of partition {partition} is gone: the log begins at {low[partition]}"
            problems.append(_problem("--from", cause, f"give {partition}:{low[partition]} or later"))
    if isinstance(last, Mapping):
        if isinstance(first, int):
            starts = {partition: start for partition, start in starts.items() if partition in last}
        if set(starts) != set(last):
            cause = "--from and --to name other partitions"
            problems.append(_problem("--to", cause, "give both ends of each partition"))
    if problems:
        raise ConfigurationError(problems)
    ends = {partition: min(ends[partition], high[partition]) for partition in starts}
    found = EventRange(ranges.topic, {p: min(start, ends[p]) for p, start in starts.items()}, ends)
    if found.records > EVENTS_MAX:
        cause = f"the range holds {found.records:,} records, and {EVENTS_MAX:,} can be replayed at a time"
        raise ConfigurationError([_problem("--to", cause, "replay it in parts")])
    return found


def _problem(flag: str, cause: str, mend: str) -> SettingProblem:
    return SettingProblem(flag, "the command line", cause, mend)
