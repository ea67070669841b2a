"""From scores to decisions."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from features.arrays import Bools, Column, Floats, Ints, UInts
from features.definition.model import Definition
from models.decision import decide as decide_by_policy
from stream.pipeline.sampling import Draw, drawn


@dataclass(frozen=True, slots=True)
class Decisions:
    """What is to be done about n events; every array has shape (n,)."""

    index: Ints
    """Places in `Definition.decisions`; -1 where no case holds."""
    control: Bools
    """Whether the policy said something else and the event was let through, so that its label will tell."""
    alerts: Bools
    """Whether the decision is another than the `otherwise` one."""


def decide(definition: Definition, columns: Mapping[str, Column], scores: Floats, hashes: UInts) -> Decisions:
    """Apply the policy, and let the control share of what it catches through.

    columns: fields and features by name, shape (n,). scores: (n,), or (n, classes). hashes:
    `EventBatch.hashes`, which decide who is in the control share.
    """
    index = decide_by_policy(definition, columns, scores)
    otherwise = otherwise_place(definition)
    caught = (index >= 0) & (index != otherwise)
    control = caught & drawn(hashes, definition.control, Draw.CONTROL)
    return Decisions(np.where(control, otherwise, index), control, caught & ~control)


def otherwise_place(definition: Definition) -> int:
    """The place of the decision that always holds, which is the last; -1 where there is none."""
    cases = definition.decisions
    return len(cases) - 1 if cases and cases[-1].when is None else -1
