"""The dead letter: a record that no retry can help, as it came, with why and whence in its headers."""

import hashlib
from dataclasses import dataclass

from stream.pipeline.rejected import Rejected
from stream.records import Headers, RecordBatch
from stream.transport.endpoints import record_bytes

PREFIX = "riverrun."
DETAIL_BYTES_MAX = 500


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record for the dead-letter topic."""

    key: bytes | None
    value: bytes | None
    headers: Headers


def dead_letter(records: RecordBatch, rejected: Rejected, use_case: str, bytes_max: int) -> DeadLetter:
    """The dead letter of one rejected record: original key, value and headers, then ours.

    One too large for the topic (`bytes_max`, as `record_bytes` counts) is cut: first its value, then its
    own headers, then its key; `riverrun.cut` then holds the SHA-256 and the length of the original value.
    """
    i = rejected.index
    key, value = records.keys[i], records.values[i]
    own = records.headers(i)
    ours = _envelope(records, rejected, use_case)
    if record_bytes(key, value, [*own, *ours]) <= bytes_max:
        return DeadLetter(key, value, [*own, *ours])
    digest = hashlib.sha256(value or b"").hexdigest()
    ours.append((f"{PREFIX}cut", f"sha256={digest} bytes={len(value or b'')}".encode()))
    for kept_key, kept_headers in ((key, own), (key, []), (None, [])):
        headers = [*kept_headers, *ours]
        room = bytes_max - record_bytes(kept_key, b"", headers)
        if room >= 0:
            return DeadLetter(kept_key, (value or b"")[:room], headers)
    return DeadLetter(None, None, ours)


def _envelope(records: RecordBatch, rejected: Rejected, use_case: str) -> Headers:
    i = rejected.index
    named = {
        "reason": rejected.reason.value,
        "field": rejected.field or "",
        "detail": rejected.detail,
        "topic": records.topic,
        "partition": str(int(records.partitions[i])),
        "offset": str(int(records.offsets[i])),
        "timestamp": str(int(records.timestamps[i])),
        "use_case": use_case,
    }
    return [(PREFIX + name, _cut(text)) for name, text in named.items()]


def _cut(text: str) -> bytes:
    """As UTF-8, at most `DETAIL_BYTES_MAX` bytes of whole characters."""
    return text.encode()[:DETAIL_BYTES_MAX].decode(errors="ignore").encode()
