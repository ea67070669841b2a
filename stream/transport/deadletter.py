"""The dead letter: a record that no retry can help, as it came, with why and whence in its headers.

After the record's own headers come ours, in the order of `ENVELOPE`, and last `riverrun.cut` where the
record was cut. A record that was replayed carries `PROVENANCE` among its own, and so does the dead letter
that it may become once more.
"""

import hashlib
from dataclasses import dataclass

from stream.pipeline.rejected import Rejected
from stream.records import Headers, RecordBatch
from stream.transport.endpoints import record_bytes

PREFIX = "riverrun."
ENVELOPE = tuple(
    PREFIX + name
    for name in ("reason", "field", "detail", "topic", "partition", "offset", "timestamp", "use_case")
)
CUT = f"{PREFIX}cut"
PROVENANCE = tuple(f"{PREFIX}replayed.{name}" for name in ("topic", "partition", "offset", "count"))
DETAIL_BYTES_MAX = 500
_TOPIC_CHARACTERS_MAX = 249
_DIGITS_MAX = 19


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record for the dead-letter topic."""

    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class Provenance:
    """Whence a record was replayed."""

    topic: str
    """With partition and offset: where the dead letter stands."""
    partition: int
    offset: int
    count: int
    """How often it was replayed by now."""

    def headers(self) -> Headers:
        values = (self.topic, self.partition, self.offset, self.count)
        return [(name, str(value).encode()) for name, value in zip(PROVENANCE, values, strict=True)]


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as it is read again."""

    reason: str
    field: str | None
    detail: str
    topic: str
    """With partition and offset: where the record stood that was rejected."""
    partition: int
    offset: int
    timestamp: int
    """The record's, ms since the epoch; -1 for none."""
    use_case: str
    cut: str | None
    """What `riverrun.cut` says; None where the record is whole."""
    key: bytes | None
    value: bytes | None
    headers: Headers
    """The record's own, without provenance."""
    replayed: Provenance | None

    @property
    def count(self) -> int:
        """How often the record was replayed before."""
        return 0 if self.replayed is None else self.replayed.count

    @property
    def value_bytes(self) -> int:
        """Of the original value."""
        if self.cut is not None:
            length = self.cut.rpartition("bytes=")[2]
            if length.isdecimal():
                return int(length)
        return len(self.value or b"")


def dead_letter(records: RecordBatch, rejected: Rejected, use_case: str, bytes_max: int) -> DeadLetter:
    """The dead letter of one rejected record: original key, value and headers, then ours.

    One too large for the topic (`bytes_max`, as `record_bytes` counts) is cut: first its value, then its
    own headers (but for their provenance), then its key; `riverrun.cut` then holds the SHA-256 and the
    length of the original value.
    """
    i = rejected.index
    key, value = records.keys[i], records.values[i]
    own = records.headers(i)
    ours = _envelope(records, rejected, use_case)
    if record_bytes(key, value, [*own, *ours]) <= bytes_max:
        return DeadLetter(key, value, [*own, *ours])
    digest = hashlib.sha256(value or b"").hexdigest()
    ours.append((CUT, f"sha256={digest} bytes={len(value or b'')}".encode()))
    whence = _provenance(own)
    kept = [] if whence is None else whence.headers()
    for kept_key, kept_headers in ((key, own), (key, kept), (None, kept), (None, [])):
        headers = [*kept_headers, *ours]
        room = bytes_max - record_bytes(kept_key, b"", headers)
        if room >= 0:
            return DeadLetter(kept_key, (value or b"")[:room], headers)
    return DeadLetter(None, None, ours)


def read_letter(key: bytes | None, value: bytes | None, headers: Headers) -> Letter | None:
    """What a record of the dead-letter topic says; None where it is no dead letter of ours."""
    own, cut = headers, None
    if own and own[-1][0] == CUT:
        own, cut = own[:-1], _text(own[-1][1])
    own, ours = own[: -len(ENVELOPE)], own[-len(ENVELOPE) :]
    if tuple(name for name, _ in ours) != ENVELOPE:
        return None
    reason, field, detail, topic, partition, offset, timestamp, use_case = (_text(text) for _, text in ours)
    numbers = _whole(partition), _whole(offset), _whole(timestamp)
    if not reason or not topic or None in numbers:
        return None
    return Letter(
        reason=reason,
        field=field or None,
        detail=detail,
        topic=topic,
        partition=numbers[0] or 0,
        offset=numbers[1] or 0,
        timestamp=-1 if numbers[2] is None else numbers[2],
        use_case=use_case,
        cut=cut,
        key=key,
        value=value,
        headers=[(name, text) for name, text in own if name not in PROVENANCE],
        replayed=_provenance(own),
    )


def replayed_headers(letter: Letter, topic: str, partition: int, offset: int) -> Headers:
    """The headers to replay a letter with: its record's own, and whence it comes now.

    topic, partition, offset: where the letter stands.
    """
    whence = Provenance(topic, partition, offset, letter.count + 1)
    return [*letter.headers, *whence.headers()]


def _provenance(own: Headers) -> Provenance | None:
    """What the headers of a record say; of a name that occurs twice the last is meant."""
    found = {name: _text(text) for name, text in own if name in PROVENANCE}
    if len(found) < len(PROVENANCE):
        return None
    topic, partition, offset, count = (found[name] for name in PROVENANCE)
    numbers = _whole(partition), _whole(offset), _whole(count)
    if not topic or len(topic) > _TOPIC_CHARACTERS_MAX or None in numbers:
        return None
    return Provenance(topic, numbers[0] or 0, numbers[1] or 0, numbers[2] or 0)


def _text(text: bytes | None) -> str:
    return (text or b"").decode(errors="replace")


def _whole(text: str) -> int | None:
    """A number of ours; None where somebody else wrote something else."""
    digits = text.removeprefix("-")
    plain = digits.isascii() and digits.isdecimal() and len(digits) <= _DIGITS_MAX
    return int(text) if plain else None


def _envelope(records: RecordBatch, rejected: Rejected, use_case: str) -> Headers:
    i = rejected.index
    values = (
        rejected.reason.value,
        rejected.field or "",
        rejected.detail,
        records.topic,
        str(int(records.partitions[i])),
        str(int(records.offsets[i])),
        str(int(records.timestamps[i])),
        use_case,
    )
    return [(name, _cut(text)) for name, text in zip(ENVELOPE, values, strict=True)]


def _cut(text: str) -> bytes:
    """As UTF-8, at most `DETAIL_BYTES_MAX` bytes of whole characters."""
    return text.encode()[:DETAIL_BYTES_MAX].decode(errors="ignore").encode()
