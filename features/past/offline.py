"""The point-in-time training set: the windows that serving evaluates, over history."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.arrays import Bools, Floats, Ints
from features.categories import NO_CATEGORIES, Categories, categorical, learn_categories
from features.definition.model import CategoryFeature, Definition, DerivedLabel, RecordLabel, RowKind
from features.event import EventBatch
from features.expression import truth
from features.matrix import FeaturePlan, units_per_second
from features.past.history import History
from features.rows import RowId, Rows, entry_values, history_rows, index_keys
from features.window import Evaluated
from features.windows.settled import SettledRows, SortedEvents, evaluate_settled, is_settled, settled_entries


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Events with their features as they were, and their labels as they came to be; n of each."""

    events: EventBatch
    matrix: Floats
    """Shape (n, features)."""
    labels: Floats
    """NaN where the label has not matured: leave such events out, they are not negatives."""
    weights: Floats


def build_training_set(
    definition: Definition,
    history: History,
    start: int,
    end: int,
    categories: Categories = NO_CATEGORIES,
) -> TrainingSet:
    """Events with start <= time < end that `score_when` lets through, features from all that came before.

    start, end: in the definition's time unit.
    """
    times = history.events.times
    scored = _scored_between(definition, history.events, start, end)
    labels = event_labels(definition, history)
    if all(window.span.kind == "time" for window in definition.windows):
        displaced = max((row.resolution for row in definition.rows), default=0)
        near = np.flatnonzero((times >= start - definition.retention - displaced) & (times < end))
    else:
        near = np.arange(len(history))
    index = np.flatnonzero(scored[near])
    matrix = point_in_time_matrix(definition, history.take(near), index, categories)
    chosen = near[index]
    return TrainingSet(history.events.take(chosen), matrix, labels[chosen], np.ones(len(chosen)))


def training_categories(definition: Definition, history: History, start: int, end: int) -> Categories:
    """The categories that occur in the events that `build_training_set` gives for the same times."""
    chosen = history.take(np.flatnonzero(_scored_between(definition, history.events, start, end)))
    texts: dict[str, Sequence[str | None]] = {}
    looked_up = chosen.lookup_columns()
    for name, feature in categorical(definition).items():
        if isinstance(feature, CategoryFeature):
            texts[name] = chosen.events.columns[name].tolist()
        elif name in looked_up:
            found = chosen.lookups[feature.entity].texts
            texts[name] = [found.get(number) for number in looked_up[name].tolist()]
    return learn_categories(definition, texts)


def point_in_time_matrix(
    definition: Definition, history: History, index: Ints, categories: Categories = NO_CATEGORIES
) -> Floats:
    """The features of the events at `index`, from the history given."""
    if not len(index):
        return np.empty((0, len(definition.feature_names)))
    rows: dict[RowId, Rows | Evaluated] = dict(
        settled_windows(definition, history.events, history.labels, history.observed_at, index)
    )
    if len(rows) < len(definition.rows):
        labelled = {row.entity for row in definition.rows if row.kind is RowKind.LABELS}
        labels = {name: history.label_entries(name) for name in labelled}
        rows = {**history_rows(definition, history.events, labels), **rows}
    plan = FeaturePlan(definition, categories)
    return plan.matrix(history.events, rows, index, history.lookup_columns())


def settled_windows(
    definition: Definition, events: EventBatch, labels: Floats, observed_at: Ints, index: Ints
) -> dict[RowId, Evaluated]:
    """The windows of the events at `index` over those rows in which nothing is in doubt."""
    found: dict[RowId, Evaluated] = {}
    if not is_settled(events):
        return found
    for entity in dict.fromkeys(schema.entity for schema in definition.rows):
        by_row = SortedEvents.of(events, index_keys(events.keys[entity]).of_event)
        kinds: list[SettledRows] = []
        for schema in definition.rows:
            windows = [w for w in definition.windows if (w.entity, w.kind) == (entity, schema.kind)]
            if schema.entity != entity:
                continue
            held = settled_entries(schema, windows, events, by_row, labels, observed_at)
            if held is not None:
                of_events = schema.kind is RowKind.EVENTS
                values = entry_values(definition, schema, events) if of_events else labels.reshape(-1, 1)
                kinds.append(SettledRows(schema, windows, held, values))
        evaluated = evaluate_settled(kinds, by_row, index, units_per_second(definition))
        for rows, values_found in zip(kinds, evaluated, strict=True):
            found[entity, rows.schema.kind] = values_found
    return found


def _scored_between(definition: Definition, events: EventBatch, start: int, end: int) -> Bools:
    return (events.times >= start) & (events.times < end) & scored_events(definition, events)


def scored_events(definition: Definition, events: EventBatch) -> Bools:
    """Which events `score_when` lets through."""
    if definition.score_when is None:
        return np.ones(len(events), np.bool_)
    return truth(definition.score_when.evaluate(events.columns, len(events)))


def event_labels(definition: Definition, history: History) -> Floats:
    """Each event's label: shape (n,), NaN where it has not matured."""
    label = definition.label
    if not isinstance(label, DerivedLabel):
        return labels_to_learn(definition, history.labels)
    events, n = history.events, len(history)
    row = index_keys(events.keys[definition.topic_entity.name]).of_event
    meets = None if label.condition is None else truth(label.condition.evaluate(events.columns, n))
    return derived_labels(definition, label, row, events.times, meets)


def labels_to_learn(definition: Definition, labels: Floats) -> Floats:
    """Labels as they came, with what the definition says that none means."""
    match definition.label:
        case RecordLabel(absent=float() as absent):
            return np.where(np.isnan(labels), absent, labels)
        case _:
            return labels


def derived_labels(
    definition: Definition, label: DerivedLabel, row: Ints, times: Ints, meets: Bools | None
) -> Floats:
    """The labels of n events in the order of their positions, of which `meets` meet the label's condition.

    row: the number of each event's topic entity, -1 for none. A label is how far away the entity's
    end (without `meets`), or the condition, is: in events, in seconds, or in steps of the sequence.

    An event that meets the condition has distance 0. With `within`, 1 where the distance is at most
    that, else 0; with `cap`, larger distances are cut to it. Where the end is not in the data, a
    distance is known only to be larger than what is left of the entity: that settles `within` and `cap`
    if it exceeds them, and else leaves the label open (NaN).
    """
    n = len(times)
    order = np.lexsort((times, row))  # stable
    sorted_row = row[order]
    last = np.ones(n, np.bool_)
    last[:-1] = sorted_row[1:] != sorted_row[:-1]
    last_of = _next_marked(last)
    if meets is None:
        end_of, reached = last_of, np.ones(n, np.bool_)
    else:
        end_of = _next_marked(meets[order])
        reached = end_of <= last_of
    if label.unit == "events":
        along, unit = np.arange(n), 1.0
    else:
        along, unit = times[order], 1.0 if definition.time.is_sequence else 1000.0
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
