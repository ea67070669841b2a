"""What features are made of besides the event: windows and lookups, whoever found them out.

Everything else in a feature vector follows from the event itself, so with these another model is given what
it would have been given when the event was served.
"""

from dataclasses import dataclass

import numpy as np

from features.arrays import Bools, Floats, Ints
from features.categories import Categories
from features.definition.model import Definition
from features.event import hash_texts
from features.rows import RowId
from features.window import Evaluated

UNKNOWN_TEXT = -1.0
"""The hash of no text: its code is that of all others."""


def state_names(definition: Definition) -> tuple[str, ...]:
    """The windows and lookups in model order."""
    looked_up = {feature.name for features in definition.lookups.values() for feature in features}
    windows = {window.name for window in definition.windows}
    return tuple(name for name in definition.feature_names if name in windows or name in looked_up)


@dataclass(frozen=True, slots=True)
class State:
    """Of n events."""

    values: Floats
    """Shape (n, `state_names`): values of windows, and of lookups; texts as 52-bit hashes. NaN is missing."""
    trimmed: Bools
    """Shape (n,): whether a window's edge was displaced."""

    def take(self, index: Ints) -> "State":
        return State(self.values[index], self.trimmed[index])

    def windows(self, definition: Definition) -> dict[RowId, Evaluated]:
        """As `FeaturePlan.evaluate` takes windows that were evaluated before."""
        places = {name: at for at, name in enumerate(state_names(definition))}
        grouped: dict[RowId, list[int]] = {}
        for window in definition.windows:
            grouped.setdefault((window.entity, window.kind), []).append(places[window.name])
        return {
            row_id: Evaluated(self.values[:, columns], self.trimmed) for row_id, columns in grouped.items()
        }

    def lookups(self, definition: Definition) -> dict[str, Floats]:
        """As `FeaturePlan.evaluate` takes what was looked up."""
        places = {name: at for at, name in enumerate(state_names(definition))}
        looked_up = [feature.name for features in definition.lookups.values() for feature in features]
        return {name: self.values[:, places[name]] for name in looked_up}


def hashes_of_codes(categories: Categories, name: str, codes: Floats) -> Floats:
    """What was looked up, of which a served feature vector holds the code. Shape (n,)."""
    texts = categories.get(name, ())
    hashes = np.append(hash_texts(["", *texts]), np.nan)
    hashes[0] = UNKNOWN_TEXT
    return hashes[np.where(np.isnan(codes), len(texts) + 1, codes).astype(np.int64)]
