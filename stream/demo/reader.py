"""A downstream consumer: reads predictions and dead letters as they come."""

import threading
import time
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from stream.demo.ear import Ear
from stream.demo.ledger import DeadLetter
from stream.transport.kafka.properties import KafkaConnection

_AT_ONCE: Final = 500
_Place = tuple[str, int]
"""Topic and partition."""


class Reader(threading.Thread):
    """Reads two topics from their beginning, in no group's name; `error` says why it could not.

    A `read_committed` reader sees a record only after the broker has acknowledged it, so the moment of
    arrival is an upper bound of the moment of acknowledgement.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        predictions: str,
        dead_letters: str,
        events: str,
        partitions: int,
        ear: Ear,
    ) -> None:
        """partitions: of both topics. events: the topic whose dead letters count."""
        super().__init__(name="reader", daemon=True)
        settings = connection.consumer(f"{predictions}.demo-reader")
        self._consumer = Consumer({**settings, "fetch.wait.max.ms": 10})
        self._predictions, self._events, self._ear = predictions, events, ear
        self._places = [(topic, p) for topic in (predictions, dead_letters) for p in range(partitions)]
        self._next: dict[_Place, int] = dict.fromkeys(self._places, 0)
        self._closing = threading.Event()
        self._stopped = threading.Event()
        self.error: Exception | None = None

    def finish(self, within_s: float) -> bool:
        """Read what is there now to its end, then stop; whether that was done in time."""
        self._closing.set()
        self.join(within_s)
        done = not self.is_alive()
        self._stopped.set()
        return done and self.error is None

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        try:
            self._consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for topic, p in self._places])
            ends: dict[_Place, int] | None = None
            while not self._stopped.is_set():
                if ends is None and self._closing.is_set():
                    ends = {place: self._end(place) for place in self._places}
                if ends is not None and all(self._next[place] >= end for place, end in ends.items()):
                    break
                for message in self._consumer.consume(_AT_ONCE, 0.02):
                    self._take(message)
        except (KafkaException, RuntimeError) as error:
            self.error = error
        finally:
            self._consumer.close()

    def _end(self, place: _Place) -> int:
        return self._consumer.get_watermark_offsets(TopicPartition(*place), timeout=10)[1]

    def _take(self, message: Message) -> None:
        place = (message.topic() or "", message.partition() or 0)
        offset = message.offset() or 0
        error = message.error()
        if error is not None:
            # The end of a partition may lie behind records that no application sees (of transactions).
            if error.code() == KafkaError._PARTITION_EOF:
                self._next[place] = max(self._next[place], offset)
            elif error.fatal():
                raise KafkaException(error)
            return
        self._next[place] = offset + 1
        if place[0] == self._predictions:
            now = time.monotonic(), time.time_ns() / 1e6
            self._ear.prediction(message.value() or b"", now_s=now[0], now_ms=now[1])
        else:
            letter = as_dead_letter(message, self._events)
            if letter is not None:
                self._ear.dead_letter(letter)


def as_dead_letter(message: Message, events: str) -> DeadLetter | None:
    """A record of the dead-letter topic; None where it is not about a record of the topic `events`."""
    given = message.headers() or []
    pairs = given.items() if isinstance(given, dict) else given
    headers = tuple((name, value.encode() if isinstance(value, str) else value) for name, value in pairs)
    ours = {name: value.decode("utf-8", "replace") for name, value in headers if value is not None}
    if ours.get("riverrun.topic") != events:
        return None
    return DeadLetter(
        position=(int(ours["riverrun.partition"]), int(ours["riverrun.offset"])),
        key=message.key(),
        value=message.value(),
        headers=headers,
    )
