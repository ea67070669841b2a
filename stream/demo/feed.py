"""The upstream service of the demo: sends events and labels, paced, and held to a credit."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stream.clock import now_ms
from stream.demo.board import Board
from stream.demo.commits import Commits, Lane
from stream.demo.ledger import Ledger, Position
from stream.demo.messages import Messages
from stream.demo.pace import Pace
from stream.demo.poison import Poisoner
from stream.transport.kafka.properties import KafkaConnection

COMMITS_EVERY_S = 0.1
TRICKLE_EPS = 100.0
AT_ONCE = 200
"""Records between two looks at the credit."""
RECORD_BYTES = 2_500
"""Taken for the size of a record and its answer until larger answers are seen."""


@dataclass(frozen=True, slots=True)
class Books:
    """Where the feed notes what it does."""

    ledger: Ledger
    board: Board
    sent_ms: list[int]
    """The timestamp of each event's record; 0 before it was sent."""


class Feed(threading.Thread):
    """Sends every event once, in order; `error` says why it could not."""

    def __init__(
        self,
        connection: KafkaConnection,
        messages: Messages,
        answered: Sequence[bool],
        *,
        events: Lane,
        labels: Lane,
        books: Books,
        speed: float | None,
    ) -> None:
        """answered: whether each event is scored. speed: events per second, None for no limit."""
        super().__init__(name="feed", daemon=True)
        self._producer = Producer(connection.producer())
        self._commits = Commits(connection, (events, labels))
        self._messages, self._answered = messages, answered
        self._events, self._labels = events, labels
        self._books = books
        self._speed = speed
        self._total = len(messages.events)
        self._hold_at = self._total
        self._released = threading.Event()
        self._stopped = threading.Event()
        self._poisoner: Poisoner | None = None
        self._looked_s = 0.0
        self.error: Exception | None = None

    def hold_at(self, row: int) -> None:
        """From `row` on only trickle until `release`: that what broke is mended must be seen on events."""
        self._hold_at = row

    def release(self) -> None:
        self._released.set()

    def poison_with(self, poisoner: Poisoner) -> None:
        """From now on, mix in records that no worker can read."""
        self._poisoner = poisoner

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        try:
            self._send_all()
            while self._producer.flush(0.5) and not self._stopped.is_set():
                pass
        except (KafkaException, BufferError, ValueError) as error:
            self.error = error
        finally:
            self._commits.close()

    def _send_all(self) -> None:
        pace, row = Pace.begin(self._speed, time.monotonic), 0
        while row < self._total and not self._stopped.is_set() and self.error is None:
            held = row >= self._hold_at and not self._released.is_set()
            speed = min(TRICKLE_EPS, self._speed or TRICKLE_EPS) if held else self._speed
            if speed != pace.speed:
                pace = Pace(speed, time.monotonic, time.monotonic(), row)
            ahead = self._hold_at if row < self._hold_at else self._total
            end = min(row + self._room(), pace.due(ahead))
            for at in range(row, end):
                self._send(at)
            self._books.board.sent(sum(self._answered[row:end]))
            self._producer.poll(0 if end > row else 0.005)
            row = max(row, end)

    def _room(self) -> int:
        """How many events the credit of both topics allows now, at most `AT_ONCE`."""
        now_s = time.monotonic()
        if now_s - self._looked_s > COMMITS_EVERY_S:
            self._commits.refresh()
            self._looked_s = now_s
        return min(AT_ONCE, *(lane.credit.room(RECORD_BYTES) for lane in (self._events, self._labels)))

    def _send(self, row: int) -> None:
        ledger, scored = self._books.ledger, self._answered[row]
        key, value = self._messages.events[row]
        timestamp = now_ms()
        self._books.sent_ms[row] = timestamp
        note = partial(ledger.sent, row=row) if scored else None
        self._produce(self._events, key, value, timestamp, answered=scored, note=note)
        if (label := self._messages.labels[row]) is not None:
            self._produce(self._labels, *label, timestamp)
        if self._poisoner is not None and value is not None and self._poisoner.is_due():
            poison = self._poisoner.poison(key, value)
            note = partial(ledger.sent_poison, poison=poison)
            self._produce(
                self._events,
                poison.key,
                poison.value,
                timestamp,
                headers=poison.headers,
                answered=True,
                note=note,
            )

    def _produce(
        self,
        lane: Lane,
        key: bytes | None,
        value: bytes | None,
        timestamp: int,
        *,
        headers: Sequence[tuple[str, bytes | None]] = (),
        answered: bool = False,
        note: Callable[[Position], None] | None = None,
    ) -> None:
        size = len(key or b"") + len(value or b"")

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self.error = KafkaException(error)
                return
            position = (message.partition() or 0, message.offset() or 0)
            lane.credit.sent(*position, size, answered=answered)
            if note is not None:
                note(position)

        lane.credit.sending(size)
        self._producer.produce(
            lane.topic, value, key, headers=list(headers), timestamp=timestamp, on_delivery=delivered
        )
