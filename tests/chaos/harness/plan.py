"""What goes wrong, and when: drawn from a seed, every kind about as often, alone and two at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

TOGETHER = 0.35
"""The share of faults that another one joins while they last."""
_JOINS_WITHIN_S = 3.0


class Kind(Protocol):
    """What the plan must know of a kind of fault."""

    @property
    def name(self) -> str: ...

    @property
    def component(self) -> str:
        """What it hits; no two faults of one component at the same time."""
        ...

    def drawn_s(self, rng: np.random.Generator) -> float:
        """How long it is to last."""
        ...


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault."""

    number: int
    kind: str
    after_s: float
    """From the begin of its step."""
    lasts_s: float
    seed: int
    """For what it draws itself."""


Step = tuple[Planned, ...]
"""Faults that overlap; the next step waits until predictions flow again."""


def plan(kinds: Sequence[Kind], count: int, seed: int) -> list[Step]:
    """`count` faults in all. Each kind comes once before any comes twice."""
    rng = np.random.default_rng(seed)
    drawn = _Bag(kinds, rng)
    steps: list[Step] = []
    left = count
    while left:
        first = drawn.next(lambda _: True)
        assert first is not None
        step = [_planned(count - left, first, 0.0, rng)]
        left -= 1
        if left and rng.random() < TOGETHER:
            second = drawn.next(partial(_is_apart, first.component))
            if second is not None:
                step.append(_planned(count - left, second, float(rng.uniform(0, _JOINS_WITHIN_S)), rng))
                left -= 1
        steps.append(tuple(step))
    return steps


def _planned(number: int, kind: Kind, after_s: float, rng: np.random.Generator) -> Planned:
    return Planned(number, kind.name, after_s, kind.drawn_s(rng), int(rng.integers(2**31)))


def _is_apart(component: str, kind: Kind) -> bool:
    return kind.component != component


class _Bag:
    """Kinds in random order, all of them before any comes again."""

    def __init__(self, kinds: Sequence[Kind], rng: np.random.Generator) -> None:
        self._kinds, self._rng = kinds, rng
        self._left: list[Kind] = []

    def next(self, fits: Callable[[Kind], bool]) -> Kind | None:
        if not self._left:
            self._left = [self._kinds[at] for at in self._rng.permutation(len(self._kinds)).tolist()]
        found = next(iter(self._fitting(fits)), None)
        if found is not None:
            self._left.remove(found)
        return found

    def _fitting(self, fits: Callable[[Kind], bool]) -> Iterator[Kind]:
        return (kind for kind in self._left if fits(kind))
