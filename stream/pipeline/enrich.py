"""From events and what the store answered to rows, with every reason why they may be incomplete."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from features.arrays import Bools, Floats, Ints
from features.codec import Entries
from features.definition.model import Definition, RowKind
from features.event import EventBatch, position_partitions
from features.progress import ALWAYS, NEVER, Progress
from features.rows import RowId, RowRequest, Rows, assemble_rows
from stream.pipeline.causes import Cause


@dataclass(frozen=True, slots=True)
class Coverage:
    """What this worker knows of the rows' completeness when a batch is enriched."""

    progress: Sequence[Progress | None]
    """Of each partition of the events topic, in order."""
    owned: frozenset[int]
    """Partitions this worker reads: what it saw of them is in the overlay."""
    truncated: frozenset[int]
    """Owned partitions of which the overlay had to drop entries."""
    now_ms: int


@dataclass(frozen=True, slots=True)
class FreshnessPolicy:
    """How far rows may lag."""

    limit: int
    """In the time unit (offsets under sequence time): beyond it the entity's features are missing."""
    heartbeat_ms: int
    """A materializer at the log's end that wrote nothing for longer counts as stopped."""


@dataclass(frozen=True, slots=True)
class Enriched:
    """The rows of a batch of n events and how far they can be trusted."""

    rows: Mapping[RowId, Rows]
    """Empty where the store gave no answer."""
    causes: Ints
    """Shape (n,): `Cause` masks."""
    usable: Bools
    """Shape (n,): whether a model may answer; else the rules do."""
    freshness: Floats
    """Shape (n,): how far the rows lag, in the time unit; NaN where that is unknown."""


def enrich(
    definition: Definition,
    events: EventBatch,
    request: RowRequest,
    stored: Sequence[bytes | None],
    overlay: Mapping[RowId, Entries],
    coverage: Coverage,
    policy: FreshnessPolicy,
) -> Enriched:
    """Unite stored rows, overlay and batch, and judge their completeness for each event."""
    n = len(events)
    rows, corrupt = assemble_rows(definition, events, request, stored, overlay)
    causes = np.where(corrupt, int(Cause.ROW_CORRUPT), 0).astype(np.int64)
    usable = np.ones(n, np.bool_)
    freshness = np.zeros(n)
    partitions = position_partitions(events.positions)
    for entity in {row.entity for row in definition.rows}:
        missing_key = np.array([key is None for key in events.keys[entity]])
        causes |= np.where(missing_key, int(Cause.KEY_MISSING), 0)
        is_topic_entity = entity == definition.topic_entity.name
        for partition in np.unique(partitions).tolist() if is_topic_entity else [None]:
            of = np.ones(n, np.bool_) if partition is None else partitions == partition
            behind = _judge(definition, entity, events, of, partition, coverage, policy)
            causes |= behind.causes
            usable &= ~of | behind.known
            freshness[of] = np.maximum(freshness[of], behind.lag)
            if behind.stale:
                rows = _without(rows, entity, of)
    causes |= _cold_counts(definition, rows, coverage)
    return Enriched(rows, causes, usable, freshness)


def without_store(events: EventBatch, cause: Cause) -> Enriched:
    """A batch whose rows could not be read: the rules answer."""
    n = len(events)
    return Enriched({}, np.full(n, int(cause)), np.zeros(n, np.bool_), np.full(n, np.nan))


@dataclass(frozen=True, slots=True)
class _Behind:
    causes: Ints
    known: bool
    lag: float
    stale: bool


def _judge(
    definition: Definition,
    entity: str,
    events: EventBatch,
    of: Bools,
    partition: int | None,
    coverage: Coverage,
    policy: FreshnessPolicy,
) -> _Behind:
    """How complete the rows of `entity` are for the events `of`, of one partition or (None) of all."""
    causes = np.zeros(len(events), np.int64)
    judged = range(len(coverage.progress)) if partition is None else [partition]
    known = [coverage.progress[at] for at in judged]
    whole = [p for p in known if p is not None and not p.rebuilding]
    if len(whole) < len(known) or not known:
        causes[of] |= int(Cause.REBUILDING)
        return _Behind(causes, False, np.nan, False)
    newest = int(events.times.max())
    lag = max(_lag(definition, coverage, at, newest, policy) for at in judged)
    windows = [w for w in definition.windows if w.entity == entity]
    delays = [w.delay for w in windows if w.kind is RowKind.EVENTS]
    lacking = bool(delays) and lag > (0 if definition.time.is_sequence else min(delays))
    stale = lacking and lag > policy.limit
    if lacking:
        causes[of] |= int(Cause.STALE if stale else Cause.BEHIND)
    if coverage.truncated and (partition is None or partition in coverage.truncated):
        causes[of] |= int(Cause.OVERLAY_TRUNCATED)
    since = max(p.complete_since for p in whole)
    reach = max((w.delay + w.span.length for w in windows if w.span.kind == "time"), default=0)
    if since > ALWAYS and reach and not definition.history_none:
        causes[of & (events.times - reach < since)] |= int(Cause.COLD)
    return _Behind(causes, True, lag, stale)


def _lag(
    definition: Definition, coverage: Coverage, partition: int, newest: int, policy: FreshnessPolicy
) -> float:
    """How much of a partition the rows lack beyond what the overlay holds; 0 where nothing is known to."""
    progress = coverage.progress[partition]
    if progress is None:
        return np.inf
    if partition in coverage.owned and partition not in coverage.truncated:
        return 0.0
    if progress.at_end and coverage.now_ms - progress.written_at <= policy.heartbeat_ms:
        return 0.0
    if definition.time.is_sequence:
        return float(max(progress.log_end - progress.offset, 1))
    if progress.event_time == NEVER:
        return np.inf
    return float(max(newest - progress.event_time, 0))


def _without(rows: Mapping[RowId, Rows], entity: str, of: Bools) -> dict[RowId, Rows]:
    """The rows with those of `entity` taken away from the events `of`: their features become missing."""
    return {
        row_id: Rows(held.entries, np.where(of, -1, held.of_event), held.own)
        if row_id[0] == entity and row_id[1] is RowKind.EVENTS
        else held
        for row_id, held in rows.items()
    }


def _cold_counts(definition: Definition, rows: Mapping[RowId, Rows], coverage: Coverage) -> Ints | int:
    """COLD where windows in event counts are not filled and earlier events may exist."""
    if definition.history_none or all(p is None or p.complete_since == ALWAYS for p in coverage.progress):
        return 0
    longest: dict[RowId, int] = {}
    for window in definition.windows:
        if window.span.kind == "events":
            row_id = (window.entity, window.kind)
            longest[row_id] = max(longest.get(row_id, 0), window.span.length)
    causes: Ints | int = 0
    for row_id, length in longest.items():
        held = rows[row_id]
        counts = np.bincount(held.entries.row, minlength=int(held.of_event.max(initial=-1)) + 1)
        short = (held.of_event >= 0) & (counts[np.maximum(held.of_event, 0)] < length)
        causes = causes | np.where(short, int(Cause.COLD), 0)
    return causes
