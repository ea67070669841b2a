"""The point-in-time training set: the windows that serving evaluates, over history."""

from dataclasses import dataclass

import numpy as np

from features.arrays import Bools, Floats, Ints
from features.definition.model import Definition, DerivedLabel, RecordLabel, RowKind
from features.event import EventBatch
from features.expression import truth
from features.history import History
from features.matrix import FeaturePlan
from features.rows import history_rows, index_keys


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Events with their features as they were, and their labels as they came to be; n of each."""

    events: EventBatch
    matrix: Floats
    """Shape (n, features)."""
    labels: Floats
    """NaN where the label has not matured: leave such events out, they are not negatives."""
    weights: Floats


def build_training_set(definition: Definition, history: History, start: int, end: int) -> TrainingSet:
    """Events with start <= time < end that `score_when` lets through, features from all that came before.

    start, end: in the definition's time unit.
    """
    times = history.events.times
    scored = (times >= start) & (times < end) & scored_events(definition, history.events)
    labels = event_labels(definition, history)
    if all(window.span.kind == "time" for window in definition.windows):
        near = np.flatnonzero((times >= start - definition.retention) & (times < end))
    else:
        near = np.arange(len(history))
    index = np.flatnonzero(scored[near])
    matrix = point_in_time_matrix(definition, history.take(near), index)
    chosen = near[index]
    return TrainingSet(history.events.take(chosen), matrix, labels[chosen], np.ones(len(chosen)))


def point_in_time_matrix(definition: Definition, history: History, index: Ints) -> Floats:
    """The features of the events at `index`, from the history given."""
    labelled = {row.entity for row in definition.rows if row.kind is RowKind.LABELS}
    rows = history_rows(definition, history.events, {name: history.label_entries(name) for name in labelled})
    return FeaturePlan(definition).matrix(history.events, rows, index)


def scored_events(definition: Definition, events: EventBatch) -> Bools:
    """Which events `score_when` lets through."""
    if definition.score_when is None:
        return np.ones(len(events), np.bool_)
    return truth(definition.score_when.evaluate(events.columns, len(events)))


def event_labels(definition: Definition, history: History) -> Floats:
    """Each event's label: shape (n,), NaN where it has not matured."""
    match definition.label:
        case DerivedLabel() as label:
            return derived_labels(definition, label, history.events)
        case RecordLabel(absent=float() as absent):
            return np.where(np.isnan(history.labels), absent, history.labels)
        case _:
            return history.labels


def derived_labels(definition: Definition, label: DerivedLabel, events: EventBatch) -> Floats:
    """How far away the end, or the condition, is: in events, in seconds, or in steps of the sequence.

    An event that meets the condition has distance 0. With `within`, 1 where the distance is at most
    that, else 0; with `cap`, larger distances are cut to it. Where the end is not in the data, a
    distance is known only to be larger than what is left of the entity: that settles `within` and `cap`
    if it exceeds them, and else leaves the label open (NaN).
    """
    n = len(events)
    row = index_keys(events.keys[definition.topic_entity.name]).of_event
    order = np.lexsort((events.positions, events.times, row))
    sorted_row = row[order]
    last = np.ones(n, np.bool_)
    last[:-1] = sorted_row[1:] != sorted_row[:-1]
    last_of = _next_marked(last)
    if label.condition is None:
        end_of, reached = last_of, np.ones(n, np.bool_)
    else:
        end_of = _next_marked(truth(label.condition.evaluate(events.columns, n))[order])
        reached = end_of <= last_of
    if label.unit == "events":
        along, unit = np.arange(n), 1.0
    else:
        along, unit = events.times[order], 1.0 if definition.time.is_sequence else 1000.0
    distance = (along[np.where(reached, end_of, last_of)] - along).astype(np.float64)
    limit = np.inf if label.cap is None else label.cap * unit
    limit = limit if label.within is None else float(label.within)
    beyond = distance > limit
    if label.unit == "events":  # unreached, the end is at least one event past what is left
        beyond |= ~reached & (distance >= limit)
    values = np.where(reached, distance / unit, np.nan)
    if label.within is not None:
        values = np.where(beyond, 0.0, np.where(reached, 1.0, np.nan))
    elif label.cap is not None:
        values = np.where(beyond, label.cap, values)
    result = np.full(n, np.nan)
    result[order] = values
    result[row < 0] = np.nan
    return result


def _next_marked(marked: Bools) -> Ints:
    """For each place, the first marked place at or after it; the length where there is none."""
    n = len(marked)
    places = np.where(marked, np.arange(n), n)
    return np.minimum.accumulate(places[::-1])[::-1]
