"""Records that no retry can help. They are data: nothing here raises."""

from dataclasses import dataclass
from enum import StrEnum


class RejectReason(StrEnum):
    """Why a record is no event, or no label; the `reason` of dead letters and metrics."""

    TOMBSTONE = "tombstone"  # the value is null
    TOO_LARGE = "too_large"  # the value has more than `decode.VALUE_BYTES_MAX` bytes
    TOO_DEEP = "too_deep"  # nested deeper than `decode.DEPTH_MAX`
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"  # also an empty value, NaN and Infinity, and numbers beyond float64
    WRONG_TYPE = "wrong_type"  # a field, or the whole value, has another JSON type than declared
    MISSING_FIELD = "missing_field"  # a field the event cannot do without is absent or null
    OUT_OF_RANGE = "out_of_range"  # outside int64, or outside a field's range with `out_of_range: reject`
    BAD_TIME = "bad_time"  # not a date-time as declared, or outside the years 1970 to 9999
    FUTURE_TIME = "future_time"  # further ahead of the record's timestamp than the limit
    BAD_ID = "bad_id"  # the event id is empty or too long
    BAD_KEY = "bad_key"  # an entity key, or the key of the record, is too long
    BAD_LABEL = "bad_label"  # the label is not one of the task's
    PREDICTION_TOO_LARGE = "prediction_too_large"  # its prediction, with the record's key, fits in no record


@dataclass(frozen=True, slots=True)
class Rejected:
    """One such record; it goes to the dead-letter topic as it came."""

    index: int
    """Its place in the record batch."""
    reason: RejectReason
    field: str | None
    """The field at fault; None where it is the value as a whole, or the record's key."""
    detail: str
    """A sentence for people. Never quotes a value of the record, which may be personal."""
