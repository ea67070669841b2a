"""Headers of records, read only where they are needed, and whatever their names are."""

from collections.abc import Sequence

from confluent_kafka import Message

from stream.records import Headers


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
