"""Reading features of 1, 100 and 1,000 entities: our packed lookups against Feast's Redis online read.

Both from the same Redis, 18 features an entity, the same 10,000 entities, each side checked against what was
written before it is timed. They share one core, alternating in rounds; Redis has the other. Prints one JSON
object; wants `make peers ARGS=feast` once.
"""

import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.environment import environment
from benchmarks.peers.reads import ENTITIES, FEATURES, Reader
from benchmarks.peers.setup import NoEnvironment, interpreter, program
from benchmarks.servers import Cores, on_core
from tools.redis_server import RedisServer

SIZES = (1, 100, 1_000)
ROUNDS = 7
SECONDS = 0.5
OURS, FEAST = ("worker", "store"), ("call", "dict")


def main(directory: Path) -> dict[str, object]:
    """directory: for the servers' files."""
    cores = Cores.available()
    store = RedisServer(directory / "redis")
    with on_core(cores.servers):
        store.start()
    readers: dict[str, Reader] = {}
    try:
        address = f"127.0.0.1:{store.port}"
        with on_core(cores.measured):
            ours = Reader(
                [sys.executable, "-m", "benchmarks.packed_reads", store.url], directory / "ours.log"
            )
            readers |= dict.fromkeys(OURS, ours)
            command: list[str | Path] = [interpreter("feast"), program("feast"), address]
            readers |= dict.fromkeys(FEAST, Reader(command, directory / "feast.log"))
        found = {str(size): measure(readers, size) for size in SIZES}
    finally:
        for reader in set(readers.values()):
            reader.close()
        store.stop()
    ratios = {
        f"{prefix}read_to_feast_{size}{suffix}": round(compare(found[str(size)], what, "worker", way), 2)
        for prefix, what in (("", "seconds"), ("cpu_", "cpu_seconds"))
        for way, suffix in (("call", ""), ("dict", "_dict"))
        for size in SIZES
    }
    return {
        "benchmark": "feature_reads",
        "features": FEATURES,
        "entities_stored": ENTITIES,
        "rounds": ROUNDS,
        "environment": environment(),
        "feast": feast_version(),
        "reads": {size: rates(ways) for size, ways in found.items()},
        "ratios": ratios,
    }


def measure(readers: dict[str, Reader], size: int) -> dict[str, list[dict[str, float]]]:
    """Every way in every round, after one that does not count."""
    rounds: dict[str, list[dict[str, float]]] = {way: [] for way in readers}
    for _ in range(1 + ROUNDS):
        for way, reader in readers.items():
            rounds[way].append(reader.time(way, size, SECONDS))
    return {way: each[1:] for way, each in rounds.items()}


def compare(ways: dict[str, list[dict[str, float]]], what: str, ours: str, theirs: str) -> float:
    """How many times as long one of their reads takes, in time or in CPU: the median of all rounds."""
    return median(
        (their[what] / their["reads"]) / (our[what] / our["reads"])
        for our, their in zip(ways[ours], ways[theirs], strict=True)
    )


def rates(ways: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Of each way: reads a second, and CPU µs of a read; medians, and the slowest and fastest round."""
    return {
        way: {
            "reads_per_second": round(median(rate := [r["reads"] / r["seconds"] for r in each])),
            "slowest": round(min(rate)),
            "fastest": round(max(rate)),
            "cpu_us_per_read": round(median(r["cpu_seconds"] / r["reads"] * 1e6 for r in each), 1),
        }
        for way, each in ways.items()
    }


def feast_version() -> str:
    what = "from importlib.metadata import version; print(version('feast'))"
    command: list[str | Path] = [interpreter("feast"), "-c", what]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    try:
        with TemporaryDirectory(prefix="riverrun-bench-") as name:
            print(json.dumps(main(Path(name)), indent=2))
    except NoEnvironment as error:
        raise SystemExit(str(error)) from None
