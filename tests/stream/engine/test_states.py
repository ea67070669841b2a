"""Several states in one materialize worker: who has its turn, what is begun, and what is dropped."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from features.definition.model import Definition
from stream.engine.states import LINGER_MS, LIVE_TURNS, RETRY_MS, States
from stream.errors import Fatal
from tests.stream.engine.bench import Bench
from tests.stream.engine.switching import LONG, SHORT, beside
from tests.stream.engine.versions import ANOTHER_FEATURE, LONGER
from tests.stream.engine.workers import Clock, Materializing
from tests.stream.visits import DEFINITION

AT_ONCE = 10
WAIT_MS = 7
OLD, NEW = DEFINITION.fingerprints.state, LONGER.fingerprints.state
Journal = list[tuple[str, int, int]]
"""Whose turn it was, how many records it passed, and how long it might wait."""


@dataclass
class Backlog:
    """Rows that lack a number of records."""

    definition: Definition
    journal: Journal
    records: int
    assigned: bool = True
    failure: Fatal | None = None
    closed: bool = False

    @property
    def records_waiting(self) -> int | None:
        return self.records if self.assigned else None

    def step(self, events_max: int, wait_ms: int) -> int:
        if self.failure is not None:
            raise self.failure
        passed = min(self.records, events_max)
        self.records -= passed
        self.journal.append((self.definition.fingerprints.state, passed, wait_ms))
        return passed

    def close(self) -> None:
        self.closed = True
        if self.failure is not None:
            raise self.failure


@dataclass
class Worker:
    """States over backlogs."""

    wanted: Sequence[Definition] = (DEFINITION,)
    clock: Clock = field(default_factory=Clock)
    lacking: int = 0
    """Records that whoever begins lacks."""
    refusal: Fatal | None = None
    """Why nothing can be begun."""
    begun: list[tuple[Backlog, bool]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    journal: Journal = field(default_factory=list)

    def __post_init__(self) -> None:
        self.states = States(
            self.wanted,
            self.begin,
            AT_ONCE,
            WAIT_MS,
            self.clock,
            lambda event, **_: self.notices.append(event),
        )

    def begin(self, definition: Definition, is_alone: bool) -> Backlog:
        if self.refusal is not None:
            raise self.refusal
        made = Backlog(definition, self.journal, self.lacking)
        self.begun.append((made, is_alone))
        return made

    def of(self, definition: Definition) -> Backlog:
        return [backlog for backlog, _ in self.begun if backlog.definition is definition][-1]

    def turns(self) -> Journal:
        """Those of the next step."""
        self.journal.clear()
        self.states.step()
        return list(self.journal)


@pytest.fixture
def worker() -> Worker:
    """With one live state."""
    made = Worker()
    made.states.step()
    return made


@pytest.fixture
def filling(worker: Worker) -> Worker:
    """With one live state and one that has begun to be filled."""
    worker.lacking = 1_000
    worker.states.want([LONGER, DEFINITION])
    worker.states.step()
    return worker


def test_a_live_state_takes_a_few_batches_before_one_is_filled_by_another(filling: Worker) -> None:
    filling.of(DEFINITION).records = 25
    assert [turn[:2] for turn in filling.turns()] == [
        (OLD, 10),
        (OLD, 10),
        (OLD, 5),
        (NEW, 10),
    ]
    filling.of(DEFINITION).records = 1_000
    assert [turn[:2] for turn in filling.turns()] == [(OLD, 10)] * LIVE_TURNS + [(NEW, 10)]


def test_of_states_that_begin_together_the_one_that_is_live_first_goes_first() -> None:
    worker = Worker(wanted=[LONGER, DEFINITION], lacking=1_000)
    worker.states.step()
    worker.of(DEFINITION).records = 0
    worker.states.step()
    assert [state for state, *_ in worker.turns()] == [OLD, NEW]


def test_it_waits_once_and_only_when_nobody_had_records(filling: Worker) -> None:
    assert [turn[2] for turn in filling.turns()] == [0, 0]
    filling.of(LONGER).records = 0
    filling.turns()
    assert [turn[2] for turn in filling.turns()] == [WAIT_MS, 0]


def test_a_state_is_live_once_it_lacks_no_more_than_a_batch(worker: Worker) -> None:
    worker.lacking = 35
    worker.states.want([LONGER, DEFINITION])
    worker.notices.clear()
    worker.states.step()
    worker.of(LONGER).assigned = False
    worker.of(LONGER).records = 5
    worker.states.step()
    assert worker.notices == ["state_begun"], "nobody knows how far it is"
    worker.of(LONGER).assigned = True
    worker.states.step()
    assert worker.notices == ["state_begun", "state_is_live"]
    worker.of(LONGER).records = 1_000
    assert len(worker.turns()) == 1 + LIVE_TURNS, "what was live stays so when it falls behind"


def test_each_state_is_begun_once_and_told_whether_it_is_the_only_one(worker: Worker) -> None:
    worker.states.want([ANOTHER_FEATURE])
    worker.states.step()
    worker.states.want([LONGER, LONGER, ANOTHER_FEATURE, DEFINITION])
    worker.states.step()
    assert [(backlog.definition, alone) for backlog, alone in worker.begun] == [
        (DEFINITION, True),
        (LONGER, False),
    ]


def test_a_state_that_is_needed_no_more_is_kept_for_a_while_and_dropped(worker: Worker) -> None:
    worker.states.want([LONGER])
    worker.states.step()
    worker.clock.ms += LINGER_MS - 1
    worker.states.step()
    worker.states.want([DEFINITION, LONGER])
    worker.states.step()
    worker.states.want([LONGER])
    worker.states.step()
    worker.clock.ms += LINGER_MS - 1
    worker.states.step()
    assert not worker.of(DEFINITION).closed
    worker.clock.ms += 1
    worker.states.step()
    assert worker.of(DEFINITION).closed
    assert {state for state, *_ in worker.turns()} == {NEW}
    assert len(worker.begun) == 2


def test_what_is_needed_no_more_is_kept_while_what_is_needed_is_filled(filling: Worker) -> None:
    """Score workers serve from it until then."""
    filling.states.want([LONGER])
    for _ in range(3):
        filling.clock.ms += LINGER_MS
        filling.states.step()
    filling.of(LONGER).records = 0
    filling.states.step()
    filling.clock.ms += LINGER_MS - 1
    filling.states.step()
    assert not filling.of(DEFINITION).closed
    filling.clock.ms += 1
    filling.states.step()
    assert filling.of(DEFINITION).closed


def test_a_state_that_cannot_be_filled_is_left_alone_and_tried_again(filling: Worker) -> None:
    filling.of(LONGER).failure = Fatal("offset 5 was deleted")
    filling.states.step()
    assert filling.of(LONGER).closed
    assert filling.notices[-1] == "state_left_alone"
    filling.clock.ms += RETRY_MS - 1
    assert {state for state, *_ in filling.turns()} == {OLD}
    filling.clock.ms += 1
    assert {state for state, *_ in filling.turns()} == {OLD, NEW}
    assert len(filling.begun) == 3


def test_a_state_that_cannot_even_be_begun_is_tried_again(worker: Worker) -> None:
    worker.refusal = Fatal("history.parquet lacks a column")
    worker.states.want([LONGER, DEFINITION])
    worker.states.step()
    assert worker.notices[-1] == "state_left_alone"
    worker.refusal = None
    worker.clock.ms += RETRY_MS
    assert {state for state, *_ in worker.turns()} == {OLD, NEW}
    with pytest.raises(Fatal, match="lacks a column"):
        Worker(refusal=Fatal("history.parquet lacks a column")).states.step()


def test_the_worker_stops_with_a_live_state_or_the_only_one(filling: Worker) -> None:
    filling.of(DEFINITION).failure = Fatal("the topic was deleted")
    with pytest.raises(Fatal, match="topic was deleted"):
        filling.states.step()
    alone = Worker(lacking=1_000)
    alone.states.step()
    alone.of(DEFINITION).failure = Fatal("the topic was deleted")
    with pytest.raises(Fatal, match="topic was deleted"):
        alone.states.step()


def test_a_live_state_that_nobody_needs_stops_nothing(worker: Worker) -> None:
    worker.states.want([LONGER])
    worker.states.step()
    worker.of(DEFINITION).failure = Fatal("offset 5 was deleted")
    worker.states.step()
    assert {state for state, *_ in worker.turns()} == {NEW}
    worker.clock.ms += RETRY_MS
    worker.states.step()
    assert len(worker.begun) == 2


def test_everything_is_closed_whatever_closing_raises(filling: Worker) -> None:
    filling.of(LONGER).failure = Fatal("cannot leave the group")
    with pytest.raises(Fatal, match="cannot leave"):
        filling.states.close()
    assert filling.of(DEFINITION).closed
    assert filling.of(LONGER).closed


# -------------------------------------------------------------------------------- real materializers


@dataclass
class OneTopic:
    """The rows of a definition without labels."""

    made: Materializing

    @property
    def records_waiting(self) -> int | None:
        lags = self.made.source.lag()
        return sum(lag.records for lag in lags.values()) if lags else None

    def step(self, events_max: int, wait_ms: int) -> int:
        return self.made.worker.step(events_max, wait_ms)

    def close(self) -> None:
        self.made.source.close()


def test_a_new_state_is_filled_from_the_start_while_the_other_stays_live(one: Bench) -> None:
    benches = {SHORT.fingerprints.state: beside(one, SHORT), LONG.fingerprints.state: beside(one, LONG)}
    notices: list[str] = []

    def begin(definition: Definition, _: bool) -> OneTopic:
        state = definition.fingerprints.state
        return OneTopic(benches[state].materializer(group=f"visits.materialize.{state}"))

    states = States([SHORT], begin, AT_ONCE, 0, one.clock, lambda event, **_: notices.append(event))
    one.produce_some(200)
    for _ in range(30):
        states.step()
    short = benches[SHORT.fingerprints.state]
    states.want([LONG, SHORT])
    for _ in range(40):
        one.produce_some(3)
        states.step()
        assert short.materialized() == one.log_end(), "it stays live"
    assert notices == ["state_begun", "state_is_live"] * 2
    for _ in range(5):
        states.step()
    for made in benches.values():
        assert made.rows() == made.wanted_rows()
        made.close()
    states.close()
