"""What benchmarks make of what was sent and read: a figure that is computed wrongly is worse than none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.latency_report import Turn, figures, own_ms, quantile, report, warmed
from benchmarks.openloop import Outcome, Read, Sent, outcome
from benchmarks.score_runs import slope_mb_per_million
from benchmarks.swap import judge

SECOND = 1_000_000_000
MS = 1_000_000


def sent(count: int, rate: int = 1_000) -> Sent:
    return Sent(np.arange(count) + 100, np.arange(count) * (SECOND // rate), np.zeros(count, np.int64))


def read(ids: list[int], at_ns: list[int], version: str = "") -> Read:
    return Read(np.array(ids, np.int64), np.array(at_ns, np.int64), 0, [version] * len(ids))


@given(st.lists(st.integers(0, 30), max_size=80), st.integers(1, 20))
def test_every_event_is_answered_lost_or_doubled(read_rows: list[int], count: int) -> None:
    found = outcome(sent(count), read([row + 100 for row in read_rows], [5 * SECOND] * len(read_rows)))
    known = [row for row in read_rows if row < count]
    assert found.lost == count - len(set(known))
    assert found.doubled == len(known) - len(set(known))
    assert int(np.isnan(found.latency_ms).sum()) == found.lost


def test_latency_counts_from_when_an_event_was_due_to_its_first_output() -> None:
    found = outcome(sent(3), read([102, 100, 100, 101], [12 * MS, 3 * MS, 9 * MS, 6 * MS]))
    assert found.latency_ms.tolist() == [3.0, 5.0, 10.0]
    assert found.doubled == 1


def test_the_start_of_a_slot_does_not_count() -> None:
    assert warmed(sent(4_000).due_ns).sum() == 3_000
    assert warmed(sent(1_000).due_ns).sum() == pytest.approx(750, abs=1)


def test_a_quantile_is_a_value_that_was_measured() -> None:
    assert quantile(np.arange(1.0, 101.0), 0.99) == 99.0
    assert np.isnan(quantile(np.empty(0), 0.99))


def test_a_ratio_is_that_of_the_medians_over_turns() -> None:
    def turn(name: str, p99_ms: float) -> Turn:
        latency_ms = np.full(100, p99_ms)
        return Turn(
            name, 1_000, latency_ms, 0, 0, 1.0, 1.0, 0.0, np.array([0.5]), np.array([1]), np.array([0.2])
        )

    turns = [turn("bare", each) for each in (4.0, 5.0, 90.0)] + [
        turn("ours", each) for each in (6.0, 5.5, 80.0)
    ]
    found = report(turns, "bare", "ours")["ratios"]
    assert found == {"p99_to_passthrough_1000": 1.2, "own_p99_ms": 0.5}


def test_own_time_counts_once_for_each_event_of_a_batch() -> None:
    load = sent(4_000)
    turn = figures("ours", 1_000, outcome(load, read([], [])), load)
    late = 2 * SECOND
    clock = np.array([[late, late + MS, 9, MS], [late, late + 5 * MS, 1, 2 * MS], [0, 7 * MS, 50, MS]])
    found = own_ms(turn, clock, load)
    assert sorted(found.own_ms) == [1.0] * 9 + [5.0]
    assert found.batches.tolist() == [9, 1]
    assert found.batch_cpu_ms.tolist() == [1.0, 2.0]


def test_a_swap_is_judged_by_as_much_time_before_as_around() -> None:
    due_ns = np.arange(8_000) * MS
    deployed, first = 4 * SECOND, 4 * SECOND + 500 * MS
    versions = ["old" if due < first else "new" for due in due_ns.tolist()]
    latency_ms = np.where((due_ns >= deployed) & (due_ns < deployed + 600 * MS), 9.0, 3.0)
    latency_ms[:2_000] = 50.0
    found = judge(Outcome(due_ns, latency_ms, 0, 0, 8_000, versions), deployed, "new")
    assert (found.before_p99_ms, found.around_p99_ms, found.taken_s) == (3.0, 9.0, 0.5)


def test_a_swap_that_never_took_place_is_no_figure() -> None:
    found = Outcome(np.arange(10), np.ones(10), 0, 0, 10, ["old"] * 10)
    with pytest.raises(SystemExit, match="never answered"):
        judge(found, 0, "new")


def test_memory_is_fitted_once_it_has_reached_its_level() -> None:
    samples = [(at * 100_000, 200.0 + (50.0 if at > 1 else 0.0) + 0.2 * at) for at in range(1, 11)]
    assert slope_mb_per_million(samples) == pytest.approx(2.0)
