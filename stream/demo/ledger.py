"""The demo's books: what was sent, what came back, and from that what was lost or doubled.

Everything is counted by *source position*, the partition and offset a record got on the events topic.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from features.arrays import Floats

Position: TypeAlias = tuple[int, int]
"""Partition and offset on the events topic."""


@dataclass(frozen=True, slots=True)
class Poison:
    """A record made to be refused, and what must come back of it untouched."""

    kind: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class Account:
    """The end of the books."""

    events: int
    """Valid events that the broker took."""
    predictions: int
    """Prediction records read, doubled ones too."""
    dead_letters: int
    lost: int
    """Source positions of valid events without a prediction."""
    duplicates: int
    """Source positions predicted more than once."""
    poison: int
    poison_missing: int
    """Poison records without a dead letter."""
    poison_changed: int
    """Dead letters whose key, value or headers are not those that were sent."""
    strangers: int
    """Predictions for no valid event, or under another event's id, and dead letters of valid events."""

    @property
    def clean(self) -> bool:
        faults = (self.lost, self.duplicates, self.poison_missing, self.poison_changed, self.strangers)
        return not any(faults)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record of the dead-letter topic: the original's bytes and coordinates."""

    position: Position
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


class Ledger:
    """One thread notes what is sent, another what comes back: neither writes what the other does."""

    def __init__(self, event_ids: Sequence[str]) -> None:
        self._ids = event_ids
        self._rows: dict[Position, int] = {}
        self._poison: dict[Position, Poison] = {}
        self._predicted: Counter[Position] = Counter()
        self._letters: dict[Position, DeadLetter] = {}
        self._letters_read = 0
        self._positions_of_ids: dict[str, list[Position]] = {}

    def sent(self, position: Position, row: int) -> None:
        """The valid event of `row`, which is to be predicted, stands at `position`."""
        self._rows[position] = row

    def sent_poison(self, position: Position, poison: Poison) -> None:
        self._poison[position] = poison

    def predicted(self, position: Position, event_id: str) -> bool:
        """Note a prediction; returns whether it is the position's first.

        A prediction may be read before the event's own delivery was reported, so its id is held
        against the row's only at the end.
        """
        self._predicted[position] += 1
        self._positions_of_ids.setdefault(event_id, []).append(position)
        return self._predicted[position] == 1

    def dead_letter(self, letter: DeadLetter) -> bool:
        """Note a dead letter; returns whether it is the position's first."""
        self._letters_read += 1
        first = letter.position not in self._letters
        self._letters.setdefault(letter.position, letter)
        return first

    @property
    def waiting(self) -> int:
        """Records sent that have neither a prediction nor a dead letter yet."""
        return len(self._rows) + len(self._poison) - len(self._predicted) - len(self._letters)

    def close(self) -> Account:
        """Settle the books; nothing may be on its way any more."""
        letters = self._letters
        return Account(
            events=len(self._rows),
            predictions=self._predicted.total(),
            dead_letters=self._letters_read,
            lost=sum(1 for position in self._rows if position not in self._predicted),
            duplicates=sum(1 for count in self._predicted.values() if count > 1),
            poison=len(self._poison),
            poison_missing=sum(1 for position in self._poison if position not in letters),
            poison_changed=sum(
                1 for at, poison in self._poison.items() if at in letters and not _same(poison, letters[at])
            ),
            strangers=self._strangers(),
        )

    def _strangers(self) -> int:
        ids, rows = self._ids, self._rows
        wrong = sum(
            1
            for event_id, positions in self._positions_of_ids.items()
            for position in positions
            if (row := rows.get(position)) is None or ids[row] != event_id
        )
        return wrong + sum(1 for position in self._letters if position not in self._poison)


def _same(poison: Poison, letter: DeadLetter) -> bool:
    kept = all(header in letter.headers for header in poison.headers)
    return kept and poison.key == letter.key and poison.value == letter.value


def percentiles(values: Sequence[float] | Floats, shares: Sequence[float]) -> list[float]:
    """The values at `shares` (0 to 100); NaN without values."""
    if len(values) == 0:
        return [float("nan")] * len(shares)
    return [float(v) for v in np.percentile(np.asarray(values, np.float64), list(shares))]
