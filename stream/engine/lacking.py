"""What rows lack until a model may be served from them. Pure: the clock is an argument."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.definition.model import Definition, RowKind, WindowFeature
from features.progress import ALWAYS, NEVER, Progress
from stream.pipeline.enrich import FreshnessPolicy, lag_of

UNCERTAIN_SHARE = 20
"""A past shorter by a twentieth of what windows reach counts as equal: where it begins is known no better
than to the first batch of records."""


@dataclass(frozen=True, slots=True)
class Filled:
    """How far the rows of one definition are: the progress of each partition, in order."""

    events: Sequence[Progress | None]
    """Empty where nobody knows how many partitions there are."""
    labels: Sequence[Progress | None]
    """Empty where no window reads labels."""


@dataclass(frozen=True, slots=True)
class Lacking:
    """Partitions, of events and of labels, by what their rows lack; rows that lack nothing are whole."""

    absent: int = 0
    """No materializer has begun with them, in this life of the store."""
    rebuilding: int = 0
    behind: int = 0
    """The rows lag by more than they may."""
    short: int = 0
    """Their past begins later than that of the rows they replace, and later than the windows reach."""
    records: int = 0
    """Records of all partitions that are not in the rows yet, as far as materializers said."""

    @property
    def whole(self) -> bool:
        return not (self.absent or self.rebuilding or self.behind or self.short)


def lacking(
    definition: Definition, filled: Filled, replaced: Filled | None, policy: FreshnessPolicy, now_ms: int
) -> Lacking:
    """What the rows of a definition lack.

    replaced: how far the rows are that these would replace; None where there are none.
    """
    if not definition.rows:
        return Lacking()
    if not filled.events:
        return Lacking(absent=1)
    kinds = [(RowKind.EVENTS, filled.events, replaced.events if replaced else ())]
    if any(row.kind is RowKind.LABELS for row in definition.rows):
        if not filled.labels:
            return Lacking(absent=1)
        kinds.append((RowKind.LABELS, filled.labels, replaced.labels if replaced else ()))
    absent = rebuilding = behind = short = records = 0
    for kind, partitions, others in kinds:
        for number, one in enumerate(partitions):
            if one is None:
                absent += 1
                continue
            other = others[number] if number < len(others) else None
            reference = _newest(definition, one, other, policy, now_ms)
            rebuilding += one.rebuilding
            behind += _lag(definition, one, reference, policy, now_ms) > policy.limit
            short += _is_short(definition, kind, one, other, reference)
            records += max(one.log_end - one.offset, 0)
    return Lacking(absent, rebuilding, behind, short, records)


def _newest(
    definition: Definition, one: Progress, other: Progress | None, policy: FreshnessPolicy, now_ms: int
) -> int:
    """The time rows should have reached: that of the rows in use while those are kept, else now."""
    if other is not None and other.event_time != NEVER and now_ms - other.written_at <= policy.heartbeat_ms:
        return other.event_time
    return one.event_time if definition.time.is_sequence else now_ms


def _lag(
    definition: Definition, one: Progress, reference: int, policy: FreshnessPolicy, now_ms: int
) -> float:
    return float(lag_of(definition, one, np.array([reference]), now_ms, policy)[0])


def _is_short(
    definition: Definition, kind: RowKind, one: Progress, other: Progress | None, reference: int
) -> bool:
    """Whether waiting longer, or filling the rows from history, would give more of the past."""
    reach = max((_reach(definition, w) for w in definition.windows if w.kind is kind), default=None)
    if one.complete_since == ALWAYS or reach is None:
        return False
    reached = one.complete_since <= reference - reach
    if other is None:
        # A partition that never held anything has no past to lack.
        return not reached and one.log_end > 0
    if one.event_time == other.event_time == NEVER:
        return False
    return not reached and one.complete_since > other.complete_since + reach // UNCERTAIN_SHARE


def _reach(definition: Definition, window: WindowFeature) -> int:
    """How far back a window reaches; one over events, on a clock, as long as rows live."""
    if window.span.kind == "time" or definition.time.is_sequence:
        return window.delay + window.span.length
    return window.delay + (definition.idle or definition.retention)
