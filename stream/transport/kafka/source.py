"""A member of a consumer group whose offsets are never reset silently."""

import logging
from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, Message, TopicPartition

from stream.errors import Fatal, Retryable
from stream.records import RecordBatch
from stream.transport.endpoints import PartitionLag, PartitionListener, Start
from stream.transport.kafka.errors import is_fatal, refused_properties, sentence
from stream.transport.kafka.headers import RecordHeaders
from stream.transport.kafka.properties import KafkaConnection

ASK_TIMEOUT_S = 10.0
ASK_ATTEMPTS = 6

_log = logging.getLogger("librdkafka")
_Answer = TypeVar("_Answer")


class KafkaSource:
    """Offsets are never reset silently: each partition starts where the group stands, or the worker stops."""

    def __init__(
        self,
        connection: KafkaConnection,
        topic: str,
        group: str,
        listener: PartitionListener,
        start: Start = "earliest",
    ) -> None:
        """Subscribes; partitions come with the first calls of `poll`. Raises `ConfigurationError`."""
        self._topic, self._group, self._listener, self._start = topic, group, listener, start
        self._cooperative = connection.cooperative
        self._positions: dict[int, int] = {}
        self._ends: dict[int, int] = {}  # the log's end when the partition came
        self._end_seen: dict[int, int] = {}  # where the fetcher last ran out of records
        self._seeking: dict[int, int] = {}  # where to read on from, as soon as the fetcher lets us say so
        self._paused = self._closed = self._revoking = False
        self._reachable = True
        self._partition_count = 0
        self._failure: Fatal | None = None
        try:
            self._consumer = Consumer(connection.consumer(group), error_cb=self._on_error, logger=_log)
            # Asks what must be known inside callbacks, and joins nothing. Asked there, `_consumer` would lose
            # what its next callback in the same `consume` needs, and the client would abort the process.
            self._asking = Consumer(connection.consumer(group), error_cb=lambda _: None, logger=_log)
        except KafkaException as error:
            raise refused_properties(error) from None
        self._consumer.subscribe(
            [topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    @property
    def topic(self) -> str:
        return self._topic

    @property
    def reachable(self) -> bool:
        return self._reachable

    @property
    def partition_count(self) -> int:
        return self._partition_count

    def poll(self, events_max: int, wait_ms: int) -> RecordBatch:
        self._seek()
        messages = self._consumer.consume(events_max, wait_ms / 1000)
        if self._failure is not None:
            raise self._failure
        if messages:
            self._reachable = True
        if any([m.error() is not None for m in messages]):  # noqa: C419  # a list is twice as fast here
            messages = [m for m in messages if self._is_record(m)]
        partitions: list[int] = [m.partition() for m in messages]  # type: ignore[misc]  # a record has one
        if strays := set(partitions) - (self._positions.keys() - self._seeking.keys()):
            # One may have left in the very call that fetched from it.
            messages = [m for m in messages if m.partition() not in strays]
            partitions = [p for p in partitions if p not in strays]
        offsets: list[int] = [m.offset() for m in messages]  # type: ignore[misc]  # a record has one
        for partition, offset in dict(zip(partitions, offsets, strict=True)).items():  # the last of each
            self._positions[partition] = offset + 1
        return RecordBatch(
            topic=self._topic,
            partitions=np.array(partitions, np.int64),
            offsets=np.array(offsets, np.int64),
            timestamps=np.array([m.timestamp()[1] for m in messages], np.int64),
            keys=[m.key() for m in messages],
            values=[m.value() for m in messages],
            headers=RecordHeaders(messages),
        )

    def commit(self, offsets: Mapping[int, int]) -> None:
        if not offsets:
            return
        wanted = [TopicPartition(self._topic, p, o) for p, o in offsets.items()]
        try:
            if self._revoking:
                # To wait here would abort the process, as above. The request stands ahead of the one that
                # gives the partitions up, on the same connection, so that it is served first.
                self._consumer.commit(offsets=wanted, asynchronous=True)
                return
            stored = self._consumer.commit(offsets=wanted, asynchronous=False)
        except KafkaException as raised:
            self._refuse(raised.args[0])
            return
        for partition in stored or []:
            if partition.error is not None:
                self._refuse(partition.error)

    def pause(self) -> None:
        self._paused = True
        self._consumer.pause(self._here(self._positions))

    def resume(self) -> None:
        self._paused = False
        self._consumer.resume(self._here(self._positions))

    def rewind(self, offsets: Mapping[int, int]) -> None:
        mine = {p: offset for p, offset in offsets.items() if p in self._positions}
        self._positions |= mine
        self._seeking |= mine
        self._seek()

    def lag(self) -> Mapping[int, PartitionLag]:
        lags = {}
        for partition, position in self._positions.items():
            high = self._high(partition)
            end_seen = self._end_seen.get(partition, -1)
            at_end = end_seen >= position  # behind it may be control records, which are never returned
            end = end_seen if at_end else max(self._ends.get(partition, position), high, position)
            lags[partition] = PartitionLag(max(position, end_seen), end)
        return lags

    def _seek(self) -> None:
        """A partition that came a moment ago is not being fetched yet: the next poll tries it again."""
        for where in self._here(self._seeking):
            self._end_seen.pop(where.partition, None)
            try:
                self._consumer.seek(where)
                del self._seeking[where.partition]
            except KafkaException as raised:
                if raised.args[0].code() != KafkaError._STATE:
                    raise

    def _high(self, partition: int) -> int:
        """The log's end as the fetcher last heard it; negative before it did."""
        where = TopicPartition(self._topic, partition)
        try:
            return self._consumer.get_watermark_offsets(where, cached=True)[1]
        except (KafkaException, RuntimeError):  # nothing is known of it yet; or the consumer is closed
            return OFFSET_INVALID

    def log_range(self, partition: int) -> tuple[int, int]:
        where = TopicPartition(self._topic, partition)
        return self._ask(lambda: self._asking.get_watermark_offsets(where, ASK_TIMEOUT_S))

    def partitions_of(self, topic: str) -> int:
        found = self._ask(lambda: self._asking.list_topics(topic, ASK_TIMEOUT_S)).topics.get(topic)
        return len(found.partitions) if found is not None else 0

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            try:
                self._consumer.close()
            finally:
                self._asking.close()

    # ---------------------------------------------------------------------------------------------- callbacks
    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        committed, ranges = self._starting_points([p.partition for p in partitions])
        elsewhere = self._listener.assigned(committed)
        starts = {}
        for partition, offset in (committed | dict(elsewhere)).items():
            low, high = ranges[partition]
            starts[partition] = max(low, offset)
            self._ends[partition] = high
        here = self._here(starts)
        if self._cooperative:
            consumer.incremental_assign(here)
        else:
            consumer.assign(here)
        self._positions |= starts
        if self._paused:
            consumer.pause(here)

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        numbers = {p.partition for p in partitions}
        self._revoking = True
        try:
            self._listener.revoked(numbers)
        finally:
            self._revoking = False
            self._forget(numbers)

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        numbers = {p.partition for p in partitions}
        self._forget(numbers)
        self._listener.lost(numbers)

    def _forget(self, partitions: set[int]) -> None:
        for partition in partitions:
            for known in (self._positions, self._ends, self._end_seen, self._seeking):
                known.pop(partition, None)

    def _on_error(self, error: KafkaError) -> None:
        self._reachable = self._reachable and error.code() != KafkaError._ALL_BROKERS_DOWN
        self._note(error, f"Kafka ({self._group})")

    # ------------------------------------------------------------------------------------------------ offsets
    def _starting_points(self, partitions: list[int]) -> tuple[dict[int, int], dict[int, tuple[int, int]]]:
        """Where the group stands in `partitions`, and what their logs hold. Raises `Fatal`."""
        everywhere = self._ask(lambda: self._asking.list_topics(self._topic, ASK_TIMEOUT_S))
        numbers = sorted({*everywhere.topics[self._topic].partitions, *partitions})
        self._partition_count = len(numbers)
        wanted = [TopicPartition(self._topic, number) for number in numbers]
        stored = {
            p.partition: p.offset for p in self._ask(lambda: self._asking.committed(wanted, ASK_TIMEOUT_S))
        }
        group_is_new = all(offset == OFFSET_INVALID for offset in stored.values())
        from_end = group_is_new and self._start == "latest"
        ranges = {partition: self.log_range(partition) for partition in partitions}
        committed, first = {}, {}
        for partition, (low, high) in ranges.items():
            committed[partition] = offset = stored[partition]
            if offset == OFFSET_INVALID:
                committed[partition] = first[partition] = high if from_end else low
            elif not low <= offset <= high:
                raise Fatal(self._vanished(partition, offset, low, high))
        if first:  # so that "has the group ever committed" is answered even before the first record
            self._consumer.commit(offsets=self._here(first), asynchronous=True)
        return committed, ranges

    def _vanished(self, partition: int, offset: int, low: int, high: int) -> str:
        what = (
            "records were deleted before they were read" if offset < low else "the log was cut or recreated"
        )
        return (
            f"{self._topic}[{partition}]: group {self._group} stands at offset {offset}, but the log holds "
            f"{low} to {high}: {what}; find out what is missing, then choose where to go on with "
            "`kafka-consumer-groups --reset-offsets`"
        )

    def _here(self, offsets: Mapping[int, int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, p, o) for p, o in offsets.items()]

    # ------------------------------------------------------------------------------------------------- errors
    def _is_record(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return True
        partition, offset = message.partition(), message.offset()
        if error.code() == KafkaError._PARTITION_EOF:
            here = self._positions.keys() - self._seeking.keys()
            if partition is not None and offset is not None and partition in here:
                self._end_seen[partition] = offset
            return False
        if error.code() == KafkaError._AUTO_OFFSET_RESET and partition is not None:
            position = self._positions.get(partition, -1)
            raise Fatal(self._vanished(partition, position, *self.log_range(partition)))
        self._note(error, f"topic {self._topic}, group {self._group}")
        if self._failure is not None:
            raise self._failure
        return False

    def _note(self, error: KafkaError, what: str) -> None:
        """Remember what no retry helps; librdkafka mends the rest and says so in its own log."""
        if is_fatal(error):
            self._failure = Fatal(sentence(what, error))
        else:
            _log.info(sentence(what, error))

    def _refuse(self, error: KafkaError) -> None:
        """Raise what a failed commit means.

        `ILLEGAL_GENERATION`, `STALE_MEMBER_EPOCH` and their like say that the group is a step ahead of us,
        not that our partitions are gone: most rebalances leave them ours. Which are, librdkafka says later.
        """
        code, what = error.code(), f"commit of group {self._group} on {self._topic}"
        if code == KafkaError._NO_OFFSET:
            return
        if is_fatal(error):
            raise Fatal(sentence(what, error))
        raise Retryable(sentence(what, error))

    def _ask(self, question: Callable[[], _Answer]) -> _Answer:
        """The answer of a broker, which may be restarting; `Fatal` after a minute without one."""
        for attempt in range(1, ASK_ATTEMPTS + 1):
            try:
                return question()
            except KafkaException as raised:
                error = raised.args[0]
                if is_fatal(error) or attempt == ASK_ATTEMPTS:
                    raise Fatal(sentence(f"topic {self._topic}, group {self._group}", error)) from None
                _log.warning(sentence(f"topic {self._topic}: attempt {attempt} of {ASK_ATTEMPTS}", error))
        raise AssertionError("unreachable")
