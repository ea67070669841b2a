"""The use case that benchmarks materialize, its events, and its worker as a process."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from benchmarks.servers import PARTITIONS, Servers, on_core
from features.definition import load_definition
from features.definition.model import Definition
from features.keys import Namespace
from features.progress import Progress, decode_progress
from stream.demo import examples
from stream.demo.cards import CardWorld, simulate_cards
from stream.demo.messages import Messages, messages
from tools.processes import end, last_lines, spawn

USECASE = examples.path("fraud")
EVENTS_A_DAY = 9_000
LOOK_EVERY_S = 0.01
PATIENCE_S = 600.0


def definition() -> Definition:
    """Two entities: the one the topic is keyed by, and another with labels too."""
    return load_definition(USECASE)


def card_messages(count: int) -> Messages:
    """So many simulated card transactions with their labels."""
    world = CardWorld(date(2025, 1, 1), count // EVENTS_A_DAY + 1)
    return messages(definition(), simulate_cards(world).slice(0, count))


@dataclass(frozen=True, slots=True)
class Materializing:
    """A running worker, seen through what it writes into the store."""

    running: Servers
    process: "subprocess.Popen[bytes]"
    log: Path

    def progress(self, topic: str) -> dict[int, Progress]:
        """By partition, what this epoch of the store knows."""
        namespace = Namespace.of(definition())
        keys = [namespace.epoch(), *(namespace.progress(topic, p) for p in range(PARTITIONS))]
        epoch, *values = [v if isinstance(v, bytes) else None for v in self.running.client.mget(keys)]
        if epoch is None:
            return {}
        found = {p: decode_progress(value, epoch.decode()) for p, value in enumerate(values)}
        return {p: known for p, known in found.items() if known is not None}

    def passed(self, topic: str) -> int:
        """Records of a topic that are in the rows."""
        return sum(known.offset for known in self.progress(topic).values())

    def wait_until(self, condition: Callable[[], bool], what: str) -> float:
        """When it held first, in seconds of `time.perf_counter`."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"never {what}\n{last_lines(self.log)}")
            time.sleep(LOOK_EVERY_S)
        return time.perf_counter()


@contextmanager
def materializing(running: Servers, core: int, group: str) -> Iterator[Materializing]:
    """`riverrun materialize` on a core of its own."""
    log = running.directory / f"{group}.log"
    command: list[str | Path] = [Path(sys.executable).parent / "riverrun", "materialize"]
    command += ["--usecase", USECASE, "--kafka", running.kafka.bootstrap, "--redis", running.redis.url]
    command += ["--http-port", "0", "--set", f"kafka.materialize_group={group}"]
    with on_core(core):
        worker = spawn(command, log)
    try:
        yield Materializing(running, worker, log)
    finally:
        end(worker, signal.SIGTERM)
