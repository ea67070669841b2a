"""How far the materializer is, per topic and partition, and what history was loaded: beside the rows."""

from typing import Annotated, TypeAlias

import msgspec

Int64: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""What arrays hold: a larger number is nothing that was written here."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Written after the rows it speaks of, and only forwards."""

    epoch: str
    """The store's life: a random value set once; another epoch's progress counts as absent."""
    offset: Int64
    """The next offset to materialize: every record before it is in the rows."""
    log_end: Int64
    """The log's end as the materializer knew it when it wrote this."""
    event_time: Int64
    """The largest event time materialized from this partition, in the time unit; `NEVER` before any."""
    complete_since: Int64
    """Rows hold everything from this event time on; `ALWAYS` where there never was anything before."""
    written_at: Int64
    """When this was written, ms since the epoch; written while idle too, so that its age means something."""
    rebuilding: bool = False
    """State was lost and is being filled again."""
    life: str = ""
    """`OnlineStore.life` when it was known to hold all this; in another one the last writes may be lost.
    Empty: not known."""
    not_before: Int64 = -(2**53)
    """What is still to come is, but for late events, no older: the topic's newest event time, from any
    partition, some time before this one was last seen at its log's end; `NEVER` before that."""
    settled: Int64 | None = None
    """An offset that was reached so long before that no restart of the store lost it; None: not known."""

    @property
    def at_end(self) -> bool:
        return self.offset >= self.log_end


NEVER = -(2**53)
ALWAYS = -(2**53)


class HistoryClaim(msgspec.Struct, frozen=True, kw_only=True):
    """A history was loaded: the rows hold every event from `since` to `until`, whatever the log has of it."""

    epoch: str
    since: Int64
    """Event time, in the time unit."""
    until: Int64


def encode_progress(progress: Progress | HistoryClaim) -> bytes:
    return msgspec.json.encode(progress)


_decoder = msgspec.json.Decoder(Progress)
_claims = msgspec.json.Decoder(HistoryClaim)


def decode_progress(data: bytes | None, epoch: str) -> Progress | None:
    """The progress in `data`; None where there is none, it is of another epoch, or it is unreadable."""
    if data is None:
        return None
    try:
        progress = _decoder.decode(data)
    except (ValueError, RecursionError):
        return None
    return progress if progress.epoch == epoch else None


def decode_claim(data: bytes | None, epoch: str) -> HistoryClaim | None:
    """The claim in `data`; None where there is none, it is of another epoch, or it is unreadable."""
    if data is None:
        return None
    try:
        claim = _claims.decode(data)
    except (ValueError, RecursionError):
        return None
    return claim if claim.epoch == epoch else None
