"""How often a feature store can be read in a second: both sides of the comparison are timed by this loop.

A program calls `serve`. It answers each line ``{"entities": 100, "seconds": 0.5, "way": "…"}`` on its
standard input with one line: how many reads it did in that time, and what it cost. `Reader` is the other end.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEATURES = 18
ENTITIES = 10_000
LISTS = 50
"""So many lists of keys are read in turn, each drawn without repetition."""
CHECKED = 3
"""Of so many of them every value is compared with what was written."""


def feature_values() -> NDArray[np.float64]:
    """What all entities have, shape (`ENTITIES`, `FEATURES`)."""
    return np.random.default_rng(0).normal(size=(ENTITIES, FEATURES))


@dataclass(frozen=True, slots=True)
class Way:
    """One way to read. What `prepare` makes of the keys is there before the time runs."""

    prepare: Callable[[Sequence[str]], Any]
    read: Callable[[Any], Any]
    values: Callable[[Any], list[list[float]]]
    """What was read, feature by feature: shape (`FEATURES`, keys)."""


def serve(ways: Mapping[str, Way]) -> None:
    """Until the standard input ends. Raises AssertionError where a read does not give what was written."""
    written = feature_values()
    prepared: dict[tuple[str, int], list[Any]] = {}
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        way, entities = ways[asked["way"]], asked["entities"]
        if (asked["way"], entities) not in prepared:
            draw = np.random.default_rng(entities)
            lists = [draw.choice(ENTITIES, entities, replace=False) for _ in range(LISTS)]
            ready = [way.prepare([str(at) for at in drawn]) for drawn in lists]
            for drawn, keys in list(zip(lists, ready, strict=True))[:CHECKED]:
                assert np.array_equal(way.values(way.read(keys)), written[drawn].T), asked
            prepared[asked["way"], entities] = ready
        print(json.dumps(_timed(way.read, prepared[asked["way"], entities], asked["seconds"])), flush=True)


def _timed(read: Callable[[Any], Any], lists: Sequence[Any], seconds: float) -> dict[str, float]:
    done, cpu, start = 0, time.process_time(), time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds:
        read(lists[done % len(lists)])
        done += 1
    return {"reads": done, "seconds": passed, "cpu_seconds": time.process_time() - cpu}


class Reader:
    """A program that serves, running."""

    def __init__(self, command: Sequence[str | Path], log: Path) -> None:
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self._log = log
        self._expect("ready")

    def time(self, way: str, entities: int, seconds: float) -> dict[str, float]:
        """What `_timed` found."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"way": way, "entities": entities, "seconds": seconds}) + "\n")
        self._process.stdin.flush()
        found: dict[str, float] = json.loads(self._expect("{"))
        return found

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)

    def _expect(self, beginning: str) -> str:
        """The next line that begins so; frameworks print what they like before."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(beginning):
                return line
        raise SystemExit(f"a reader ended:\n{self._log.read_text()[-2_000:]}")
