"""Labels for events whose own batch does not tell them: made of later events, or come as records."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from features.arrays import Bools, Floats, Ints, UInts
from features.codec import Entries
from features.definition.model import Definition, DerivedLabel
from features.event import hash_ids
from features.expression import truth
from features.past.offline import derived_labels
from features.past.order import Slice
from features.past.texts import index_texts
from features.rows import KeyIndex


@dataclass(frozen=True, slots=True)
class LabelRecords:
    """m labels as they were observed."""

    ids: UInts
    """`hash_ids` of their events' ids."""
    times: Ints
    """Of their events."""
    observed_at: Ints
    labels: Floats
    keys: Mapping[str, Sequence[str | None]]
    """By the name of every entity that keeps labels."""

    def latest(self, ids: UInts) -> Floats:
        """The label of each event that was observed last, of two at the same time the larger; NaN without."""
        order = np.lexsort((self.labels, self.observed_at, self.ids))
        known = self.ids[order]
        after = np.searchsorted(known, ids, side="right")
        found = np.flatnonzero(after > 0)
        found = found[known[after[found] - 1] == ids[found]]
        labels = np.full(len(ids), np.nan)
        labels[found] = self.labels[order[after[found] - 1]]
        return labels

    def entries(self, entity: str, index: KeyIndex, until: int) -> Entries:
        """Those that belong to the rows of `index` and to events not after `until`."""
        numbers = {key: number for number, key in enumerate(index.keys)}
        row = np.array([-1 if key is None else numbers.get(key, -1) for key in self.keys[entity]], np.int64)
        wanted = np.flatnonzero((row >= 0) & (self.times <= until))
        return Entries(
            row=row[wanted],
            times=self.times[wanted],
            ids=self.ids[wanted],
            marks=self.observed_at[wanted].view(np.uint64),
            values=self.labels[wanted].reshape(-1, 1),
        )


def derived_in_order(definition: Definition, label: DerivedLabel, slices: Iterable[Slice]) -> Floats:
    """The derived label of every event of a history, in the order of its slices.

    Of each event only entity, time and whether it meets the condition are held, 17 bytes, and all at once:
    what a label counts may lie any number of slices ahead.
    """
    keys: list[UInts] = []
    times: list[Ints] = []
    meets: list[Bools] = []
    keyed: list[Bools] = []
    for part in slices:
        events = part.events
        index = index_texts(events.keys[definition.topic_entity.name])
        keys.append(np.append(hash_ids(index.keys), np.uint64(0))[index.of_event])
        keyed.append(index.of_event >= 0)
        times.append(events.times)
        if label.condition is not None:
            meets.append(truth(label.condition.evaluate(events.columns, len(events))))
    if not times:
        return np.empty(0)
    _, row = np.unique(np.concatenate(keys), return_inverse=True)
    row = np.where(np.concatenate(keyed), row, -1)
    met = None if label.condition is None else np.concatenate(meets)
    return derived_labels(definition, label, row, np.concatenate(times), met)
