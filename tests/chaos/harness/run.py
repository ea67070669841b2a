"""One run from a seed: everything starts, everything breaks and is mended, everything is accounted for."""

import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event

import numpy as np

from stream.pipeline.causes import Cause
from tests.chaos.harness.audit import Account, account
from tests.chaos.harness.faults import Fault, all_faults
from tests.chaos.harness.plan import Planned, Step, plan
from tests.chaos.harness.rebuilds import rebuilding
from tests.chaos.harness.recovery import Recovery, recoveries
from tests.chaos.harness.stamps import Circumstances, Span, Verdict, judge
from tests.chaos.harness.trial import Trial
from tests.chaos.harness.truth import Truth
from tests.chaos.stage.faults import RESTARTED
from tests.integration.processes import await_that

STARTED_WITHIN_S = 120.0
FLOWS_WITHIN_S = 120.0
"""A bound for what takes seconds: longer, and somebody would have had to look."""
ANSWERED_WITHIN_S = 120.0
JOINT_S = 0.5
"""Between two steps."""


@dataclass(frozen=True, slots=True)
class Happened:
    """A fault, as it went."""

    number: int
    kind: str
    what: str
    begin_ms: int
    end_ms: int
    """When it was undone."""
    flowing_ms: int
    """When everything before its step's end was answered, and something after it, in every partition."""
    may_cause: Cause
    for_good: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that is known in the end."""

    happened: Sequence[Happened]
    accounts: dict[str, Account]
    """By mode."""
    verdicts: dict[str, Verdict]
    recoveries: dict[str, Sequence[Recovery]]
    seconds: float
    stuck: str = ""
    """What did not go on by itself; empty where everything did."""
    problems: list[str] = field(default_factory=list)
    """Faults that could not be done as planned."""


def conduct(trial: Trial, count: int, say: "Say") -> Outcome:
    """`count` faults; what it raises is a fault of the harness."""
    started_s = time.monotonic()
    kinds = {fault.name: fault for fault in all_faults(trial.servers)}
    steps = plan(all_faults(trial.servers), count, trial.seed)
    happened: list[Happened] = []
    stuck = ""
    begin_ms = _now_ms()
    try:
        _await_flow(trial, begin_ms, STARTED_WITHIN_S)
        for step in steps:
            happened += _take(trial, kinds, step, say)
            time.sleep(JOINT_S)
    except AssertionError as error:
        stuck = str(error)
        say(f"STUCK: {stuck}")
    stuck = _finish(trial, say) or stuck
    books = trial.generator.books.in_order
    truth = Truth(books)
    spans = [Span(one.kind, one.begin_ms, one.flowing_ms, one.may_cause, one.for_good) for one in happened]
    first_ms = happened[0].begin_ms if happened else _now_ms()
    spans.append(Span("start", 0, first_ms, RESTARTED))  # nothing is known of the rows at first
    around = Circumstances([*spans, *rebuilding(spans, trial.rebuilds.intervals)], trial.predict)
    outputs = trial.outputs
    return Outcome(
        happened,
        {mode: account(books, o.predictions, o.letters) for mode, o in outputs.items()},
        {mode: judge(books, o.predictions, truth, around) for mode, o in outputs.items()},
        {
            mode: recoveries(books, o, [(h.kind, h.begin_ms, h.end_ms) for h in happened])
            for mode, o in outputs.items()
        },
        time.monotonic() - started_s,
        stuck,
    )


class Say:
    """Tells a person how it goes, with seconds since the begin."""

    def __init__(self) -> None:
        self._begin_s = time.monotonic()

    def __call__(self, text: str) -> None:
        # To where it can be read even if pytest runs this in a process whose output nobody collects.
        print(f"{time.monotonic() - self._begin_s:7.1f} s  {text}", file=sys.stderr, flush=True)  # noqa: T201


def _take(trial: Trial, kinds: dict[str, Fault], step: Step, say: Say) -> list[Happened]:
    """A step: faults begin and end as planned, then predictions flow again."""
    with ThreadPoolExecutor(len(step)) as pool:
        running = [pool.submit(_commit, trial, kinds[planned.kind], planned, say) for planned in step]
    done = [_result(one) for one in running]
    over_ms = _now_ms()
    _await_flow(trial, over_ms, FLOWS_WITHIN_S)
    flowing_ms = _now_ms()
    say(f"flowing again {(flowing_ms - over_ms) / 1000:.1f} s later")
    return [
        Happened(
            p.number, p.kind, what, begin, end, flowing_ms, kinds[p.kind].may_cause, kinds[p.kind].for_good
        )
        for p, (what, begin, end) in zip(step, done, strict=True)
    ]


def _commit(trial: Trial, fault: Fault, planned: Planned, say: Say) -> tuple[str, int, int]:
    """One fault, in a thread of its own: what was drawn, when it began, when it was undone."""
    wait = Event().wait
    wait(planned.after_s)
    begin_ms = _now_ms()
    begun = fault.begin(trial, np.random.default_rng(planned.seed))
    say(f"#{planned.number} {fault.name} {begun.what}, for {planned.lasts_s:.1f} s")
    wait(planned.lasts_s)
    begun.end()
    return begun.what, begin_ms, _now_ms()


def _result(future: "Future[tuple[str, int, int]]") -> tuple[str, int, int]:
    return future.result()


def _await_flow(trial: Trial, since_ms: int, within_s: float) -> None:
    """Until nothing from before waits for an answer, and every partition has one for something since."""

    def flows() -> bool:
        partitions = range(trial.generator.partitions)
        return all(
            settled.get(p, 0) >= since_ms
            for settled in [reader.settled_ms() for reader in trial.outputs.values()]
            for p in partitions
        )

    try:
        await_that(flows, "predictions do not flow", within_s)
    except AssertionError as error:
        raise AssertionError(f"{error}: {'; '.join(trial.waiting())}") from None


def _finish(trial: Trial, say: "Say") -> str:
    """Let everything come to its end; what did not."""
    trial.generator.finish()
    stuck = ""
    try:
        await_that(
            lambda: not any(reader.waiting() for reader in trial.outputs.values()),
            "not everything is answered",
            ANSWERED_WITHIN_S,
        )
    except AssertionError as error:
        stuck = f"{error}: {'; '.join(trial.waiting())}"
    say("everything is answered; workers are told to end")
    for fleet in trial.fleets.all:
        fleet.scale(0)
    for fleet in trial.fleets.all:
        fleet.await_ended()
    say("every worker has ended")
    for reader in trial.outputs.values():
        reader.finish()
    say("everything is read; the accounts are made up")
    return stuck


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
