"""From events and what the store answered to rows, with every reason why they may be incomplete."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from features.arrays import Bools, Floats, Ints
from features.codec import Entries
from features.definition.model import Definition, RowKind, RowSchema
from features.event import EventBatch, position_partitions
from features.lookup.request import LookupRequest, assemble_lookups
from features.progress import ALWAYS, NEVER, Progress
from features.rows import RowId, RowRequest, Rows, assemble_rows
from stream.pipeline.causes import Cause


@dataclass(frozen=True, slots=True)
class Coverage:
    """What this worker knows of the rows' completeness when a batch is enriched."""

    progress: Sequence[Progress | None]
    """Of each partition of the events topic, in order."""
    labels: Sequence[Progress | None]
    """Of each partition of the labels topic; empty where no window reads labels."""
    owned: Mapping[int, int]
    """Partitions this worker reads, all it saw of which is in the overlay; and for what moment, ms since the
    epoch, nothing that stood there by then is unread."""
    truncated: frozenset[int]
    """Owned partitions of which the overlay may lack entries."""
    now_ms: int


@dataclass(frozen=True, slots=True)
class FreshnessPolicy:
    """How far rows may lag."""

    limit: int
    """In the time unit (offsets under sequence time): beyond it the features are missing."""
    heartbeat_ms: int
    """A materializer that wrote nothing for longer counts as stopped, and what a worker saw of a partition
    counts as all of it for so long."""


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
    lookups: Mapping[str, Floats] = field(default_factory=dict)
    """Shape (n,) by the name of a lookup feature; empty where the store gave no answer."""


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
    united, corrupt = assemble_rows(definition, events, request, stored, overlay)
    rows: dict[RowId, Rows] = dict(united)
    causes = np.where(corrupt, int(Cause.ROW_CORRUPT), 0).astype(np.int64)
    usable = np.ones(n, np.bool_)
    freshness = np.zeros(n)
    partitions = position_partitions(events.positions)
    for schema in definition.rows:
        keys = events.keys[schema.entity]
        if None in keys:
            causes[[key is None for key in keys]] |= int(Cause.KEY_MISSING)
        by_partition = schema.kind is RowKind.EVENTS and schema.entity == definition.topic_entity.name
        for partition in np.unique(partitions).tolist() if by_partition else [None]:
            index = np.arange(n) if partition is None else np.flatnonzero(partitions == partition)
            found = _judge(definition, schema, events.times[index], partition, coverage, policy)
            causes[index] |= found.causes
            usable[index] &= found.known
            freshness[index] = np.maximum(freshness[index], found.lag)
            row_id = (schema.entity, schema.kind)
            rows[row_id] = _without(rows[row_id], index[found.stale])
        causes |= _unfilled(definition, schema, rows[schema.entity, schema.kind], coverage)
    return Enriched(rows, causes, usable, np.where(np.isinf(freshness), np.nan, freshness))


def look_up(
    enriched: Enriched,
    definition: Definition,
    events: EventBatch,
    request: LookupRequest,
    stored: Sequence[bytes | None],
    now_ms: int,
) -> Enriched:
    """Add what the store answers to `request.store_keys`. Where events have no clock, values age by ours."""
    times = np.full(len(events), now_ms) if definition.time.is_sequence else events.times
    found = assemble_lookups(request, stored, times)
    causes = enriched.causes | np.where(found.keyless, int(Cause.KEY_MISSING), 0)
    causes |= np.where(found.missing, int(Cause.LOOKUP_MISSING), 0)
    causes |= np.where(found.unreadable, int(Cause.LOOKUP_UNREADABLE), 0)
    return replace(enriched, causes=causes, lookups=found.columns)


def without_store(events: EventBatch, cause: Cause) -> Enriched:
    """A batch whose rows could not be read: the rules answer."""
    n = len(events)
    return Enriched({}, np.full(n, int(cause)), np.zeros(n, np.bool_), np.full(n, np.nan))


@dataclass(frozen=True, slots=True)
class _Judgement:
    """Of the rows of one schema for m events."""

    causes: Ints
    known: bool
    """Whether it is known how complete the rows are."""
    lag: Floats
    stale: Bools


