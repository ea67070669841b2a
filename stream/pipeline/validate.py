"""What a definition asks of its events beyond their types, a column at a time.

The checks of an event stand in a fixed order and the first that fails names the rejection, so that it
does not depend on the other events of the batch.
"""

from collections.abc import Sequence

import numpy as np

from features.arrays import Bools, Column, Floats, Ints
from features.definition.model import Definition, Field
from features.timestamps import INVALID
from stream.pipeline.causes import Cause
from stream.pipeline.rejected import Rejected, RejectReason

ID_BYTES_MAX = 256
KEY_BYTES_MAX = 512
RECORD_KEY_BYTES_MAX = 1_024
"""Of the record, not the event. A prediction has its event's key, so one without bound could make a
prediction too large for its topic."""
SEQUENCE_MAX = 2**53 - 1
"""Beyond it float64, and so the expressions, cannot tell one number from the next."""


class Verdicts:
    """What is found out about the n events of a batch while it is checked."""

    __slots__ = ("_index", "causes", "rejected", "standing")

    def __init__(self, index: Sequence[int]) -> None:
        self._index = index
        self.standing: Bools = np.ones(len(index), np.bool_)
        """Which events nothing speaks against so far."""
        self.causes: Ints = np.zeros(len(index), np.int64)
        self.rejected: list[Rejected] = []

    def reject(self, bad: Bools, reason: RejectReason, field: str | None, detail: str) -> None:
        """Reject those of `bad` that still stand."""
        for i in np.flatnonzero(bad & self.standing).tolist():
            self.rejected.append(Rejected(self._index[i], reason, field, detail))
        self.standing &= ~bad

    def stamp(self, marked: Bools, cause: Cause) -> None:
        self.causes[marked] |= int(cause)


def are_missing(values: Sequence[object]) -> Bools:
    """Where JSON had null or nothing, shape (n,)."""
    return np.array([value is None for value in values], np.bool_)


def check_present(verdicts: Verdicts, name: str, missing: Bools) -> None:
    """What no policy of the definition can spare."""
    verdicts.reject(missing, RejectReason.MISSING_FIELD, name, "absent or null")


def check_clock(
    verdicts: Verdicts, name: str, times: Ints, missing: Bools, timestamps: Ints, future_limit_ms: int
) -> None:
    """Times that are there must be times, and not run ahead of the records' timestamps (-1: none)."""
    detail = "not a time of the declared unit within the years 1970 to 9999"
    verdicts.reject(~missing & (times == INVALID), RejectReason.BAD_TIME, name, detail)
    ahead = (timestamps >= 0) & (times > timestamps + future_limit_ms)
    detail = f"more than {future_limit_ms} ms ahead of the record's timestamp"
    verdicts.reject(ahead, RejectReason.FUTURE_TIME, name, detail)


def check_sequence(verdicts: Verdicts, name: str, numbers: Ints) -> None:
    """Sequence numbers must be exact as float64."""
    beyond = (numbers > SEQUENCE_MAX) | (numbers < -SEQUENCE_MAX)
    verdicts.reject(beyond, RejectReason.BAD_TIME, name, f"beyond ±{SEQUENCE_MAX}")


def check_id(verdicts: Verdicts, names: Sequence[str], parts: Sequence[Sequence[str | None]]) -> None:
    """Every part of the event id must be there and say something; parts: per id field, shape (n,)."""
    for name, texts in zip(names, parts, strict=True):
        if None in texts:
            check_present(verdicts, name, are_missing(texts))
        if "" in texts:
            empty = np.array([text == "" for text in texts], np.bool_)
            verdicts.reject(empty, RejectReason.BAD_ID, name, "the event id is empty")


def check_length(
    verdicts: Verdicts, texts: Sequence[str | None], bytes_max: int, reason: RejectReason, field: str | None
) -> None:
    """Ids and keys must not be longer than `bytes_max` bytes of UTF-8."""
    # A character takes at most four bytes, which settles nearly every batch without encoding anything.
    if max(map(len, filter(None, texts)), default=0) * 4 <= bytes_max:
        return
    long = np.array([text is not None and len(text.encode()) > bytes_max for text in texts], np.bool_)
    verdicts.reject(long, reason, field, f"longer than {bytes_max} bytes")


def check_record_key(verdicts: Verdicts, keys: Sequence[bytes | None]) -> None:
    """Keys of records, shape (n,), must not be longer than `RECORD_KEY_BYTES_MAX`."""
    if max(map(len, filter(None, keys)), default=0) <= RECORD_KEY_BYTES_MAX:
        return
    long = np.array([key is not None and len(key) > RECORD_KEY_BYTES_MAX for key in keys], np.bool_)
    detail = f"the record's key is longer than {RECORD_KEY_BYTES_MAX} bytes"
    verdicts.reject(long, RejectReason.BAD_KEY, None, detail)


def check_field(verdicts: Verdicts, field: Field, column: Column) -> Column:
    """Apply a field's policies; returns the column, with defaults and clipped where the field says so."""
    if field.missing != "allow":
        missing = np.isnan(column) if column.dtype == np.float64 else are_missing(column.tolist())
        if field.missing == "reject":
            check_present(verdicts, field.name, missing)
        else:
            verdicts.stamp(missing, Cause.FIELD_MISSING)
        if field.default is not None:
            column = np.where(missing, field.default, column)
    if field.minimum is None and field.maximum is None:
        return column
    return _check_range(verdicts, field, column)


def _check_range(verdicts: Verdicts, field: Field, column: Floats) -> Floats:
    minimum = -np.inf if field.minimum is None else field.minimum
    maximum = np.inf if field.maximum is None else field.maximum
    below, above = column < minimum, column > maximum
    if field.out_of_range == "reject":
        verdicts.reject(below, RejectReason.OUT_OF_RANGE, field.name, f"below the minimum of {minimum:g}")
        verdicts.reject(above, RejectReason.OUT_OF_RANGE, field.name, f"above the maximum of {maximum:g}")
        return column
    verdicts.stamp(below | above, Cause.OUT_OF_RANGE)
    return np.clip(column, minimum, maximum) if field.out_of_range == "clip" else column


def required_fields(definition: Definition) -> frozenset[str]:
    """Fields without which there is no event: its id, its time, and those with `missing: reject`."""
    rejecting = [field.name for field in definition.fields if field.missing == "reject"]
    return frozenset([*definition.id_fields, definition.time.field, *rejecting])
