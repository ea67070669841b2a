"""What a contestant writes, seen from outside: how many outputs there are, and whether they are right."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
import numpy as np
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec  # not exported to type checkers

from benchmarks.servers import PARTITIONS
from features.arrays import Floats

ANSWER_S = 30.0
SAMPLE_A_PARTITION = 100
TOLERANCE = 1e-6
"""Relative: a compiled model adds in another order, and some use float32."""
Output: TypeAlias = Mapping[str, Any]


class WrongOutputs(Exception):
    """A contestant did not do the job; the text says how."""


@dataclass(frozen=True, slots=True)
class Ends:
    """Asks the broker how much there is."""

    admin: AdminClient

    @classmethod
    def at(cls, bootstrap: str) -> "Ends":
        return cls(AdminClient({"bootstrap.servers": bootstrap, "log_level": 2}))

    def count(self, topic: str) -> int:
        """Records that are committed; a transaction adds a marker in every partition it wrote to."""
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        wanted = {TopicPartition(topic, p): latest for p in range(PARTITIONS)}
        found = self.admin.list_offsets(wanted, isolation_level=IsolationLevel.READ_COMMITTED)
        return sum(future.result(ANSWER_S).offset for future in found.values())

    def await_leaders(self, topic: str) -> None:
        """A new topic's partitions have none for a moment, and `count` would remember that."""
        deadline = time.monotonic() + ANSWER_S
        while True:
            known = self.admin.list_topics(topic, timeout=ANSWER_S).topics[topic].partitions
            if len(known) == PARTITIONS and all(one.leader >= 0 for one in known.values()):
                with suppress(KafkaException):  # the broker knows that it leads later than others do
                    self.count(topic)
                    return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{topic} has no leaders")
            time.sleep(0.05)

    def committed(self, group: str, topic: str) -> int:
        """How many records of a topic a group has committed."""
        wanted = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, p) for p in range(PARTITIONS)])
        found = self.admin.list_consumer_group_offsets([wanted])[group].result(ANSWER_S)
        return sum(max(0, one.offset) for one in found.topic_partitions)

    def members(self, group: str) -> int:
        """Members of a group that have partitions."""
        found = self.admin.describe_consumer_groups([group])[group].result(ANSWER_S)
        return sum(bool(member.assignment.topic_partitions) for member in found.members)


def sample(bootstrap: str, topic: str) -> list[Output]:
    """Some of the newest outputs of each partition, as JSON."""
    properties = {"bootstrap.servers": bootstrap, "group.id": "bench.sample", "enable.partition.eof": True}
    with closing(Consumer({**properties, "isolation.level": "read_committed"})) as consumer:
        starts = []
        for p in range(PARTITIONS):
            first, end = consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=ANSWER_S)
            starts.append(TopicPartition(topic, p, max(first, end - SAMPLE_A_PARTITION)))
        consumer.assign(starts)
        values: list[bytes] = []
        ended: set[int] = set()
        while len(ended) < PARTITIONS:
            for message in consumer.consume(1_000, ANSWER_S):
                if message.error():
                    ended.add(message.partition() or 0)
                elif value := message.value():
                    values.append(value)
    return [msgspec.json.decode(value) for value in values]


def check_scores(outputs: Sequence[Output], expected: Callable[[Sequence[str]], Floats]) -> None:
    """Raises `WrongOutputs` where a score is not LightGBM's own. expected: shape (n,) of n event ids."""
    _check_any(outputs)
    ids = [str(output["event_id"]) for output in outputs]
    scores, wanted = np.array([output["score"] for output in outputs], np.float64), expected(ids)
    wrong = np.flatnonzero(np.abs(scores - wanted) > TOLERANCE * np.abs(wanted))
    if len(wrong):
        at = int(wrong[0])
        raise WrongOutputs(f"{len(wrong)} of {len(ids)} scores; of {ids[at]}: {scores[at]}, not {wanted[at]}")


def check_undegraded(outputs: Sequence[Output]) -> None:
    """Raises `WrongOutputs` where another than the model answered, or something was missing."""
    _check_any(outputs)
    short = [one for one in outputs if one["source"] != "model" or one["degradations"]]
    if short:
        raise WrongOutputs(f"{len(short)} of {len(outputs)} are degraded: {dict(short[0])}")


def alert_share(outputs: Sequence[Output]) -> float:
    """Of those that are not let through: what reasons would be given for."""
    return sum(bool(output["decision"] != "approve") for output in outputs) / len(outputs)


def _check_any(outputs: Sequence[Output]) -> None:
    if not outputs:
        raise WrongOutputs("there are none")
