"""Whether what predictions say of themselves is true.

A stamp is false where a prediction claims more than it has: no degradation, and other values than the truth;
or where it tells of one that cannot have been, or of another model, rule or score than answered.

What was measured by the worker itself (a read that missed its deadline, rows that lagged) cannot be disproved
from outside. It is explained where a fault was under way, or its effects were; what is not is counted apart.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from features.arrays import Floats
from stream.pipeline.causes import Cause, names
from tests.chaos.harness.audit import Finding
from tests.chaos.harness.books import Sent
from tests.chaos.harness.outputs import Predicted
from tests.chaos.harness.truth import Expected, Truth, Window
from tests.chaos.harness.usecase import FEATURES, GRACE_MS, rule_of
from tests.integration.records import Position

Predict = Callable[[Floats], Floats]
"""A model: scores, shape (n,), of a feature matrix."""

STORE_SILENT = frozenset({"store_down", "store_timeout", "rebuilding"})
"""Why the rules answer although there is a model. Under the first two nothing is known of the windows."""
ROWS_LACK = frozenset({"stale", "row_corrupt", "overlay_truncated", "trimmed", "cold"})
"""Under these even the features of the topic's own entity may be other than they should."""
MEASURED = frozenset({"behind", "stale", "store_down", "store_timeout", "overlay_truncated"})
"""What the worker measured itself."""
JUDGED_BY_THE_EVENT = frozenset({"key_missing", "trimmed"})
FLOWING_AGAIN_MS = 20_000
"""For so long after predictions flow again, rows may still be behind or be filled."""
SEEN_AFTER_MS = 5_000
"""What another partition acknowledged so long ago is in the rows, unless the prediction says otherwise."""


