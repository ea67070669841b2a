"""The two ends of a worker: where records come from, and where they go.

The drivers stand beside this file; `tests/contract/test_transport.py` holds them to one behaviour.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from stream.errors import Aborted
from stream.records import Headers, RecordBatch

OnAck: TypeAlias = Callable[[int], None]
"""Called with a number of records once all of them stand in the output log."""

Start: TypeAlias = Literal["earliest", "latest"]
"""Where a group that has never committed begins."""


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """How far a source is in one partition."""

    position: int
    """The next offset `poll` will return."""
    end: int
    """The log's end, as last heard; never smaller than `position`."""
    unread_since_ms: int = -1
    """No unread record is older, ms since the epoch; -1 where none is unread, or nothing is known."""
    end_at_ms: int | None = None
    """For what moment a broker vouched for `end`, ms since the epoch; None where it is as of now."""

    @property
    def records(self) -> int:
        return self.end - self.position

    def vouched_ms(self, now_ms: int) -> int:
        """`end_at_ms`, or now where `end` is as of now."""
        return now_ms if self.end_at_ms is None else self.end_at_ms

    def seen_until_ms(self, now_ms: int) -> int:
        """Of what stood in the log by then nothing is unread; -1 where nothing is known."""
        return self.unread_since_ms if self.records else self.vouched_ms(now_ms)


class PartitionListener(Protocol):
    """Who is told when partitions come and go. Called from inside `poll` and `close`, which wait for it."""

    def assigned(self, committed: Mapping[int, int]) -> Mapping[int, int]:
        """These partitions are ours now, in addition to those we had.

        committed: by partition, the offset the group goes on from. Empty when the group answers that
        there is nothing more for us (under KIP-848 a member without partitions hears nothing).
        Returns where to read from, for partitions that shall start elsewhere. An offset before the
        log's start is moved up to it. `Source.log_range` may be called in here.
        """
        ...

    def revoked(self, partitions: AbstractSet[int]) -> None:
        """These go to another member when this returns: deliver and commit what is done of them now."""
        ...

    def lost(self, partitions: AbstractSet[int]) -> None:
        """These are gone already: forget them; a commit would be refused. May name unknown ones.

        Comes from `poll` or `close` only: a refused commit alone does not say that anything is gone.
        """
        ...


