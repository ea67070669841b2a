"""The open loop: when events are due."""

from hypothesis import given
from hypothesis import strategies as st

from stream.demo.pace import Pace


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_without_a_speed_everything_is_always_due() -> None:
    assert Pace.begin(None, Clock()).due(1_000) == 1_000


def test_events_are_due_at_their_speed_and_the_first_at_once() -> None:
    clock = Clock()
    pace = Pace.begin(100.0, clock)
    assert pace.due(1_000) == 1
    clock.now_s += 0.5
    assert pace.due(1_000) == 51
    clock.now_s += 100
    assert pace.due(1_000) == 1_000


def test_what_was_not_sent_in_time_stays_due() -> None:
    clock = Clock()
    pace = Pace.begin(10.0, clock)
    clock.now_s += 60
    assert pace.due(10_000) == 601


def test_a_pace_may_begin_in_the_middle() -> None:
    clock = Clock()
    pace = Pace(10.0, clock, clock(), row=500)
    clock.now_s += 1
    assert pace.due(10_000) == 511


@given(st.floats(1, 1e6), st.lists(st.floats(0, 10), max_size=20))
def test_what_is_due_never_becomes_less(speed: float, rests: list[float]) -> None:
    clock = Clock()
    pace = Pace.begin(speed, clock)
    due = 0
    for rest in rests:
        clock.now_s += rest
        assert due <= pace.due(10**9)
        due = pace.due(10**9)
