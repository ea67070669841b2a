"""The upstream services: a steady rate of events into every partition, whatever happens to anybody else."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaError, Message, Producer

from tests.chaos.harness.books import Books, Planned, Sent
from tests.chaos.harness.oddities import HOSTILE, POISON, hostile, poisoned, some_kind
from tests.chaos.harness.placing import Unplaced, place
from tests.chaos.harness.usecase import GRACE_MS
from tests.integration.processes import await_that
from tests.integration.usecase import Visit

TICK_S = 0.02
FLUSHED_WITHIN_S = 120.0
_WEIGHT_UNIT = 2**-10
_WEIGHTS = 8 * 1024
_JITTER_MS = 30
_AGAIN_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Mixture:
    """What is sent; shares of all records."""

    rate: float = 200.0
    """Records a second."""
    poison: float = 0.02
    hostile: float = 0.02
    again: float = 0.01
    """Events that are sent a second time, soon after."""
    hot: float = 0.12
    """Events of the busy people, of whom each partition has one."""
    people: int = 60
    """Others, of each partition."""
    doors: int = 120


class Generator(threading.Thread):
    """Sends from `start` until `finish`; `books` say what stands where."""

    def __init__(
        self, bootstrap: str, topic: str, partitions: int, seed: int, mixture: Mixture | None = None
    ) -> None:
        super().__init__(name="generator", daemon=True)
        self.books = Books()
        self.mixture = mixture or Mixture()
        self.partitions = partitions
        """Records go to these from now on; a person's events always to the same."""
        self.skew_ms = 0
        """How far the clocks of some people are off."""
        self.failed: list[str] = []
        """What was never acknowledged: the books would be wrong."""
        self._unplaced: list[Unplaced] = []
        self._brokers = bootstrap
        self._topic, self._draw = topic, random.Random(seed)
        self._again: list[tuple[float, Planned]] = []
        self._number = 0
        self._over = threading.Event()
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "acks": "all",
                "enable.idempotence": True,
                "message.timeout.ms": 0,
                "linger.ms": 5,
                "compression.type": "gzip",  # so that a value may be larger than what the topic takes
                "message.max.bytes": 10_000_000,
                "topic.metadata.refresh.interval.ms": 1_000,
                "reconnect.backoff.max.ms": 500,
                "log_level": 2,
            }
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self.join()

    def finish(self) -> None:
        """Stop sending, and wait until everything is acknowledged."""
        self._over.set()
        self.join()
        left = self._producer.flush(FLUSHED_WITHIN_S)
        assert not left, f"{left} records are not acknowledged"
        assert not self.failed, self.failed[:10]
        if self._unplaced:
            lost = place(self._brokers, self._topic, self._unplaced, self.books)
            assert not lost, f"acknowledged, and nowhere: {lost[:10]}"

    def extend(self, partitions: int) -> None:
        """Send to so many partitions, which the topic has by now."""

        def known() -> bool:
            return (
                len(self._producer.list_topics(self._topic, 5).topics[self._topic].partitions) >= partitions
            )

        await_that(known, f"the topic does not get {partitions} partitions")
        self.partitions = partitions

    def run(self) -> None:
        started = due_s = time.monotonic()
        while not self._over.wait(TICK_S):
            now_s = time.monotonic()
            # Where this thread had to wait, what is overdue by more than a second is not made up for.
            due_s = max(due_s, now_s - 1)
            while due_s < now_s:
                due_s += 1 / self.mixture.rate
                self._send(self._next(now_s - started))
            self._producer.poll(0)

    def _next(self, now_s: float) -> Planned:
        draw, mixture = self._draw, self.mixture
        if self._again and self._again[0][0] <= now_s:
            return self._again.pop(0)[1]
        planned = self._event()
        what = draw.random()
        if what < mixture.poison:
            return poisoned(planned, some_kind(draw, POISON))
        if what < mixture.poison + mixture.hostile:
            planned = hostile(planned, some_kind(draw, HOSTILE))
        if draw.random() < mixture.again:
            self._again.append((now_s + draw.uniform(0, _AGAIN_WITHIN_S), replace(planned, kind="again")))
            self._again.sort(key=lambda due: due[0])
        return planned

    def _event(self) -> Planned:
        draw, mixture = self._draw, self.mixture
        partition = draw.randrange(self.partitions)
        at = time.time_ns() // 1_000_000 - draw.randrange(_JITTER_MS)
        door: str | None = f"d{draw.randrange(mixture.doors)}"
        number = 0 if draw.random() < mixture.hot else 1 + draw.randrange(mixture.people)
        kind = "event"
        if self.skew_ms and number > mixture.people * 3 // 4:
            # Doors of their own: nobody else's doors are opened at times that did not come yet.
            at, door, kind = at + self.skew_ms, f"skewed-{draw.randrange(10)}", "clock off"
        if draw.random() < 0.03:
            door = None
        self._number += 1
        weight = draw.randrange(_WEIGHTS) * _WEIGHT_UNIT
        visit = Visit(f"v-{self._number}", at, f"p{partition}-{number}", door, weight)
        record = visit.record()
        return Planned(kind, partition, record.key, record.value, [], visit, None)

    def _send(self, planned: Planned) -> None:
        is_late = planned.visit is not None and self._is_late(planned.visit)
        while True:
            try:
                self._producer.produce(
                    self._topic,
                    planned.value,
                    planned.key,
                    planned.partition,
                    on_delivery=self._delivered(planned, is_late),
                    headers=list(planned.headers),
                )
                return
            except BufferError:
                self._producer.poll(0.1)

    def _delivered(self, planned: Planned, is_late: bool) -> Callable[[KafkaError | None, Message], None]:
        def note(error: KafkaError | None, message: Message) -> None:
            offset, now = message.offset(), time.time_ns() // 1_000_000
            if error is not None:
                self.failed.append(f"{planned.kind}: {error}")
            elif offset is None or offset < 0:
                self._unplaced.append(Unplaced(planned, now, is_late))
            else:
                self.books.note(Sent.of(planned, offset, now, is_late))

        return note

    @staticmethod
    def _is_late(visit: Visit) -> bool:
        return visit.at < time.time_ns() // 1_000_000 - GRACE_MS // 2
