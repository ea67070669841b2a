"""Batch sizing."""

from hypothesis import given
from hypothesis import strategies as st

from stream.engine.batch import BatchPolicy, next_size

policies = st.tuples(st.integers(1, 5000), st.integers(1, 5000)).map(lambda p: BatchPolicy(min(p), max(p)))


@given(policies, st.integers(1, 10_000), st.integers(0, 10_000), st.integers(0, 10**9))
def test_the_size_stays_within_its_bounds(
    policy: BatchPolicy, size: int, received: int, waiting: int
) -> None:
    assert policy.events_min <= next_size(size, received, waiting, policy) <= policy.events_max


@given(policies)
def test_a_lasting_backlog_leads_to_the_largest_batch_and_silence_to_the_smallest(
    policy: BatchPolicy,
) -> None:
    size = policy.events_min
    for _ in range(20):
        size = next_size(size, size, 10**9, policy)
    assert size == policy.events_max
    for _ in range(20):
        size = next_size(size, 0, 0, policy)
    assert size == policy.events_min


@given(policies, st.integers(1, 5000), st.integers(0, 5000))
def test_without_lag_a_batch_never_grows(policy: BatchPolicy, size: int, received: int) -> None:
    size = max(policy.events_min, min(size, policy.events_max))
    assert next_size(size, min(received, size), 0, policy) <= size
