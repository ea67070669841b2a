"""Ratios of interleaved rounds, over runs that were never run."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.measuring import Run
from benchmarks.ratios import ANCHOR, Round, compare, compare_with_peers, runs_of, spread

POSITIVE = st.floats(0.01, 100.0)


def run(rate: float, cpu_us: float = 1.0) -> Run:
    """So many events a second at so many microseconds of CPU each."""
    return Run(events=1_000_000, seconds=1_000_000 / rate, cpu_seconds=cpu_us, rss_peak_mb=1.0)


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    # The ratio of the medians would be 20 / 10.
    rates = [(10.0, 10.0), (20.0, 5.0), (30.0, 10.0)]
    rounds: list[Round] = [[("a", run(a)), ("b", run(b))] for a, b in rates]
    found = compare(rounds, "a", "b")
    assert found is not None
    assert found.events_per_s == pytest.approx(3.0)
    assert found.rounds == pytest.approx([1.0, 4.0, 3.0])


def test_the_ratio_of_cpu_time_says_how_much_less_it_takes() -> None:
    found = compare([[("a", run(10.0, cpu_us=2.0)), ("b", run(10.0, cpu_us=6.0))]], "a", "b")
    assert found is not None
    assert found.cpu == pytest.approx(3.0)


def test_a_round_without_one_side_does_not_count() -> None:
    rounds: list[Round] = [[("a", run(1.0)), ("b", run(1.0))], [("a", run(9.0))], [("b", run(9.0))]]
    found = compare(rounds, "a", "b")
    assert found is not None
    assert found.rounds == [1.0]
    assert compare(rounds, "a", "c") is None
    assert compare([], "a", "b") is None


def test_who_is_compared_with_the_anchor_is_compared_with_its_neighbours() -> None:
    sequence: Round = [
        (ANCHOR, run(999.0)),
        ("x", run(1.0)),
        (ANCHOR, run(100.0)),
        ("a", run(50.0)),
        (ANCHOR, run(25.0)),
        ("y", run(1.0)),
        (ANCHOR, run(999.0)),
    ]
    found = compare([sequence], "a", ANCHOR)
    assert found is not None
    assert found.events_per_s == pytest.approx(50.0 / 40.0)  # of 100 and 25 the harmonic mean


def test_at_the_edge_the_only_neighbour_counts() -> None:
    found = compare(
        [[("a", run(10.0)), (ANCHOR, run(20.0)), ("b", run(1.0)), (ANCHOR, run(1.0))]], "a", ANCHOR
    )
    assert found is not None
    assert found.events_per_s == pytest.approx(0.5)


@given(st.lists(st.tuples(POSITIVE, POSITIVE), min_size=1, max_size=9), st.floats(0.1, 10.0))
def test_a_machine_that_is_slow_for_both_changes_no_ratio(
    rates: Sequence[tuple[float, float]], slow: float
) -> None:
    def rounds(factor: float) -> list[Round]:
        return [
            [("a", run(a * factor**at)), (ANCHOR, run(b * factor**at))] for at, (a, b) in enumerate(rates)
        ]

    steady, wandering = compare(rounds(1.0), "a", ANCHOR), compare(rounds(slow), "a", ANCHOR)
    assert steady is not None
    assert wandering is not None
    assert math.isclose(steady.events_per_s, wandering.events_per_s, rel_tol=1e-9)


@given(st.lists(st.tuples(POSITIVE, POSITIVE), min_size=1, max_size=9, unique=True))
def test_turned_around_a_ratio_of_an_odd_number_of_rounds_is_its_inverse(
    rates: Sequence[tuple[float, float]],
) -> None:
    rates = rates[: len(rates) - 1 + len(rates) % 2] or rates[:1]
    rounds: list[Round] = [[("a", run(a)), ("b", run(b))] for a, b in rates]
    there, back = compare(rounds, "a", "b"), compare(rounds, "b", "a")
    assert there is not None
    assert back is not None
    assert math.isclose(there.events_per_s * back.events_per_s, 1.0, rel_tol=1e-9)


PEERS = {"slow": ["slow_ordinary", "slow_best"], "fast": ["fast_best"], "absent": ["absent_best"]}
RACE: Round = [
    ("a", run(100.0, cpu_us=1.0)),
    ("slow_ordinary", run(2.0, cpu_us=50.0)),
    ("slow_best", run(5.0, cpu_us=20.0)),
    ("fast_best", run(50.0, cpu_us=4.0)),
]


def test_each_peer_counts_by_its_best_idiom() -> None:
    best = compare_with_peers([RACE], "a", PEERS, lambda _: 0)
    last = compare_with_peers([RACE], "a", PEERS, lambda count: count - 1)
    assert best is not None
    assert last is not None
    assert best.of == ("a", "fast_best")
    assert (best.events_per_s, best.cpu) == pytest.approx((2.0, 4.0))
    assert last.of == ("a", "slow_best")
    assert last.events_per_s == pytest.approx(20.0)


def test_without_peers_there_is_no_ratio_to_them() -> None:
    assert compare_with_peers([RACE], "a", {"absent": ["absent_best"]}, lambda _: 0) is None


def test_a_run_is_found_in_every_round() -> None:
    assert [one.events_per_s for one in runs_of([RACE, RACE], "fast_best")] == pytest.approx([50.0, 50.0])


@given(st.lists(POSITIVE, min_size=1, max_size=20))
def test_the_spread_lies_within_the_values(values: Sequence[float]) -> None:
    low, high = spread(values)
    assert min(values) <= low <= high <= max(values)
