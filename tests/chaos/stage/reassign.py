"""Kafka's AlterPartitionReassignments (key 45, version 0), which the Python client does not have.

The fields and their order are those of the protocol's message definition; lists and strings are "compact", so
their lengths are unsigned varints of one more than they hold, and every structure ends with tagged fields.
"""

import socket
import struct
from collections.abc import Mapping, Sequence

_KEY, _VERSION, _CORRELATION = 45, 0, 1
_TIMEOUT_MS = 10_000
_NO_TAGS = b"\0"


def reassign(port: int, topic: str, replicas: Mapping[int, Sequence[int]]) -> None:
    """Have the controller set each partition's replicas, the preferred leader first; any broker passes it on.

    Fails with Kafka's error code where it is refused. The move itself goes on after that.
    """
    partitions = b"".join(
        struct.pack(">i", partition) + _compact([struct.pack(">i", broker) for broker in brokers]) + _NO_TAGS
        for partition, brokers in replicas.items()
    )
    named = _text(topic) + _varint(len(replicas) + 1) + partitions + _NO_TAGS
    body = struct.pack(">i", _TIMEOUT_MS) + _compact([named]) + _NO_TAGS
    client = b"chaos"
    header = struct.pack(">hhih", _KEY, _VERSION, _CORRELATION, len(client)) + client + _NO_TAGS
    with socket.create_connection(("127.0.0.1", port), timeout=2 * _TIMEOUT_MS / 1000) as connection:
        connection.sendall(struct.pack(">i", len(header + body)) + header + body)
        with connection.makefile("rb") as answer:
            (length,) = struct.unpack(">i", answer.read(4))
            _check(answer.read(length))


def _check(answer: bytes) -> None:
    """correlation int32, tags; throttle int32, error int16, message; then per topic and partition."""
    correlation, _, _, error = struct.unpack_from(">iBih", answer)
    assert correlation == _CORRELATION
    assert error == 0, f"the reassignment was refused with error {error}: {answer[11:]!r}"
    at = struct.calcsize(">iBih") + 1  # past the message, which is null where there is no error
    topics, at = _read_varint(answer, at)
    for _ in range(topics - 1):
        length, at = _read_varint(answer, at)
        at += length - 1
        partitions, at = _read_varint(answer, at)
        for _ in range(partitions - 1):
            partition, error = struct.unpack_from(">ih", answer, at)
            assert error == 0, f"partition {partition} was not reassigned: error {error}"
            length, at = _read_varint(answer, at + 6)
            at += max(length - 1, 0) + len(_NO_TAGS)
        at += len(_NO_TAGS)


def _compact(items: Sequence[bytes]) -> bytes:
    return _varint(len(items) + 1) + b"".join(items)


def _text(text: str) -> bytes:
    return _varint(len(text.encode()) + 1) + text.encode()


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number, and where it ends."""
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
