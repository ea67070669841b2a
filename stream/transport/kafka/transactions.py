"""A producer whose records stand together with the offsets of what they answer, or not at all.

How librdkafka's transactions behave, read in its `rdkafka_txnmgr.c` and tried on a real broker:

- A call that returns a retriable error goes on in the background and must be made again; until it returns
  another answer no other call of the kind is allowed. So a commit that has begun cannot be turned into an
  abort, and its outcome is waited for. Whatever can take long is done before: delivery, and the offsets.
- Offsets refused by the group, and records not delivered, make the transaction abortable: nothing else is
  taken then (`produce` says _STATE), and the queue is purged.
- `send_offsets_to_transaction` forgets its timeout where the group's coordinator goes away in the midst of
  it, and may wait for ever (librdkafka 5456, 5511). Nobody can call it back: `is_overdue` tells the watchdog.
- When the brokers gave a transaction up that was open for too long, and when another producer began with
  the same id, the answer is _FENCED; the client then raises from `poll` and `flush`, too.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping
from enum import Enum, auto
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from stream.errors import AbortCause, Aborted, Fatal, Fenced
from stream.transport.endpoints import Source
from stream.transport.kafka.errors import FATAL, sentence
from stream.transport.kafka.limits import TopicLimits
from stream.transport.kafka.properties import KafkaConnection
from stream.transport.kafka.sink import PURGED, KafkaSink, error_of

CALL_S = 1.0
"""How long one call may wait before whoever waits gets a word in."""
SAY_EVERY_S = 10.0
TIMEOUTS_MAX = 6
"""After so many transaction timeouts without an outcome the brokers have one, and a new start learns it."""

FENCED = frozenset(
    {
        KafkaError._FENCED,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
        KafkaError.INVALID_TXN_STATE,
        KafkaError.UNKNOWN_PRODUCER_ID,
    }
)
"""Of a producer that is at its end: another one may go on."""

PERSON_NEEDED = FATAL - {KafkaError._FATAL, KafkaError._AUTO_OFFSET_RESET} | {
    KafkaError._UNKNOWN_TOPIC,
    KafkaError.INVALID_TRANSACTION_TIMEOUT,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.UNSUPPORTED_FOR_MESSAGE_FORMAT,
}
"""No other attempt ends better."""

GROUP_MOVED = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.STALE_MEMBER_EPOCH,
    }
)
TIMED_OUT = frozenset({KafkaError._TIMED_OUT, KafkaError._MSG_TIMED_OUT, KafkaError.REQUEST_TIMED_OUT})


_log = logging.getLogger("librdkafka")


class Reaction(Enum):
    """What to do about an error of a transaction."""

    AGAIN = auto()  # the same call again
    ABORT = auto()
    START_AGAIN = auto()  # `Fenced`
    STOP = auto()  # `Fatal`


def reaction(error: KafkaError) -> Reaction:
    if error.code() in PERSON_NEEDED and not error.retriable():
        return Reaction.STOP
    if error.fatal() or error.code() in FENCED or error.code() == KafkaError._FATAL:
        return Reaction.START_AGAIN
    return Reaction.AGAIN if error.retriable() else Reaction.ABORT


def abort_cause(error: KafkaError) -> AbortCause:
    """By which a transaction that must be aborted is counted."""
    if error.code() in GROUP_MOVED:
        return AbortCause.GROUP_MOVED
    return AbortCause.TIMED_OUT if error.code() in TIMED_OUT else AbortCause.REFUSED


class KafkaTransactions(KafkaSink):
    """What is produced between `begin` and `commit` stands or falls together."""

    def __init__(
        self,
        connection: KafkaConnection,
        transactional_id: str,
        timeout_ms: int,
        waiting: Callable[[], None] = lambda: None,
        limits: TopicLimits | None = None,
    ) -> None:
        """Takes the place of whoever had this id, and aborts what that left open. Waits until Kafka answers.

        Raises `Fatal`, `Fenced`, and whatever `waiting` raises, which is called about every second.
        """
        config: dict[str, Any] = {
            "transactional.id": transactional_id,
            "transaction.timeout.ms": timeout_ms,
            "message.timeout.ms": timeout_ms,  # what is late by so much can only be aborted
        }
        super().__init__(connection, waiting, limits, config)
        self._what = f"transactional id {transactional_id}"
        self._timeout_s = timeout_ms / 1000
        self._began_s = 0.0
        self._back_by_s = math.inf
        self._is_open = False
        self._doom: Aborted | None = None
        self._insist(lambda: self._producer.init_transactions(CALL_S))

    @property
    def doom(self) -> Aborted | None:
        return self._doom

    def is_overdue(self) -> bool:
        """Whether a call is kept for longer than Kafka keeps the transaction. To be asked from any thread."""
        return time.monotonic() > self._back_by_s

    def begin(self) -> None:
        self._call(self._producer.begin_transaction)
        self._is_open, self._doom, self._began_s = True, None, time.monotonic()

    def commit(self, source: Source, offsets: Mapping[int, int]) -> None:
        try:
            self._deliver()
            begun = source.unstored
            self._add(source, {**begun, **offsets})
            self._conclude(self._producer.commit_transaction)
        except Aborted:
            self.abort()
            raise
        self._is_open = False
        source.stored(begun.keys())

    def abort(self) -> None:
        try:
            self._conclude(self._producer.abort_transaction)
        except Aborted as refused:
            raise Fenced(f"{self._what}: a transaction could not be aborted: {refused}") from None
        self._is_open = False

    def close(self) -> None:
        if self._is_open and not self._closed and self._failure is None:
            try:  # so that readers need not wait for the timeout
                self._producer.abort_transaction(CALL_S)
            except (KafkaException, SystemError) as error:
                _log.info("%s: left open: %s", self._what, error)
        super().close()

    # ---------------------------------------------------------------------------------------------- internals

    def _deliver(self) -> None:
        """Every record acknowledged, in half the time that Kafka allows a transaction; or `Aborted`."""
        while True:
            left = self.flush(int(1000 * CALL_S))
            if self._doom is not None:
                raise self._doom
            if not left:
                return
            if self._remaining_s() <= 0:
                raise Aborted(AbortCause.TIMED_OUT, f"{left} records are not acknowledged")
            self._waiting()

    def _add(self, source: Source, offsets: Mapping[int, int]) -> None:
        here = [TopicPartition(source.topic, p, o, source.commit_note) for p, o in offsets.items()]
        while here:
            # This call does not go on in the background: cut short, it would fail where it could succeed.
            wait_s = max(self._remaining_s(), CALL_S)
            send = self._producer.send_offsets_to_transaction
            self._back_by_s = max(self._began_s + self._timeout_s, time.monotonic() + 2 * wait_s)
            try:
                if self._call(partial(send, here, source.group_metadata(), wait_s)):
                    return
            finally:
                self._back_by_s = math.inf
            if self._remaining_s() <= 0:
                raise Aborted(AbortCause.TIMED_OUT, "the group did not take the offsets")
            self._waiting()

    def _remaining_s(self) -> float:
        return self._began_s + self._timeout_s / 2 - time.monotonic()

    def _conclude(self, end: Callable[[float], None]) -> None:
        """Commit or abort: once begun, it is waited for."""
        deadline_s = time.monotonic() + TIMEOUTS_MAX * self._timeout_s
        while not self._call(lambda: end(CALL_S)):
            if time.monotonic() > deadline_s:
                raise Fenced(f"{self._what}: Kafka does not tell the outcome of a transaction: start again")
            self._waiting()

    def _insist(self, call: Callable[[], None]) -> None:
        said_s = time.monotonic()
        while not self._call(call):
            self._serve(0)
            if time.monotonic() - said_s > SAY_EVERY_S:
                said_s = time.monotonic()
                _log.warning("%s: waiting for its coordinator", self._what)
            self._waiting()

    def _call(self, call: Callable[[], None]) -> bool:
        """Whether it is done; False where the same call is to be made again."""
        self._check()
        try:
            call()
        except (KafkaException, SystemError) as raised:
            error = error_of(raised)
            what = sentence(self._what, error)
            match reaction(error):
                case Reaction.AGAIN:
                    _log.info(what)
                    return False
                case Reaction.ABORT:
                    raise Aborted(abort_cause(error), what) from None
                case Reaction.START_AGAIN:
                    raise Fenced(what) from None
                case Reaction.STOP:
                    raise Fatal(what) from None
        return True

    def _refused(self, topic: str, error: KafkaError) -> None:
        if error.code() == KafkaError._STATE:  # the transaction failed already, in the background
            self._doom = self._doom or Aborted(AbortCause.UNDELIVERED, sentence(f"topic {topic}", error))
        elif error.code() == KafkaError._FATAL:
            self._serve(0)
            self._ended(error)
            self._check()
        else:
            super()._refused(topic, error)

    def _failed(self, error: KafkaError, message: Message) -> None:
        if error.code() in PERSON_NEEDED or error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            super()._failed(error, message)
        elif error.code() not in PURGED:
            cause = AbortCause.TIMED_OUT if error.code() in TIMED_OUT else AbortCause.UNDELIVERED
            self._doom = self._doom or Aborted(cause, sentence(f"topic {message.topic()}", error))

    def _ended(self, error: KafkaError) -> None:
        stops = reaction(error) is Reaction.STOP
        what = sentence(self._what, error)
        self._failure = self._failure or (Fatal(what) if stops else Fenced(what))
