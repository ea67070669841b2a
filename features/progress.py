"""How far the materializer is, per topic and partition, as written beside the rows."""

import msgspec


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Written after the rows it speaks of, and only forwards."""

    epoch: str
    """The store's life: a random value set once; another epoch's progress counts as absent."""
    offset: int
    """The next offset to materialize: every record before it is in the rows."""
    log_end: int
    """The log's end as the materializer knew it when it wrote this."""
    event_time: int
    """The largest event time materialized from this partition, in the time unit; `NEVER` before any."""
    complete_since: int
    """Rows hold everything from this event time on; `ALWAYS` where there never was anything before."""
    written_at: int
    """When this was written, ms since the epoch; written while idle too, so that its age means something."""
    rebuilding: bool = False
    """State was lost and is being filled again."""

    @property
    def at_end(self) -> bool:
        return self.offset >= self.log_end


NEVER = -(2**53)
ALWAYS = -(2**53)


def encode_progress(progress: Progress) -> bytes:
    return msgspec.json.encode(progress)


_decoder = msgspec.json.Decoder(Progress)


def decode_progress(data: bytes | None, epoch: str) -> Progress | None:
    """The progress in `data`; None where there is none, it is of another epoch, or it is unreadable."""
    if data is None:
        return None
    try:
        progress = _decoder.decode(data)
    except msgspec.DecodeError:
        return None
    return progress if progress.epoch == epoch else None