def _judge(
    definition: Definition,
    schema: RowSchema,
    times: Ints,
    partition: int | None,
    coverage: Coverage,
    policy: FreshnessPolicy,
) -> _Judgement:
    """How complete these rows are for events at `times`: of one partition, or (None) of all."""
    m = len(times)
    progress = coverage.progress if schema.kind is RowKind.EVENTS else coverage.labels
    judged = range(len(progress)) if partition is None else [partition]
    known = [progress[at] for at in judged]
    whole = [one for one in known if one is not None and not one.rebuilding]
    if len(whole) < len(known) or not known:
        causes = np.full(m, int(Cause.REBUILDING))
        return _Judgement(causes, False, np.full(m, np.nan), np.zeros(m, np.bool_))
    lag = np.zeros(m)
    for at, one in zip(judged, whole, strict=True):
        if schema.kind is not RowKind.EVENTS or not _is_seen(at, partition, coverage, policy):
            lag = np.maximum(lag, lag_of(definition, one, times, coverage.now_ms, policy))
    windows = [w for w in definition.windows if (w.entity, w.kind) == (schema.entity, schema.kind)]
    # What a window with a delay leaves out anyway may lag; a label becomes visible at any time.
    spared = min(w.delay for w in windows) if schema.kind is RowKind.EVENTS else 0
    lacking = lag > (0 if definition.time.is_sequence else spared)
    stale = lacking & (lag > policy.limit)
    causes = np.where(stale, int(Cause.STALE), np.where(lacking, int(Cause.BEHIND), 0))
    if schema.kind is RowKind.EVENTS and not coverage.truncated.isdisjoint(judged):
        causes |= int(Cause.OVERLAY_TRUNCATED)
    since = max(one.complete_since for one in whole)
    reach = max((w.delay + w.span.length for w in windows if w.span.kind == "time"), default=0)
    if since > ALWAYS and reach and schema.kind is RowKind.EVENTS:
        causes[times - reach < since] |= int(Cause.COLD)
    return _Judgement(causes, True, lag, stale)


def _is_seen(at: int, partition: int | None, coverage: Coverage, policy: FreshnessPolicy) -> bool:
    """Whether the overlay has what rows may lack of partition `at`, for events of `partition`; None: of any.

    An event's own partition was read up to it. Of the others a worker that is behind saw too little.
    """
    if at not in coverage.owned or at in coverage.truncated:
        return False
    return at == partition or coverage.now_ms - coverage.owned[at] <= policy.heartbeat_ms


def lag_of(
    definition: Definition, progress: Progress, times: Ints, now_ms: int, policy: FreshnessPolicy
) -> Floats:
    """How much of a partition the rows lack for events at `times`; 0 where nothing is known to."""
    silent_ms = now_ms - progress.written_at
    alive = silent_ms <= policy.heartbeat_ms
    if progress.at_end and alive:
        return np.zeros(len(times))
    if definition.time.is_sequence:
        return np.full(len(times), float(max(progress.log_end - progress.offset, 1)))
    if progress.event_time == NEVER:
        return np.full(len(times), np.inf)
    # An event dated ahead says nothing of how late it is now.
    lag: Floats = np.maximum(np.minimum(times, now_ms) - progress.event_time, 0).astype(np.float64)
    return lag if alive else np.maximum(lag, float(silent_ms))


def _without(rows: Rows, index: Ints) -> Rows:
    """The rows taken away from the events at `index`: their features become missing."""
    if not len(index):
        return rows
    of_event = rows.of_event.copy()
    of_event[index] = -1
    return replace(rows, of_event=of_event)


def _unfilled(definition: Definition, schema: RowSchema, rows: Rows, coverage: Coverage) -> Ints | int:
    """COLD where a window in event counts is not filled, and earlier events may exist."""
    spans = [
        w.span.length
        for w in definition.windows
        if (w.entity, w.kind) == (schema.entity, schema.kind) and w.span.kind == "events"
    ]
    whole = all(one is None or one.complete_since == ALWAYS for one in coverage.progress)
    if not spans or whole:
        return 0
    pairs = np.unique(np.stack([rows.entries.row.astype(np.uint64), rows.entries.ids]), axis=1)
    counts = np.bincount(pairs[0].astype(np.int64), minlength=int(rows.of_event.max(initial=-1)) + 1)
    short = (rows.of_event >= 0) & (counts[np.maximum(rows.of_event, 0)] < max(spans))
    return np.where(short, int(Cause.COLD), 0)
