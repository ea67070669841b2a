"""What brokers are asked beside consuming: by clients that join no group, so that callbacks may ask too."""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec  # not exported to type checkers

from stream.clock import now_ms
from stream.errors import Fatal
from stream.transport.kafka.errors import is_fatal, sentence
from stream.transport.kafka.properties import KafkaConnection

ASK_TIMEOUT_S = 5.0
OVERDUE_S = 1.0
"""A client that lost its brokers was seen to keep a question for good, whatever its timeout."""
ASK_WITHIN_S = 60.0
ASK_AGAIN_S = 0.2
WATCH_EVERY_S = 1.0
ENDS_WITHIN_S = 2.0
"""One leader that does not answer holds up what the others tell."""

_log = logging.getLogger("librdkafka")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Stored:
    """What a group has stored of a partition."""

    offset: int
    """`OFFSET_INVALID` where it never committed."""
    note: str | None


class Inquiry:
    """Questions of one group about topics. Each waits for its answer, and raises `Fatal` after a minute."""

    def __init__(self, connection: KafkaConnection, group: str) -> None:
        """Raises KafkaException for properties that librdkafka does not take."""
        self._group, self._connection = group, connection
        self._consumer = self._onlooker()
        self._admin: AdminClient | None = None
        self._left: list[tuple[Consumer, AdminClient | None]] = []
        """Clients that are kept only because they hang."""

    def _onlooker(self) -> Consumer:
        return Consumer(self._connection.onlooker(self._group), error_cb=lambda _: None, logger=_log)

    def renew(self, *, hangs: bool = False) -> None:
        """Ask with new clients from now on. hangs: a question to those there are never came back."""
        before = self._consumer, self._admin
        self._consumer = self._onlooker()
        if self._admin is not None:
            self._admin = AdminClient(self._connection.admin(), logger=_log)
        if hangs:
            self._left.append(before)  # to close a client in which another thread is would end the process
        else:
            # To close one that lost its brokers may take for ever.
            threading.Thread(target=before[0].close, name="inquiry-close", daemon=True).start()

    def partitions_of(self, topic: str) -> list[int]:
        """Empty where there is no such topic."""
        found = self._ask(topic, lambda: self._consumer.list_topics(topic, ASK_TIMEOUT_S))
        if self._admin is None and found.controller_id in found.brokers:
            # librdkafka's mock cluster has no controller, and tells no ids.
            self._admin = AdminClient(self._connection.admin(), logger=_log)
        known = found.topics.get(topic)
        return sorted(known.partitions) if known is not None else []

    @property
    def admin(self) -> AdminClient | None:
        """What tells topic ids; None before `partitions_of` was asked, and where brokers know none."""
        return self._admin

    def topic_id(self, topic: str) -> str | None:
        """None where brokers know no ids."""
        if self._admin is None:
            return None
        return self._ask(topic, lambda: str(_described(self._known_admin, topic).result().topic_id))

    def stored(self, topic: str, partitions: Sequence[int]) -> dict[int, Stored]:
        """Where the group stands; an offset in an open transaction is waited for."""
        wanted = [TopicPartition(topic, partition) for partition in partitions]

        def committed() -> dict[int, Stored]:
            found = self._consumer.committed(wanted, ASK_TIMEOUT_S)
            for place in found:
                if place.error is not None:
                    raise KafkaException(place.error)
            return {p.partition: Stored(p.offset, p.metadata) for p in found}

        return self._ask(topic, committed)

    def log_range(self, topic: str, partition: int) -> tuple[int, int]:
        """The first offset in the log, and the one after the last that no open transaction hides."""
        where = TopicPartition(topic, partition)
        return self._ask(topic, lambda: self._consumer.get_watermark_offsets(where, ASK_TIMEOUT_S))

    def log_end(self, topic: str, partition: int) -> int:
        """The offset after the last, of open transactions too."""
        where, level = TopicPartition(topic, partition), IsolationLevel.READ_UNCOMMITTED
        if self._admin is None:
            return self.log_range(topic, partition)[1]
        return self._ask(topic, lambda: int(_ends(self._known_admin, [where], level)[where].result().offset))

    @property
    def _known_admin(self) -> AdminClient:
        assert self._admin is not None, "asked only where there is one"
        return self._admin

    def close(self) -> None:
        self._consumer.close()

    def _ask(self, topic: str, question: Callable[[], _Answer]) -> _Answer:
        began_s = time.monotonic()
        while True:
            asked_s = time.monotonic()
            answer = _asked(question)
            try:
                return answer.result(ASK_TIMEOUT_S + OVERDUE_S)
            except TimeoutError:
                error = KafkaError(KafkaError._TIMED_OUT)
            except KafkaException as raised:
                error = raised.args[0]
            what = sentence(f"topic {topic}, group {self._group}", error)
            if is_fatal(error) or time.monotonic() - began_s > ASK_WITHIN_S:
                raise Fatal(what) from None
            _log.warning("asked again: %s", what)
            if time.monotonic() - asked_s > ASK_TIMEOUT_S / 2:  # nobody answered: are they its brokers?
                self.renew(hangs=not answer.done())
            time.sleep(ASK_AGAIN_S)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A topic, as brokers told it a moment ago."""

    topic_id: str | None
    """None where there is no such topic."""
    ends: Mapping[int, int] = field(default_factory=dict)
    """As in `Inquiry.log_range`, of partitions whose leaders answered."""
    asked_ms: int = 0
    """When they were asked, ms since the epoch."""
    partitions: int = 0
    """How many it has."""


class Watch:
    """Looks at a topic every second, and waits for nothing."""

    def __init__(self, admin: AdminClient, topic: str) -> None:
        self._admin, self._topic = admin, topic
        self._described: Future[Any] | None = None
        self._ends: Mapping[TopicPartition, Future[Any]] = {}
        self._next_s = 0.0
        self._asked_ms = 0

    def look(self, partitions: Collection[int], now_s: float) -> Sighting | KafkaError | None:
        """None while there is nothing new. partitions: of which the ends are wanted."""
        if self._described is None:
            if now_s >= self._next_s:
                self._next_s, self._asked_ms = now_s + WATCH_EVERY_S, now_ms()
                places = [TopicPartition(self._topic, partition) for partition in partitions]
                self._described = _described(self._admin, self._topic)
                level = IsolationLevel.READ_COMMITTED
                self._ends = _ends(self._admin, places, level, ENDS_WITHIN_S) if places else {}
            return None
        if not (self._described.done() and all(end.done() for end in self._ends.values())):
            return None
        described, self._described = self._described, None
        failure = described.exception()
        if failure is None:
            ends = {p.partition: e.result().offset for p, e in self._ends.items() if e.exception() is None}
            topic = described.result()
            return Sighting(str(topic.topic_id), ends, self._asked_ms, len(topic.partitions))
        error: KafkaError = failure.args[0]
        gone = error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)
        return Sighting(None) if gone else error


def _asked(question: Callable[[], _Answer]) -> "Future[_Answer]":
    """Its answer, from a thread of its own."""
    answer: Future[_Answer] = Future()

    def ask() -> None:
        try:
            answer.set_result(question())
        except BaseException as error:  # noqa: BLE001  # whatever it is, it belongs to who asked
            answer.set_exception(error)

    threading.Thread(target=ask, name="inquiry", daemon=True).start()
    return answer


def _described(admin: AdminClient, topic: str) -> Future[Any]:
    asked = admin.describe_topics(TopicCollection([topic]), request_timeout=ASK_TIMEOUT_S)
    found: Future[Any] = asked[topic]
    return found


def _ends(
    admin: AdminClient,
    places: Sequence[TopicPartition],
    level: IsolationLevel,
    within_s: float = ASK_TIMEOUT_S,
) -> Mapping[TopicPartition, Future[Any]]:
    latest = {place: OffsetSpec.latest() for place in places}  # type: ignore[no-untyped-call]
    found: Mapping[TopicPartition, Future[Any]] = admin.list_offsets(
        latest, isolation_level=level, request_timeout=within_s
    )
    return found
