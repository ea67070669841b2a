import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stream.engine.breaker import Breaker, BreakerPolicy, BreakerState, Outcome, begin_try, may_try, next_step

POLICY = BreakerPolicy(failures_max=3, rest_ms=1_000)


def after(outcomes: list[Outcome], now_ms: int = 0, policy: BreakerPolicy = POLICY) -> Breaker:
    breaker = Breaker()
    for outcome in outcomes:
        breaker = next_step(breaker, outcome, now_ms, policy)
    return breaker


def opened(now_ms: int = 0) -> Breaker:
    return after([Outcome.FAILURE] * POLICY.failures_max, now_ms)


@pytest.mark.parametrize(("failures_max", "rest_ms"), [(0, 1), (1, 0), (-1, 1_000)])
def test_a_policy_that_could_never_work_is_refused(failures_max: int, rest_ms: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        BreakerPolicy(failures_max, rest_ms)


def test_a_new_breaker_lets_calls_through() -> None:
    assert may_try(Breaker(), 0)


@given(st.lists(st.sampled_from(Outcome), max_size=30), st.integers(1, 5))
def test_it_opens_at_the_first_run_of_failures_max_and_not_before(
    outcomes: list[Outcome], failures_max: int
) -> None:
    policy = BreakerPolicy(failures_max, rest_ms=10)
    text = "".join("F" if outcome is Outcome.FAILURE else "." for outcome in outcomes)
    has_run = "F" * failures_max in text
    assert (after(outcomes, policy=policy).state is BreakerState.OPEN) == has_run


def test_an_open_breaker_rests_for_its_whole_time() -> None:
    breaker = opened(now_ms=5_000)
    assert not may_try(breaker, 5_000)
    assert not may_try(breaker, 5_999)
    assert may_try(breaker, 6_000)


def test_half_open_lets_exactly_one_probe_through() -> None:
    probing = begin_try(opened(), 1_000, POLICY)
    assert probing.state is BreakerState.HALF_OPEN
    assert not may_try(probing, 1_000)
    assert not may_try(probing, 1_999)


def test_a_probe_that_never_reports_gives_way_to_another() -> None:
    probing = begin_try(opened(), 1_000, POLICY)
    assert may_try(probing, 2_000)
    assert not may_try(begin_try(probing, 2_000, POLICY), 2_000)


def test_a_probe_that_succeeds_closes() -> None:
    assert next_step(begin_try(opened(), 1_000, POLICY), Outcome.SUCCESS, 1_010, POLICY) == Breaker()


def test_a_probe_that_fails_opens_for_another_rest() -> None:
    again = next_step(begin_try(opened(), 1_000, POLICY), Outcome.FAILURE, 1_500, POLICY)
    assert again.state is BreakerState.OPEN
    assert not may_try(again, 2_499)
    assert may_try(again, 2_500)


@given(st.sampled_from(Outcome), st.integers(0, 10_000))
def test_calls_from_before_it_opened_change_nothing(outcome: Outcome, now_ms: int) -> None:
    assert next_step(opened(), outcome, now_ms, POLICY) == opened()


def test_beginning_without_leave_is_a_bug_and_shows() -> None:
    with pytest.raises(AssertionError):
        begin_try(opened(), 0, POLICY)


class CallsThroughABreaker(RuleBasedStateMachine):
    """A caller with any number of calls under way, a clock, and a store that comes and goes."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker()
        self.now_ms = 0
        self.under_way = 0
        self.probe_began_ms: int | None = None

    @rule(ms=st.integers(1, 1_500))
    def time_passes(self, ms: int) -> None:
        self.now_ms += ms

    @rule()
    def try_to_call(self) -> None:
        if not may_try(self.breaker, self.now_ms):
            return
        was_closed = self.breaker.state is BreakerState.CLOSED
        self.breaker = begin_try(self.breaker, self.now_ms, POLICY)
        self.under_way += 1
        if not was_closed:
            if self.probe_began_ms is not None:
                assert self.now_ms - self.probe_began_ms >= POLICY.rest_ms, "two probes within one rest"
            self.probe_began_ms = self.now_ms

    @precondition(lambda self: self.under_way > 0)
    @rule(outcome=st.sampled_from(Outcome))
    def a_call_ends(self, outcome: Outcome) -> None:
        self.under_way -= 1
        self.breaker = next_step(self.breaker, outcome, self.now_ms, POLICY)
        if self.breaker.state is BreakerState.CLOSED:
            self.probe_began_ms = None

    @invariant()
    def it_never_stays_shut_for_longer_than_a_rest(self) -> None:
        assert may_try(self.breaker, self.now_ms + POLICY.rest_ms)

    @invariant()
    def failures_are_bounded(self) -> None:
        assert 0 <= self.breaker.failures <= POLICY.failures_max


TestCallsThroughABreaker = CallsThroughABreaker.TestCase
