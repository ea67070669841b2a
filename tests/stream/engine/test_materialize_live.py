"""When a materialize worker is live: it makes progress, or waits for somebody else, or has nothing to do."""

import threading
from dataclasses import dataclass

import pytest

from stream.engine.states import States
from stream.workers.materialize import watch_over
from stream.workers.runtime import Vitals
from tests.stream.engine.bench import VISITS
from tests.stream.engine.workers import Clock

STALL_MS = 5_000


@dataclass
class Turn:
    """Rows that have one turn, which takes longer than a stall may."""

    clock: Clock
    stop: threading.Event
    passes: int = 0
    records_waiting: int | None = 5
    is_held_up: bool = False
    silent_s: float = 0.0
    reachable: bool = True
    assigned: bool = True

    def step(self, events_max: int, wait_ms: int) -> int:
        self.clock.ms += STALL_MS + 1
        self.stop.set()
        return self.passes

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("turn", "is_live"),
    [
        pytest.param({}, False, id="silent while there is lag"),
        pytest.param({"passes": 1}, True, id="progress"),
        pytest.param({"records_waiting": 0}, True, id="nothing to do"),
        pytest.param({"passes": 1, "silent_s": STALL_MS / 1000 + 1}, False, id="one partition is silent"),
        pytest.param({"is_held_up": True}, True, id="the store or a broker is away"),
    ],
)
def test_live_is_who_makes_progress_or_has_a_reason_not_to(turn: dict[str, float], is_live: bool) -> None:
    clock, stop = Clock(), threading.Event()
    rows = Turn(clock, stop, **turn)  # type: ignore[arg-type]  # a bool is an int
    states = States([VISITS], lambda _, __: rows, 10, 0, clock, lambda *_, **__: None)
    vitals = Vitals(STALL_MS, clock)
    watch_over(states, vitals, stop)  # type: ignore[arg-type]  # all that it asks of rows
    assert vitals.is_stalled() != is_live