@dataclass(frozen=True, slots=True)
class Span:
    """A fault, from its begin until predictions flowed again."""

    kind: str
    begin_ms: int
    end_ms: int
    may_cause: Cause
    for_good: bool = False
    """Its causes may be stamped until the end of the run."""

    def covers(self, at_ms: int, after_ms: int) -> bool:
        return self.begin_ms <= at_ms and (self.for_good or at_ms <= self.end_ms + after_ms)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What went on while the predictions were made."""

    spans: Sequence[Span] = ()
    models: Mapping[str, Predict] = field(default_factory=dict)
    """By version."""

    def explains(self, at_ms: int) -> frozenset[str]:
        """The causes that may be stamped then."""
        mask = 0
        for span in self.spans:
            if span.covers(at_ms, FLOWING_AGAIN_MS):
                mask |= span.may_cause
        return frozenset(names(mask))


@dataclass(slots=True)
class Verdict:
    false_stamps: Finding = field(default_factory=Finding)
    unexplained: Counter[str] = field(default_factory=Counter)
    """Causes that were stamped while nothing was wrong: how often."""
    sources: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    clean: int = 0
    """Predictions of the model with nothing to excuse, all of whose values were held against the truth."""


def judge(
    books: Iterable[Sent], predictions: Sequence[Predicted], truth: Truth, around: Circumstances
) -> Verdict:
    """Doubled predictions are judged as well: each must be true."""
    sent = {one.position: one for one in books}
    known = [p for p in predictions if (one := sent.get(p.of)) is not None and one.visit is not None]
    verdict = Verdict()
    for made in known:
        _note(verdict, made, sent, truth, around)
    for made, why in _misscored(known, around.models):
        verdict.false_stamps.add(f"{made.of}: {why}")
    return verdict


def _note(
    verdict: Verdict, one: Predicted, sent: Mapping[Position, Sent], truth: Truth, around: Circumstances
) -> None:
    verdict.sources[one.source] += 1
    verdict.causes.update(one.degradations)
    wrong = _wrong(one, sent, truth, around)
    if wrong:
        verdict.false_stamps.add(f"{sent[one.of].kind} at {one.of}: {wrong}")
    elif one.source == "model" and not set(one.degradations) - {"key_missing"}:
        verdict.clean += 1
    if one.degradations:
        verdict.unexplained.update(MEASURED.intersection(one.degradations) - around.explains(one.scored_at))


def _wrong(one: Predicted, sent: Mapping[Position, Sent], truth: Truth, around: Circumstances) -> str | None:
    event = sent[one.of]
    assert event.visit is not None
    causes = set(one.degradations)
    if len(one.features) != len(FEATURES) or one.features[0] != event.visit.weight:
        return f"features {one.features}"
    is_read = not causes & {"store_down", "store_timeout"}
    if is_read and (event.visit.door is None) != ("key_missing" in causes):
        return f"door {event.visit.door}, stamped {sorted(causes)}"
    if unknown := causes - MEASURED - JUDGED_BY_THE_EVENT - around.explains(one.scored_at):
        return f"stamped {sorted(unknown)}, and nothing that happened leads to that"
    if not _fits(one.source, causes):
        return f"{one.source} answered, stamped {sorted(causes)}"
    if one.source == "rules" and one.score != rule_of(event.visit.weight):
        return f"the rules would not give {one.score}"
    if not is_read:
        windows = one.features[1:]
        return None if all(map(math.isnan, windows)) else f"no store, and features {windows}"
    expected = truth.expected(one.of, one.scored_at - SEEN_AFTER_MS)
    if "trimmed" in causes and not (expected.may_be_trimmed or _is_late(event, one, around)):
        return f"trimmed, with rows of {expected.wider.before} and {expected.door}"
    return _misvalued(one, causes, expected)


def _fits(source: str, causes: set[str]) -> bool:
    """Whether the causes say that somebody else than the champion answers, if and only if one did."""
    silent, headless = bool(causes & STORE_SILENT), "no_model" in causes
    if source == "model":
        return not silent and not headless
    return (source == "previous" and headless and not silent) or (source == "rules" and (silent or headless))


def _misvalued(one: Predicted, causes: set[str], expected: Expected) -> str | None:
    """What its causes do not excuse."""
    _, count, total, last, door_count, door_total = one.features
    if causes & (ROWS_LACK | STORE_SILENT):
        return None
    if not expected.person.allows(count, total):
        return f"person {count, total}, not {expected.person}; stamped {sorted(causes)}"
    if last != expected.last:
        return f"last {last}, not {expected.last}; stamped {sorted(causes)}"
    door = expected.door
    if door is None:
        return None if math.isnan(door_count) and math.isnan(door_total) else "a door's features, and no door"
    if "behind" in causes:
        door = Window(0, 0.0, door.count + door.more, door.total + door.more_total)
    if not door.allows(door_count, door_total):
        return f"door {door_count, door_total}, not {door}; stamped {sorted(causes)}"
    return None


def _is_late(event: Sent, one: Predicted, around: Circumstances) -> bool:
    """Whether rows may have been folded beyond it: it came or was answered late, or clocks ran ahead."""
    return (
        event.is_late
        or one.scored_at - one.event_time > GRACE_MS // 2
        or any(span.kind == "clock jump" and span.covers(event.acked_ms, 3 * 60_000) for span in around.spans)
    )


def _misscored(
    predictions: Sequence[Predicted], models: Mapping[str, Predict]
) -> list[tuple[Predicted, str]]:
    """Those of a model whose score is not what that model gives for the features as served."""
    found: list[tuple[Predicted, str]] = []
    by_version: dict[str, list[Predicted]] = {}
    for one in predictions:
        if one.source in ("model", "previous"):
            by_version.setdefault(one.version, []).append(one)
    for version, some in by_version.items():
        if version not in models:
            found += [(one, f"there is no model {version}") for one in some]
            continue
        scores = models[version](np.array([one.features for one in some]))
        wrong = np.flatnonzero(scores != np.array([one.score for one in some]))
        found += [(some[at], f"{version} gives {scores[at]}, not {some[at].score}") for at in wrong.tolist()]
    return found