class Source(Protocol):
    """A member of a consumer group, on one topic."""

    @property
    def topic(self) -> str: ...

    @property
    def reachable(self) -> bool:
        """False while no broker answers."""
        ...

    @property
    def partition_count(self) -> int:
        """How many partitions the topic had when partitions were last assigned; 0 before."""
        ...

    def poll(self, events_max: int, wait_ms: int) -> RecordBatch:
        """Up to `events_max` records, or what came within `wait_ms`; offsets ascend in each partition.

        Must be called more often than `max.poll.interval.ms`, paused or not: rebalances happen in it.
        Raises `Fatal`, and whatever the listener raises.
        """
        ...

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Ask for the next offset to read of each partition to be stored for the group; waits for nothing.

        What is refused counts in `commits_refused`, and is asked for again by itself, with the next commit
        or in `poll`, for as long as the partition is ours. A refusal changes nothing else: the group may be
        in the midst of a rebalance after which the partitions are still ours; if they are not, the listener
        hears so in a later `poll`. What no retry helps raises `Fatal` in `poll`.

        Inside `PartitionListener.revoked` the request goes ahead of the handover; a refusal is only counted
        then, and the records are read again.
        """
        ...

    def await_commits(self, within_ms: int) -> bool:
        """Wait until what was asked for stands, at most so long; whether it does. Else as a paused `poll`."""
        ...

    @property
    def commits_refused(self) -> int:
        """How often a commit was refused so far."""
        ...

    @property
    def commit_note(self) -> str:
        """What a transaction stores beside each offset, so that a topic made anew is recognised."""
        ...

    @property
    def unstored(self) -> Mapping[int, int]:
        """Where the group begins, by assigned partition that it has stored nothing of yet.

        `poll` returns none of their records before that is stored. Else whoever takes over from a worker
        that began at the log's end, and was killed, would begin at an end further on.
        """
        ...

    def stored(self, partitions: AbstractSet[int]) -> None:
        """A transaction stored what was `unstored` of these; others are passed over."""
        ...

    def group_metadata(self) -> Any:
        """What a transaction of the same transport's sink takes for this member of the group, as of now.

        Raises `Aborted` where the group takes us for a member no more.
        """
        ...

    def pause(self) -> None:
        """`poll` returns no records, of partitions that come later neither, until `resume`."""
        ...

    def resume(self) -> None: ...

    def rewind(self, offsets: Mapping[int, int]) -> None:
        """Read on from these earlier offsets, by assigned partition; others are passed over."""
        ...

    def lag(self) -> Mapping[int, PartitionLag]:
        """By assigned partition; costs no round trip and never raises."""
        ...

    @property
    def silent_s(self) -> Mapping[int, float]:
        """By partition that brings nothing though brokers tell of unread records, and nothing fetched waits
        to be polled: for how long, in seconds.
        """
        ...

    def log_range(self, partition: int) -> tuple[int, int]:
        """The first offset in the log and the one after its last. A round trip. Raises `Fatal`."""
        ...

    def partitions_of(self, topic: str) -> int:
        """How many partitions another topic has; 0 where there is none. A round trip. Raises `Fatal`."""
        ...

    def close(self) -> None:
        """Revoke everything (the listener is called) and leave the group. Idempotent.

        Waits some seconds for brokers that do not answer, and then leaves without a word to them.
        """
        ...


class Sink(Protocol):
    """Where records are produced, in the order of the calls for each key."""

    def bytes_max(self, topic: str) -> int:
        """The largest record that this topic takes, as `record_bytes` counts it. It may change."""
        ...

    def produce_batch(
        self,
        topic: str,
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        headers: Sequence[Headers] | None,
        on_ack: OnAck,
    ) -> None:
        """Produce n records; `on_ack(n)` is called once (not for n = 0), in `poll`, `flush` or a later call.

        While the queue is full this waits, and calls the `waiting` function the sink was made with.
        Raises `Fatal` for a record that can never be delivered, here or in a later call.
        """
        ...

    def poll(self) -> None:
        """Serve acknowledgements; does not wait. Raises `Fatal`."""
        ...

    def flush(self, wait_ms: int) -> int:
        """Wait until everything is acknowledged, at most `wait_ms`; returns how many records are not."""
        ...

    def close(self) -> None:
        """Give up what is not acknowledged. Idempotent."""
        ...


class TransactionalSink(Sink, Protocol):
    """A sink whose records stand together with the offsets of what they answer, or not at all.

    Whoever made one earlier with the same name is fenced; what that left open was aborted.
    """

    @property
    def doom(self) -> Aborted | None:
        """Why the open transaction cannot be committed any more; None while it can."""
        ...

    def begin(self) -> None:
        """Open a transaction; nothing may be produced outside one. Raises `Fenced` and `Fatal`."""
        ...

    def commit(self, source: Source, offsets: Mapping[int, int]) -> None:
        """Everything produced since `begin`, and these offsets of the source's group, stand when it returns,
        and what was `unstored` in it.

        Waits, and calls the `waiting` function the sink was made with. Where it raises `Aborted` nothing of
        it stands and no transaction is open. Raises `Fenced` and `Fatal`; then a new start learns from the
        group's offsets what stands. May be called inside `PartitionListener.revoked`.
        """
        ...

    def abort(self) -> None:
        """Nothing produced since `begin` stands when it returns. Raises `Fenced` and `Fatal`."""
        ...


RECORD_OVERHEAD_BYTES = 128
HEADER_OVERHEAD_BYTES = 10


def record_bytes(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """What a record takes of a topic's `max.message.bytes`, at most."""
    named = sum(len(name.encode()) + len(text or b"") + HEADER_OVERHEAD_BYTES for name, text in headers)
    return len(key or b"") + len(value or b"") + named + RECORD_OVERHEAD_BYTES
