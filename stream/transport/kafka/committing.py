"""Commits of a group member: asked for, sent one at a time, answered while it polls."""

import logging
import time
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from stream.errors import AbortCause, Aborted, Fatal
from stream.transport.commits import Commits, answered, asked, forgotten, sent
from stream.transport.kafka.errors import GONE, is_fatal, sentence

AGAIN_S = 0.5
"""After a refusal: most come from a rebalance, and pass with it."""

_log = logging.getLogger("librdkafka")


class Committing:
    """Of one topic's offsets; `on_commit` is the client's callback."""

    def __init__(self, topic: str, group: str) -> None:
        self._topic, self._what = topic, f"commit of group {group} on {topic}"
        self._state = Commits()
        self._again_s = 0.0
        self.failure: Fatal | None = None
        """What no retry helps."""

    @property
    def wanted(self) -> Mapping[int, int]:
        """By partition, what is not known to stand."""
        return self._state.wanted

    @property
    def refused(self) -> int:
        return self._state.refused

    def ask(self, offsets: Mapping[int, int]) -> None:
        self._state = asked(self._state, offsets)
        self._again_s = 0.0

    def forget(self, partitions: AbstractSet[int]) -> None:
        self._state = forgotten(self._state, partitions)

    def send(self, consumer: Consumer, note: str, at_once: bool = False) -> None:
        """Ask for what is wanted, if nothing is under way and no refusal came just now.

        at_once: partitions come or go. The request then stands ahead of the one that gives them up, on the
        same connection, so that it is served first.
        """
        due = self._state.due and time.monotonic() >= self._again_s
        if not due and not (at_once and self.wanted):
            return
        places = [TopicPartition(self._topic, p, o, note) for p, o in self.wanted.items()]
        try:
            consumer.commit(offsets=places, asynchronous=True)
        except KafkaException as raised:
            self._refuse(raised.args[0])
        else:
            self._state = sent(self._state)

    def on_commit(self, error: KafkaError | None, places: list[TopicPartition]) -> None:
        errors = [p.error for p in places if p.error is not None] or ([] if error is None else [error])
        stands = {p.partition: p.offset for p in places if error is None and p.error is None}
        for one in errors[:1]:
            self._refuse(one)
        self._state = answered(self._state, stands, bool(errors))

    def _refuse(self, error: KafkaError) -> None:
        """What a refusal means: mostly nothing.

        `ILLEGAL_GENERATION`, `STALE_MEMBER_EPOCH` and their like say that the group is a step ahead of us,
        not that our partitions are gone: most rebalances leave them ours. Which are, librdkafka says later.
        """
        what = sentence(self._what, error)
        if is_fatal(error) and error.code() not in GONE:
            self.failure = self.failure or Fatal(what)
        _log.info(what)
        self._again_s = time.monotonic() + AGAIN_S


def membership(consumer: Consumer, group: str) -> Any:
    """What a transaction takes for a member of the group. Raises `Aborted` for one that lost its member id.

    Brokers check nothing of offsets in a transaction that come without id and generation, which is how a
    client says that it knows of no members. A client that was expelled looks the same until it joined again.
    """
    member, metadata = consumer.memberid(), consumer.consumer_group_metadata()
    if not member or member != consumer.memberid():  # lost and given anew in between it is another
        raise Aborted(AbortCause.GROUP_MOVED, f"group {group} takes us for no member any more")
    return metadata
