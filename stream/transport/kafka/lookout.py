"""Where a group begins in partitions that come, and whether the topic is still the one that it reads."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import OFFSET_INVALID, KafkaError

from stream.clock import now_ms
from stream.errors import Fatal
from stream.transport.endpoints import Start
from stream.transport.kafka.errors import is_fatal, sentence
from stream.transport.kafka.incidents import Standing, note_of, noted_id
from stream.transport.kafka.inquiry import Inquiry, Sighting, Stored, Watch
from stream.transport.kafka.reading import Reading
from stream.transport.kafka.statistics import ANEW_AFTER_S

TRUNCATED = "truncat"
"""What librdkafka says of a log that was cut and has grown again; it has no code of its own for it."""
GONE_S = 5.0
"""A broker that starts may know no topics for a moment; one that is gone for so long was deleted."""

_log = logging.getLogger("librdkafka")


@dataclass(frozen=True, slots=True)
class Begin:
    """Where partitions are read from, each by its number."""

    committed: Mapping[int, int]
    """Where the group goes on."""
    first: Mapping[int, int]
    """Those of `committed` that the group never stored."""
    lows: Mapping[int, int]
    ends: Mapping[int, int]
    asked_ms: int
    """When brokers were asked for these, ms since the epoch."""


class Lookout:
    """Of one group in one topic. Every question may raise `Fatal`: an incident, or brokers that stay away."""

    def __init__(self, inquiry: Inquiry, standing: Standing, start: Start) -> None:
        self._inquiry, self._standing, self._start = inquiry, standing, start
        self._topic = standing.topic
        self._topic_id: str | None = None
        self._watch: Watch | None = None
        self._told_s = 0.0
        """When it was last told of the topic, or asked with another client."""
        self._whole: dict[int, tuple[int, int]] = {}
        """By partition, the position and the log's end when the topic was last seen to be itself."""
        self._gone_s: float | None = None
        """Since when brokers know no such topic."""
        self.partition_count = 0
        self.reachable = True

    @property
    def note(self) -> str:
        return note_of(self._topic_id)

    @property
    def watches(self) -> bool:
        """Whether it will be told when the topic goes away."""
        return self._watch is not None

    def close(self) -> None:
        self._inquiry.close()

    def log_range(self, partition: int) -> tuple[int, int]:
        return self._inquiry.log_range(self._topic, partition)

    def partitions_of(self, topic: str) -> int:
        return len(self._inquiry.partitions_of(topic))

    # ---------------------------------------------------------------------------------------- partitions come

    def begin(self, partitions: Sequence[int]) -> Begin:
        numbers = sorted({*self._inquiry.partitions_of(self._topic), *partitions})
        self.partition_count = len(numbers)
        stored = self._inquiry.stored(self._topic, numbers)
        self._compare_ids({p: stored[p] for p in partitions})
        # A group that stands anywhere begins at the start of what was added since: it must skip nothing.
        is_new = all(one.offset == OFFSET_INVALID for one in stored.values())
        from_end = is_new and self._start == "latest"
        asked_ms = now_ms()
        ranges = {partition: self.log_range(partition) for partition in partitions}
        committed, first = {}, {}
        for partition, (low, high) in ranges.items():
            committed[partition] = offset = stored[partition].offset
            if offset == OFFSET_INVALID:
                committed[partition] = first[partition] = high if from_end else low
            elif offset < low or (offset > high and offset > self._end(partition)):
                raise Fatal(self._standing.outside(partition, offset, low, high))
        if self._watch is None and self._inquiry.admin is not None:
            self._watch, self._told_s = Watch(self._inquiry.admin, self._topic), time.monotonic()
        return Begin(
            committed,
            first,
            lows={p: low for p, (low, _) in ranges.items()},
            ends={p: high for p, (_, high) in ranges.items()},
            asked_ms=asked_ms,
        )

    def _compare_ids(self, stored: Mapping[int, Stored]) -> None:
        """Raises `Fatal` where the group, or this member of it, stands in a topic that is gone."""
        now = self._inquiry.topic_id(self._topic)
        if now is None:
            return
        if self._topic_id not in (None, now):
            raise Fatal(self._standing.made_anew(str(self._topic_id), now, self._whole))
        self._topic_id = now
        old = {p: one for p, one in stored.items() if noted_id(one.note) not in (None, now)}
        if old:
            before = " and ".join(sorted({str(noted_id(one.note)) for one in old.values()}))
            unread = {p: (one.offset, OFFSET_INVALID) for p, one in old.items()}
            raise Fatal(self._standing.made_anew(before, now, unread))

    def _end(self, partition: int) -> int:
        return self._inquiry.log_end(self._topic, partition)

    # ------------------------------------------------------------------------------------------ while reading

    def look(self, reading: Reading, connected: bool) -> None:
        """Take in what brokers told since the last look; costs no round trip.

        connected: whether brokers answer another client.
        """
        now_s = time.monotonic()
        seen = self._watch.look(reading.partitions, now_s) if self._watch is not None else None
        if seen is None:
            return
        if isinstance(seen, Sighting):
            self.reachable, self._told_s = True, now_s
            self._judge(seen, now_s)
            if seen.topic_id is not None:
                # A member whose own partitions stay the same need not hear of a new one otherwise.
                self.partition_count = max(self.partition_count, seen.partitions)
                reading.told(seen.ends, seen.asked_ms)
                lags = reading.lag(lambda _: OFFSET_INVALID)
                self._whole = {p: (lag.position, lag.end) for p, lag in lags.items()}
        else:
            self._not_told(seen, now_s, connected)

    def _judge(self, seen: Sighting, now_s: float) -> None:
        if seen.topic_id is None:
            self._gone_s = now_s if self._gone_s is None else self._gone_s
            if now_s - self._gone_s >= GONE_S:
                raise Fatal(self._standing.deleted(self._whole))
            return
        self._gone_s = None
        if self._topic_id not in (None, seen.topic_id):
            raise Fatal(self._standing.made_anew(str(self._topic_id), seen.topic_id, self._whole))
        self._topic_id = seen.topic_id

    def _not_told(self, error: KafkaError, now_s: float, connected: bool) -> None:
        what = sentence(f"topic {self._topic}", error)
        if is_fatal(error):
            raise Fatal(what)
        if self.reachable:
            _log.warning("no broker tells of it: %s", what)
        self.reachable = False
        if connected and now_s - self._told_s > ANEW_AFTER_S and self._inquiry.admin is not None:
            self._inquiry.renew()
            self._watch, self._told_s = Watch(self._inquiry.admin, self._topic), now_s

    def outside(self, partition: int, position: int, reason: str) -> int:
        """Where to read on when a client was told that the log does not hold the position: there, if it does.

        A leader that does not know its end yet says so, too. One that cut its log is an incident: what is
        written in place of the records that were read has their offsets, and would pass for answered.
        reason: the client's. Raises `Fatal`.
        """
        low, high = self.log_range(partition)
        end = high if position <= high else max(high, self._end(partition))
        self._compare_ids({})
        if not low <= position <= end:
            raise Fatal(self._standing.outside(partition, position, low, end))
        if TRUNCATED in reason.lower():
            raise Fatal(self._standing.cut(partition, position, reason))
        return position
