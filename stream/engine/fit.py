"""Predictions within what their topic takes: shortened where they are too large, or set aside."""

from collections.abc import Sequence

from stream.pipeline.encode import HEADERS_BYTES_MAX, shortened
from stream.pipeline.rejected import Rejected, RejectReason
from stream.records import Headers
from stream.transport.endpoints import RECORD_OVERHEAD_BYTES, record_bytes


def fit(
    keys: Sequence[bytes | None], values: list[bytes], headers: Sequence[Headers], bytes_max: int
) -> list[int]:
    """Shorten in place those of n encoded predictions that are too large; returns the places of those that
    fit in no record, whatever is left out: the key decides the partition, and cannot be.
    """
    longest_key = max(map(len, filter(None, keys)), default=0)
    room = bytes_max - RECORD_OVERHEAD_BYTES - HEADERS_BYTES_MAX - longest_key
    if max(map(len, values), default=0) <= room:
        return []
    unfit = []
    for i, value in enumerate(values):
        room = bytes_max - record_bytes(keys[i], b"", headers[i])
        if len(value) > room:
            shorter = shortened(value, room)
            if shorter is None:
                unfit.append(i)
            else:
                values[i] = shorter
    return unfit


def too_large(index: int) -> Rejected:
    """index: of the record whose prediction fits in none."""
    detail = (
        "the record's key and the least that a prediction holds are more than the predictions topic takes"
    )
    return Rejected(index, RejectReason.PREDICTION_TOO_LARGE, None, detail)
