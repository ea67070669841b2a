"""What a poll brought as a batch; headers are read only where they are needed, whatever their names are."""

from collections.abc import Sequence

import numpy as np
from confluent_kafka import Message

from stream.records import Headers, RecordBatch


def batch_of(
    topic: str,
    messages: Sequence[Message],
    partitions: Sequence[int],
    offsets: Sequence[int],
    timestamps: Sequence[int],
) -> RecordBatch:
    """messages: records all of them; the others say the same of each, which was needed before."""
    return RecordBatch(
        topic=topic,
        partitions=np.array(partitions, np.int64),
        offsets=np.array(offsets, np.int64),
        timestamps=np.array(timestamps, np.int64),
        keys=[m.key() for m in messages],
        values=[m.value() for m in messages],
        headers=RecordHeaders(messages),
    )


class RecordHeaders:
    """The headers of a batch's records; none for a record that has a header whose name is not UTF-8.

    Kafka lets anybody write such names. The client then cannot read any header of the record, and raises
    SystemError; but a record is worth more than its headers, and one must not stop a worker. The list that
    the client made until then has holes: a second call would return it, and reading it ends the process.
    """

    __slots__ = ("_messages", "_unreadable")

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages
        self._unreadable: set[int] = set()

    def __call__(self, i: int) -> Headers:
        if i in self._unreadable:
            return []
        try:
            return list(self._messages[i].headers() or [])  # type: ignore[arg-type]  # pairs of str, bytes
        except (SystemError, UnicodeDecodeError):
            self._unreadable.add(i)
            return []
