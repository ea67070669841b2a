"""Who answered, and why a prediction is less than it could be.

One bit per cause, so that a batch carries an array of masks.
"""

from enum import IntEnum, IntFlag


class Source(IntEnum):
    """Who answered; stamped in lower case, and the index of a batch's model stamps."""

    MODEL = 0
    PREVIOUS = 1
    RULES = 2


class Cause(IntFlag):
    """Stamped on a prediction, in lower case, under `degradations`; and the `cause` label of metrics."""

    FIELD_MISSING = 1 << 0  # a field whose policy is `missing: stamp` is missing
    OUT_OF_RANGE = 1 << 1  # a field outside its range was stamped or clipped
    BEHIND = 1 << 2  # rows lack recent entries, within the freshness limit
    STALE = 1 << 3  # rows lack more than the limit allows: their features are missing
    COLD = 1 << 4  # history is shorter than a window
    ROW_CORRUPT = 1 << 5  # a row could not be read: its features are missing
    ROW_UNREADABLE = 1 << 6  # a node of the store did not answer: its features are missing
    OVERLAY_TRUNCATED = 1 << 7  # too many entries beyond the materializer's progress to hold
    STORE_TIMEOUT = 1 << 8  # the read missed its deadline: rules
    STORE_DOWN = 1 << 9  # the store failed, or the breaker is open: rules
    REBUILDING = 1 << 10  # state was lost, or progress is unknown: rules
    NO_MODEL = 1 << 11  # no usable bundle: rules
    MODEL_ERROR = 1 << 12  # the champion raised
    MODEL_NAN = 1 << 13  # the champion returned NaN or infinity
    PREVIOUS_FAILED = 1 << 14  # the previous champion could not answer either
    KEY_MISSING = 1 << 15  # a field of an entity's key is missing: that entity's features are missing
    LOOKUP_MISSING = 1 << 16  # a lookup's value is absent, too old or unreadable: its features are missing
    LOOKUP_UNREADABLE = 1 << 17  # stamped with it where it is there, but no value of the lookup's fields
    TRIMMED = 1 << 18  # a row is too long to be kept entry by entry: an edge of a window is displaced


FALLBACK_CAUSES = (
    Cause.STORE_TIMEOUT | Cause.STORE_DOWN | Cause.REBUILDING | Cause.NO_MODEL | Cause.MODEL_ERROR
    | Cause.MODEL_NAN | Cause.PREVIOUS_FAILED
)  # fmt: skip
"""The causes that make someone else than the champion answer; the others only say what the features lack."""


def names(mask: int) -> list[str]:
    """The causes in `mask`, lowest bit first, as they are stamped."""
    return [cause.name.lower() for cause in Cause if cause.name is not None and mask & cause]
