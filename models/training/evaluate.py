"""How good predictions were, by the definition's own protocol."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from features.arrays import Bools, Floats, Ints
from features.definition.model import Definition, TopK
from features.event import EventBatch
from features.past.history import History
from features.past.offline import event_labels
from models.training.metrics import METRICS

PROTOCOL = "_protocol"
"""The suffix of figures over the events that `evaluation` leaves in."""

_DAY_MS = 86_400_000
_SLOT_MS = 900_000  # no time zone in use changes its offset off a quarter of an hour


@dataclass(frozen=True, slots=True)
class Scored:
    """n events that were scored, and what came of them."""

    events: EventBatch
    labels: Floats
    """(n,): NaN where not known; such events are in no figure."""
    scores: Floats
    """(n,), or (n, classes)."""

    def take(self, index: Ints) -> "Scored":
        return Scored(self.events.take(index), self.labels[index], self.scores[index])


def evaluate_predictions(
    definition: Definition, scored: Scored, *, history: History, train_start: int
) -> dict[str, float]:
    """The metrics and the top-k figure of `definition.evaluation`, by name.

    Each stands there over all events, and with the suffix ``_protocol`` over those that `evaluation_mask`
    leaves in. NaN where a figure cannot be computed (no event, only one class).

    history: what is known of events before and among the scored ones; only its labels matter, and only
    to `exclude_known`. train_start: in the time unit.
    """
    scored = scored.take(np.flatnonzero(~np.isnan(scored.labels)))
    left_in = evaluation_mask(definition, scored.events, history=history, train_start=train_start)
    figures = _figures(definition, scored)
    protocol = _figures(definition, scored.take(np.flatnonzero(left_in)))
    return figures | {name + PROTOCOL: value for name, value in protocol.items()}


def evaluation_mask(
    definition: Definition, events: EventBatch, *, history: History, train_start: int
) -> Bools:
    """Which of the events `evaluation` leaves in, (n,): `exclude_known` first, then `rows`."""
    evaluation = definition.evaluation
    left_in = np.ones(len(events), dtype=np.bool_)
    if evaluation.exclude_known is not None:
        left_in &= ~_known(definition, events, history, train_start)
    if evaluation.rows == "last_per_entity":
        entity = evaluation.group or definition.topic_entity.name
        left_in &= _last_per_entity(events, left_in, events.keys[entity])
    return left_in


def top_k(top: TopK, periods: Ints, scored: Scored) -> float:
    """The mean over periods of the share of positive entities among the k with the highest scores.

    An entity's score in a period is the largest of its events', and it is positive when one of them is.
    With `drop_caught` an entity that was positive in an earlier period's top k is left out. Of equal
    scores the entity whose key comes first in text order wins, so the figure does not depend on the order
    of events. A period with fewer than k entities counts those it has; events without a key count nowhere.
    NaN without any. periods: (n,) numbers that order them.
    """
    keyed = np.flatnonzero([key is not None for key in scored.events.keys[top.by]])
    names, entities = np.unique(
        [str(scored.events.keys[top.by][at]) for at in keyed.tolist()], return_inverse=True
    )
    caught = np.zeros(len(names), dtype=np.bool_)
    shares = []
    for period in np.unique(periods[keyed]):
        here = np.flatnonzero((periods[keyed] == period) & ~caught[entities])
        if not len(here):
            continue
        present, of_event = np.unique(entities[here], return_inverse=True)
        best = np.full(len(present), -np.inf)
        np.maximum.at(best, of_event, scored.scores[keyed[here]])
        positive = np.zeros(len(present), dtype=np.bool_)
        positive[of_event[scored.labels[keyed[here]] > 0]] = True
        chosen = np.argsort(-best, kind="stable")[: top.k]
        shares.append(float(positive[chosen].mean()))
        if top.drop_caught:
            caught[present[chosen[positive[chosen]]]] = True
    return float(np.mean(shares)) if shares else np.nan


def period_numbers(definition: Definition, times: Ints, per: int) -> Ints:
    """The period of each event, (n,): multiples of `per` since 1970-01-01 local time, or of the sequence."""
    return (times + _utc_offsets(definition, times)) // per


def midnights(definition: Definition, times: Ints) -> Ints:
    """The start of each event's local day, ms since the epoch, (n,). Under sequence time, the event's own."""
    if definition.time.is_sequence:
        return times
    days, of_event = np.unique(period_numbers(definition, times, _DAY_MS), return_inverse=True)
    zone = ZoneInfo(definition.timezone)
    first = datetime(1970, 1, 1, tzinfo=zone)
    starts = [_epoch_ms(first + timedelta(days=day)) for day in days.tolist()]
    return np.array(starts, dtype=np.int64)[of_event]


def _figures(definition: Definition, scored: Scored) -> dict[str, float]:
    evaluation = definition.evaluation
    metrics = METRICS[definition.task]
    some = len(scored.labels) > 0
    figures = {
        name: metrics[name](scored.labels, scored.scores) if some else np.nan for name in evaluation.metrics
    }
    if evaluation.top_k is not None:
        periods = period_numbers(definition, scored.events.times, evaluation.top_k.per)
        figures[evaluation.top_k.name] = top_k(evaluation.top_k, periods, scored)
    return figures


def _known(definition: Definition, events: EventBatch, history: History, train_start: int) -> Bools:
    """Whether an entity had, before the midnight that starts the event's day, a visible positive label.

    Visible: of an event `after` or longer before that midnight. One since the training start counts, and
    the first of an entity is the first to be visible, so one time per entity decides.
    """
    known = definition.evaluation.exclude_known
    assert known is not None
    positive = (event_labels(definition, history) > 0) & (history.events.times >= train_start)
    first: dict[str | None, int] = {}
    keys = history.events.keys[known.entity]
    for at in np.flatnonzero(positive).tolist():
        time = int(history.events.times[at])
        first[keys[at]] = min(time, first.get(keys[at], time))
    first.pop(None, None)
    never = np.iinfo(np.int64).max
    since = np.array([first.get(key, never) for key in events.keys[known.entity]], dtype=np.int64)
    return since < midnights(definition, events.times) - known.after


def _last_per_entity(events: EventBatch, among: Bools, keys: Sequence[str | None]) -> Bools:
    """The last event of each entity by (time, position) among those given; events without a key stay out."""
    last: dict[str | None, int] = {}
    for at in np.lexsort((events.positions, events.times)).tolist():
        if among[at]:
            last[keys[at]] = at
    last.pop(None, None)
    mask = np.zeros(len(events), dtype=np.bool_)
    mask[list(last.values())] = True
    return mask


def _utc_offsets(definition: Definition, times: Ints) -> Ints:
    """What to add to UTC for local time, ms, (n,)."""
    if definition.time.is_sequence:
        return np.zeros(len(times), dtype=np.int64)
    zone = ZoneInfo(definition.timezone)
    slots, of_event = np.unique(times // _SLOT_MS, return_inverse=True)
    offsets = [_offset_ms(slot * _SLOT_MS, zone) for slot in slots.tolist()]
    return np.array(offsets, dtype=np.int64)[of_event]


def _offset_ms(time: int, zone: ZoneInfo) -> int:
    offset = datetime.fromtimestamp(time / 1000, UTC).astimezone(zone).utcoffset()
    assert offset is not None, "an aware time has an offset"
    return round(offset / timedelta(milliseconds=1))


def _epoch_ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)
