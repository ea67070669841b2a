"""The use case of these tests: every aggregate, rows of events and of labels, and entities that are too busy.

One person and one door have more events in a window than are kept one by one, so that their rows are
compacted while everything goes wrong. No two events have the same time: a door's come from every
partition, and a file knows no partitions.
"""

import heapq
from collections.abc import Callable, Sequence

import numpy as np

from tests.integration.records import Position, Record
from tests.integration.usecase import Visit

TEXT = """
name: NAME
task: binary
event:
  id: visit
  time: {field: at, unit: ms}
  fields:
    visit: string
    at: timestamp
    person: string
    door: {type: string, missing: allow}
    weight: {type: float64, min: 0, max: 1000, missing: reject, out_of_range: reject}
entities: {person: person, door: door}
label: {field: bad, delay: 5000ms}
grace: 20s
history: none
features:
  - fields: [weight]
  - window:
      entity: person
      spans: [1m, 10m]
      aggregates: [count, sum(weight), mean(weight), min(weight), max(weight), std(weight), first(weight),
        last(weight), distinct_count(door), time_since_last]
  - {window: {entity: person, spans: [1m, 10m], aggregates: [count, mean(weight)], where: "weight > 4",
      name: heavy}}
  - window: {entity: person, spans: [50 events], aggregates: [sum(weight), std(weight), min(weight)]}
  - window: {entity: door, spans: [10m], delay: 10s, empty: 0, aggregates: [count, mean(weight), std(weight),
      max(weight), count(label), mean(label)]}
rules:
  - {otherwise: 0.1}
decisions:
  - {otherwise: go}
output: {features: all}
"""
MINUTE_MS = 60_000
_MEAN_GAP_MS = 100
_LATE_MS = 5_000
"""How much later than its turn an event may come: within the grace period."""
_LABEL_AFTER_MS = 5_000, 20_000
"""When labels are known: a label later than its delay and the grace period may be left out."""


def busy_visits(count: int, start_ms: int, seed: int) -> list[Visit]:
    """In the order of their coming, some late; half of one person, half at one door; most are labelled."""
    draw = np.random.default_rng(seed)
    times = start_ms + np.cumsum(draw.integers(1, 2 * _MEAN_GAP_MS, count))
    people, doors = draw.integers(0, 200, count), draw.integers(0, 40, count)
    people[draw.random(count) < 0.5] = 0
    doors[draw.random(count) < 0.5] = 0
    weights = draw.normal(4.0, 2.0, count).clip(0).round(2)
    lateness = np.where(draw.random(count) < 0.1, draw.uniform(0, _LATE_MS, count), 0)
    at_door, labelled, bad = draw.random(count) > 0.05, draw.random(count) < 0.6, draw.random(count) < 0.3
    observed = times + draw.integers(*_LABEL_AFTER_MS, count)
    visits = [
        Visit(
            visit=f"v-{at}",
            at=int(times[at]),
            person=f"p{people[at]}",
            door=f"d{doors[at]}" if at_door[at] else None,
            weight=float(weights[at]),
            bad=bool(bad[at]) if labelled[at] else None,
            observed_at=int(observed[at]) if labelled[at] else None,
        )
        for at in range(count)
    ]
    return [visits[at] for at in np.argsort(times + lateness, kind="stable").tolist()]


def questions(visits: Sequence[Visit], after_ms: int) -> list[Visit]:
    """One event for every person and every door there was, so long after the last of all visits."""
    people = sorted({v.person for v in visits})
    doors = sorted({v.door for v in visits if v.door is not None})
    now = max(v.at for v in visits) + after_ms
    return [
        Visit(f"q-{at}", now, people[at % len(people)], doors[at % len(doors)], 1.0)
        for at in range(max(len(people), len(doors)))
    ]


class Upstream:
    """Sends events, their labels when they are known, and a share of either again, later."""

    def __init__(
        self, send: Callable[[str, Sequence[Record]], list[Position]], again: float, seed: int
    ) -> None:
        """send: topic's kind and records. again: the share that is delivered twice."""
        self._send, self._again = send, again
        self._draw = np.random.default_rng(seed)
        self._sent = 0
        self._waiting: list[tuple[int, int, str, Record]] = []
        """What is to be sent when so many events were sent: (when, number, kind, record)."""
        self._unknown: list[tuple[int, int, Record]] = []
        """Labels that are not known yet: (observed_at, number, record)."""
        self._number = 0
        self.doubled = 0
        """Records that were sent twice."""

    def send(self, visits: Sequence[Visit]) -> list[Position]:
        """The positions of these events."""
        self._sent += len(visits)
        now = max(v.at for v in visits)
        records = [v.record() for v in visits]
        for visit in visits:
            if visit.observed_at is not None:
                heapq.heappush(self._unknown, (visit.observed_at, self._next(), visit.label_record()))
        positions = self._send("events", records)
        self._repeat("events", records)
        self._send_labels(until=now)
        self._send_waiting(until=self._sent)
        return positions

    def finish(self) -> None:
        """Send what is still to come."""
        self._send_labels(until=2**53)
        self._send_waiting(until=2**53)

    def _send_labels(self, until: int) -> None:
        records = []
        while self._unknown and self._unknown[0][0] <= until:
            records.append(heapq.heappop(self._unknown)[2])
        self._send("labels", records)
        self._repeat("labels", records)

    def _send_waiting(self, until: int) -> None:
        while self._waiting and self._waiting[0][0] <= until:
            _, _, kind, record = heapq.heappop(self._waiting)
            self._send(kind, [record])

    def _repeat(self, kind: str, records: Sequence[Record]) -> None:
        """Half of what is doubled comes at once, the rest some time later."""
        for record in records:
            if self._draw.random() >= self._again:
                continue
            self.doubled += 1
            wait = int(self._draw.integers(2_000)) if self._draw.random() < 0.5 else 0
            heapq.heappush(self._waiting, (self._sent + wait, self._next(), kind, record))

    def _next(self) -> int:
        self._number += 1
        return self._number
