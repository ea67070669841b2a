"""Ranges of a topic, read from offset to offset without a group: nothing is committed, nobody rebalanced."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias, TypeVar

import numpy as np
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from stream.errors import Fatal
from stream.records import RecordBatch
from stream.transport.kafka.errors import refused_properties, sentence
from stream.transport.kafka.messages import RecordHeaders
from stream.transport.kafka.properties import KafkaConnection

ASK_TIMEOUT_S = 10.0
AGAIN_AFTER_S = 0.1
LEADERLESS = frozenset({KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE})
"""What brokers say for moments after a topic was created, or while a leader moves."""
SILENT_POLLS_MAX = 60
"""Of a second each: when the broker says nothing for so long, reading is given up."""
RECORDS_MAX = 10_000

Offsets: TypeAlias = Mapping[int, int]
"""By partition."""
_Answer = TypeVar("_Answer")


class TopicRanges:
    """Reads records of one topic; every method may raise `Fatal`."""

    def __init__(self, connection: KafkaConnection, topic: str) -> None:
        """Raises `ConfigurationError`."""
        self.topic = topic
        try:
            # The client wants the name of a group, though it never joins one.
            self._consumer = Consumer(connection.consumer(f"{topic}.ranges"))
        except KafkaException as error:
            raise refused_properties(error) from None

    def close(self) -> None:
        self._consumer.close()

    def whole(self) -> tuple[Offsets, Offsets]:
        """By partition, the first offset in the log and the one after its last."""
        found = self._ask(lambda: self._consumer.list_topics(self.topic, ASK_TIMEOUT_S)).topics[self.topic]
        if found.error is not None:
            raise Fatal(sentence(f"topic {self.topic}", found.error))
        ranges = {partition: self._range(partition) for partition in sorted(found.partitions)}
        return {p: low for p, (low, _) in ranges.items()}, {p: high for p, (_, high) in ranges.items()}

    def since(self, timestamp_ms: int) -> tuple[Offsets, Offsets]:
        """`whole`, but for what comes before the first record of a partition that is not older than this."""
        starts, ends = self.whole()
        wanted = [TopicPartition(self.topic, partition, max(timestamp_ms, 0)) for partition in starts]
        found = self._ask(lambda: self._consumer.offsets_for_times(wanted, ASK_TIMEOUT_S))
        at = {p.partition: p.offset if p.offset >= 0 else ends[p.partition] for p in found}
        return {partition: max(low, at[partition]) for partition, low in starts.items()}, ends

    def read(self, starts: Offsets, ends: Offsets) -> Iterator[RecordBatch]:
        """The records from each partition's start to before its end; partitions come mixed."""
        unread = {partition for partition, start in starts.items() if start < ends[partition]}
        self._consumer.assign([TopicPartition(self.topic, p, starts[p]) for p in sorted(unread)])
        silent = 0
        while unread:
            messages = self._consumer.consume(RECORDS_MAX, 1.0)
            silent = 0 if messages else silent + 1
            if silent > SILENT_POLLS_MAX:
                raise Fatal(f"topic {self.topic}: no answer for {silent} s; look whether the broker is there")
            wanted: list[Message] = []
            for message in messages:
                partition, offset = message.partition(), message.offset()
                is_record = self._is_record(message)
                if partition not in unread or offset is None:
                    continue
                if is_record and offset < ends[partition]:
                    wanted.append(message)
                # At the end of the log, behind it may be marks of transactions, which are never returned.
                if offset + is_record >= ends[partition]:
                    unread.discard(partition)
            if wanted:
                yield self._batch(wanted)

    def _range(self, partition: int) -> tuple[int, int]:
        where = TopicPartition(self.topic, partition)
        return self._ask(lambda: self._consumer.get_watermark_offsets(where, ASK_TIMEOUT_S))

    def _is_record(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.code() == KafkaError._PARTITION_EOF or error.retriable():
            return False
        raise Fatal(sentence(f"topic {self.topic}", error))

    def _batch(self, messages: Sequence[Message]) -> RecordBatch:
        return RecordBatch(
            topic=self.topic,
            partitions=np.array([m.partition() for m in messages], np.int64),
            offsets=np.array([m.offset() for m in messages], np.int64),
            timestamps=np.array([m.timestamp()[1] for m in messages], np.int64),
            keys=[m.key() for m in messages],
            values=[m.value() for m in messages],
            headers=RecordHeaders(messages),
        )

    def _ask(self, question: Callable[[], _Answer]) -> _Answer:
        until_s = time.monotonic() + ASK_TIMEOUT_S
        while True:
            try:
                return question()
            except KafkaException as raised:
                error = raised.args[0]
                if error.code() not in LEADERLESS or time.monotonic() > until_s:
                    raise Fatal(sentence(f"topic {self.topic}", error)) from None
                time.sleep(AGAIN_AFTER_S)
