"""One contestant's turn: start it, send at each rate, read what comes out, end it."""

import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks import cards, passthrough_live
from benchmarks.cards import Cards
from benchmarks.latency_report import Turn, figures, own_ms
from benchmarks.openloop import Sender, Sent, outcome, reading
from benchmarks.processes import PATIENCE_S, riverrun
from benchmarks.quiet import Idleness, await_quiet
from benchmarks.servers import PARTITIONS, Cores, Servers, on_core
from stream.demo.messages import Record
from tools.processes import await_ready, end, spawn

PASSED_ON = "passthrough.predictions"
TAKE_S = 60.0
QUIET_PATIENCE_S = 60.0
WARM_RATE, WARM_EVENTS = 1_000, 500
TIMED_SCORE = Path(__file__).with_name("timed_score.py")


@dataclass(frozen=True, slots=True)
class Contestant:
    """`riverrun score` with settings, or a pass-through where `wait_ms` is given."""

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)
    checkout: Path | None = None
    wait_ms: int | None = None

    @property
    def topic(self) -> str:
        return cards.output_topic() if self.wait_ms is None else PASSED_ON


@dataclass(slots=True)
class Feed:
    """Events in the order of their times. Each is sent but once: a second time it would be a double."""

    cards: Cards
    _next: int = 0

    def take(self, count: int) -> tuple[Sequence[int], Sequence[Record]]:
        begin, self._next = self._next, self._next + count
        assert self._next <= len(self.cards.ids), "all events were sent"
        return self.cards.ids[begin : self._next], self.cards.events[begin : self._next]


@dataclass(frozen=True, slots=True)
class Bench:
    """What the turns of one run share."""

    running: Servers
    cores: Cores
    feed: Feed
    sender: Sender
    idle_least: float
    """A slot begins when so much of the machine's time is idle, if that comes about in time."""

    def turn(self, contestant: Contestant, number: int, slots: Sequence[tuple[int, int]]) -> list[Turn]:
        """One process, once. slots: rates, and how many events to send at each."""
        times = self.running.directory / f"{contestant.name}-{number}.times"
        sent: list[Sent] = []
        turns: list[Turn] = []
        kafka = self.running.kafka.bootstrap
        with (
            self._started(contestant, number, times),
            reading(kafka, contestant.topic, PARTITIONS) as reader,
        ):
            # Connections, metadata, a producer's id: whoever starts has its first records wait for these.
            self.send(WARM_RATE, WARM_EVENTS)
            reader.take(WARM_EVENTS, TAKE_S)
            for rate, count in slots:
                await_quiet(self.idle_least, QUIET_PATIENCE_S)
                idleness = Idleness()
                sent.append(self.send(rate, count))
                idle = idleness.share()
                found = outcome(sent[-1], reader.take(count, TAKE_S))
                turns.append(figures(contestant.name, rate, found, sent[-1], idle))
        if not times.exists():
            return turns
        clock = np.fromfile(times, np.int64).reshape(-1, 4)
        return [own_ms(one, clock, each) for one, each in zip(turns, sent, strict=True)]

    def send(self, rate: int, count: int) -> Sent:
        ids, events = self.feed.take(count)
        return self.sender.send(cards.events_topic(), ids, events, rate)

    @contextmanager
    def _started(self, contestant: Contestant, number: int, times: Path) -> Iterator[None]:
        """A process that answers whatever is sent from then on."""
        if contestant.wait_ms is not None:
            with passing_through(self.running, self.cores.measured, contestant.wait_ms):
                yield
            return
        settings = {
            "kafka.group": f"{contestant.name}-{number}",
            "kafka.start": "latest",
            **contestant.settings,
        }
        program: list[str | Path] = [sys.executable, "-P", TIMED_SCORE, times]
        flags = cards.flags_of(self.running, self.feed.cards.models)
        core, checkout = self.cores.measured, contestant.checkout
        with riverrun(self.running, "score", core, flags, settings, program, checkout) as worker:
            worker.await_ready()
            yield
            worker.check()


@contextmanager
def passing_through(running: Servers, core: int, wait_ms: int) -> Iterator[None]:
    """The bare process, in place."""
    log = running.directory / f"passthrough-{time.monotonic_ns()}.log"
    command: list[str | Path] = [sys.executable, "-m", "benchmarks.passthrough_live"]
    command += [running.kafka.bootstrap, cards.events_topic(), PASSED_ON, str(PARTITIONS), str(wait_ms)]
    with on_core(core):
        process = spawn(command, log)
    try:
        said = passthrough_live.READY
        await_ready("pass-through", process, lambda: said in log.read_text(), log, PATIENCE_S)
        yield
    finally:
        end(process, signal.SIGTERM)
