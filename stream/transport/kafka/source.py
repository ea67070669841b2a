"""A member of a consumer group whose offsets are never reset silently."""

import logging
import time
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, Message, TopicPartition

from stream.clock import now_ms
from stream.errors import Fatal, Fenced
from stream.records import RecordBatch
from stream.transport.endpoints import PartitionLag, PartitionListener, Start
from stream.transport.kafka.committing import Committing, membership
from stream.transport.kafka.errors import GONE, is_fatal, is_unreleased, refused_properties, sentence
from stream.transport.kafka.incidents import Standing
from stream.transport.kafka.inquiry import WATCH_EVERY_S, Inquiry
from stream.transport.kafka.leaving import Leaving
from stream.transport.kafka.lookout import Lookout
from stream.transport.kafka.messages import all_records, batch_of, offsets_of, partitions_of, timestamps_of
from stream.transport.kafka.properties import KafkaConnection
from stream.transport.kafka.reading import Reading
from stream.transport.kafka.statistics import Statistics

AWAIT_MS = 20

_log = logging.getLogger("librdkafka")


class KafkaSource:
    """Offsets are never reset silently: each partition starts where the group stands, or the worker stops."""

    def __init__(
        self,
        connection: KafkaConnection,
        topic: str,
        group: str,
        listener: PartitionListener,
        start: Start = "earliest",
        *,
        in_transactions: bool = False,
    ) -> None:
        """Subscribes; partitions come with the first calls of `poll`. Raises `ConfigurationError`.

        in_transactions: a commit of our own, served late, would move the group back behind a transaction's.
        """
        self._topic, self._group, self._listener = topic, group, listener
        self._cooperative, self._in_transactions = connection.cooperative, in_transactions
        self._reading = Reading()
        self._commits = Committing(topic, group)
        self._stopped: set[int] = set()  # partitions that the client gave up fetching
        self._paused = self._revoking = self._closed = False
        self._failure: Fatal | Fenced | None = None
        self._statistics = Statistics(f"topic {topic}, group {group}", topic, self._reading.fetched_to)
        callbacks = {"error_cb": self._on_error, "on_commit": self._commits.on_commit}
        config = self._statistics.config(connection.consumer(group) | callbacks)
        try:
            self._consumer = Consumer(config, logger=_log)
            # Asks what must be known inside callbacks, and joins nothing. Asked there, `_consumer` would lose
            # what its next callback in the same `consume` needs, and the client would abort the process.
            inquiry = Inquiry(connection, group)
        except KafkaException as error:
            raise refused_properties(error) from None
        self._lookout = Lookout(inquiry, Standing(topic, group), start)
        self._consumer.subscribe(
            [topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    @property
    def topic(self) -> str:
        return self._topic

    @property
    def reachable(self) -> bool:
        return self._lookout.reachable

    @property
    def partition_count(self) -> int:
        return self._lookout.partition_count

    @property
    def commits_refused(self) -> int:
        return self._commits.refused

    @property
    def commit_note(self) -> str:
        return self._lookout.note

    @property
    def unstored(self) -> Mapping[int, int]:
        return dict(self._reading.unstored)

    def stored(self, partitions: AbstractSet[int]) -> None:
        unstored = self._reading.unstored
        begun = {p: unstored.pop(p) for p in partitions & unstored.keys()}
        if begun and not self._paused:
            self._consumer.resume(self._here(begun))

    def group_metadata(self) -> Any:
        return membership(self._consumer, self._group)

    # --------------------------------------------------------------------------------------------- reading

    def poll(self, events_max: int, wait_ms: int) -> RecordBatch:
        self._seek()
        self._commits.send(self._consumer, self._lookout.note)
        self._lookout.look(self._reading, self._statistics.connected)
        if self._reading.unstored and not self._in_transactions:
            self.stored(self._reading.unstored.keys() - self._commits.wanted.keys())
        messages = self._consumer.consume(1, wait_ms / 1000)  # of more it would wait for the last
        if messages and events_max > 1:
            messages += self._consumer.consume(events_max - 1, 0)
        if failure := self._failure or self._commits.failure:
            raise failure
        self._statistics.check()
        if messages:
            self._lookout.reachable = True
        if len(messages) < events_max and not self._paused:
            self._reading.ran_dry()
        if not all_records(messages):
            messages = [m for m in messages if self._is_record(m)]
        partitions = partitions_of(messages)
        if set(partitions) - (fetched := self._reading.fetched):
            messages = [m for m in messages if m.partition() in fetched]
            partitions = [p for p in partitions if p in fetched]
        offsets, timestamps = offsets_of(messages), timestamps_of(messages)
        self._reading.returned(partitions, offsets, timestamps, now_ms())
        return batch_of(self._topic, messages, partitions, offsets, timestamps)

    def pause(self) -> None:
        self._paused = True
        self._consumer.pause(self._here(self._reading.positions))

    def resume(self) -> None:
        self._paused = False
        self._consumer.resume(self._here(self._reading.begun))

    def rewind(self, offsets: Mapping[int, int]) -> None:
        self._reading.go_to(offsets)
        self._seek()

    def lag(self) -> Mapping[int, PartitionLag]:
        return self._reading.lag(self._heard, is_told=self._lookout.watches)

    @property
    def silent_s(self) -> Mapping[int, float]:
        return {p: looks * WATCH_EVERY_S for p, looks in self._reading.silent.items()}

    def log_range(self, partition: int) -> tuple[int, int]:
        return self._lookout.log_range(partition)

    def partitions_of(self, topic: str) -> int:
        return self._lookout.partitions_of(topic)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        leaving = Leaving(self._consumer.close, lambda: self._revoking)
        if leaving.done_in_time():
            self._lookout.close()
        else:
            _log.warning(
                "group %s on %s: no broker answers, so it was left without a word%s",
                self._group,
                self._topic,
                f"; not stored, and read again: {self._commits.wanted}" if self._commits.wanted else "",
            )
        leaving.raise_what_was_raised()

    def _seek(self) -> None:
        """A partition that came a moment ago is not being fetched yet: the next poll tries it again."""
        if self._stopped:
            self._start_again()
        for where in self._here(self._reading.seeking):
            try:
                self._consumer.seek(where)
                del self._reading.seeking[where.partition]
            except KafkaException as raised:
                if raised.args[0].code() not in (KafkaError._STATE, KafkaError._PREV_IN_PROGRESS):
                    raise

    def _start_again(self) -> None:
        """A partition that the client gave up fetching takes no seek: it is assigned once more."""
        places = self._here({p: self._reading.seeking.pop(p) for p in self._stopped})
        if self._cooperative:
            self._consumer.incremental_unassign(places)
            self._consumer.incremental_assign(places)
        else:
            self._consumer.assign(self._here(self._reading.positions))
            self._reading.seeking.clear()
        self._stopped.clear()
        self._consumer.pause(self._here(self._reading.positions if self._paused else self.unstored))

    def _heard(self, partition: int) -> int:
        """The log's end as the fetcher last heard it; negative before it did."""
        where = TopicPartition(self._topic, partition)
        try:
            return self._consumer.get_watermark_offsets(where, cached=True)[1]
        except (KafkaException, RuntimeError):  # nothing is known of it yet; or the consumer is closed
            return OFFSET_INVALID

    # --------------------------------------------------------------------------------------------- commits

    def commit(self, offsets: Mapping[int, int]) -> None:
        self._commits.ask(offsets)
        self._commits.send(self._consumer, self._lookout.note, at_once=self._revoking)

    def await_commits(self, within_ms: int) -> bool:
        deadline_s = time.monotonic() + within_ms / 1000
        was_paused = self._paused
        try:
            while self._commits.wanted and (left_s := deadline_s - time.monotonic()) > 0:
                if not self._paused:
                    self.pause()
                self.poll(1, min(AWAIT_MS, int(1000 * left_s)))
        finally:
            if not was_paused and self._paused:
                self.resume()
        return not self._commits.wanted

    # ------------------------------------------------------------------------------------------- callbacks

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        begin = self._lookout.begin([p.partition for p in partitions])
        elsewhere = self._listener.assigned(begin.committed)
        starts = {p: max(begin.lows[p], o) for p, o in {**begin.committed, **elsewhere}.items()}
        here = self._here(starts)
        if self._cooperative:
            consumer.incremental_assign(here)
        else:
            consumer.assign(here)
        self._reading.begin(starts, begin.ends, begin.asked_ms, begin.first)
        # A partition that left while it was paused comes back paused: the client remembers.
        (consumer.pause if self._paused else consumer.resume)(here)
        if begin.first:
            consumer.pause(self._here(begin.first))
        if begin.first and not self._in_transactions:
            self._commits.ask(begin.first)
            self._commits.send(consumer, self._lookout.note, at_once=True)

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        numbers = {p.partition for p in partitions}
        self._revoking = True
        try:
            self._listener.revoked(numbers)
            self._commits.send(self._consumer, self._lookout.note, at_once=True)
        finally:
            self._revoking = False
            self._forget(numbers)

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        numbers = {p.partition for p in partitions}
        self._forget(numbers)
        self._listener.lost(numbers)

    def _forget(self, partitions: set[int]) -> None:
        self._reading.forget(partitions)
        self._stopped -= partitions
        if not self._closed:  # then `close` tells what was not stored
            self._commits.forget(partitions)

    # ------------------------------------------------------------------------------------------------- errors

    def _is_record(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return True
        partition, offset = message.partition(), message.offset()
        if error.code() == KafkaError._PARTITION_EOF:
            if partition is not None and offset is not None and partition in self._reading.fetched:
                self._reading.ran_out(partition, offset, now_ms())
        elif error.code() == KafkaError._AUTO_OFFSET_RESET and partition is not None:
            if partition in self._reading.partitions:
                position = self._reading.positions[partition]
                again = self._lookout.outside(partition, position, error.str())
                self._reading.go_to({partition: again})
                self._stopped.add(partition)
        elif not (error.code() in GONE and self._lookout.watches):
            self._note(error, f"topic {self._topic}, group {self._group}")
            if self._failure is not None:
                raise self._failure
        return False

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._lookout.reachable = False
        self._note(error, f"Kafka ({self._group})")

    def _note(self, error: KafkaError, what: str) -> None:
        """Remember what no retry helps; librdkafka mends the rest and says so in its own log."""
        if is_fatal(error):
            kind = Fenced if is_unreleased(error) else Fatal
            self._failure = self._failure or kind(sentence(what, error))
        else:
            _log.info(sentence(what, error))

    def _here(self, offsets: Mapping[int, int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, p, o) for p, o in offsets.items()]
