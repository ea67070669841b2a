"""Who takes part in which order, what is asked of outputs, and which ratios come of it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.contestants import LIMITS, OURS, PASSTHROUGH, Contestant, contestants
from benchmarks.measuring import Run
from benchmarks.outputs import WrongOutputs, alert_share, check_scores, check_undegraded
from benchmarks.ratios import ANCHOR, Round
from benchmarks.summary import PAIRS, TO_PEERS, ratios, summary
from benchmarks.throughput import pick, turn, with_beside
from features.arrays import Floats

BY_NAME = {one.name: one for one in [*LIMITS, *OURS]}
A, B = BY_NAME["plain_lightgbm"], BY_NAME["windows_lightgbm"]


def run(rate: float, cpu_us: float = 1.0) -> Run:
    return Run(1_000_000, 1_000_000 / rate, cpu_us, rss_peak_mb=1.0)


def peer(name: str, of: str) -> Contestant:
    return Contestant(name, "peer", "plain", lambda _, __: [], peer=of)


def test_contestants_are_picked_by_name_and_by_pattern_in_their_own_order() -> None:
    chosen, unknown = pick(
        list(BY_NAME.values()), ["windows_lightgbm", "plain_lightgbm", "p?ssthrough", "nobody"]
    )
    assert [one.name for one in chosen] == [ANCHOR, "plain_lightgbm", "windows_lightgbm"]
    assert unknown == ["nobody"]


def test_the_pass_through_runs_before_and_after_each_of_ours() -> None:
    assert turn([PASSTHROUGH, A, B], 0) == [PASSTHROUGH, A, PASSTHROUGH, B, PASSTHROUGH]
    assert turn([PASSTHROUGH, A, B], 1) == [PASSTHROUGH, B, PASSTHROUGH, A, PASSTHROUGH]
    assert turn([A, B], 1) == [B, A]


def test_a_round_without_ours_has_the_pass_through_once() -> None:
    limit, other = BY_NAME["mget"], peer("x_best", "x")
    assert turn([PASSTHROUGH, limit, other], 0) == [PASSTHROUGH, limit, other]
    assert turn([PASSTHROUGH, limit, A, other], 0) == [limit, PASSTHROUGH, A, PASSTHROUGH, other]


def test_another_checkout_takes_turns_with_ours_alone() -> None:
    tree = Path("/elsewhere")
    assert [one.name for one in with_beside([PASSTHROUGH, A], tree)] == [
        ANCHOR,
        "plain_lightgbm",
        "plain_lightgbm_beside",
    ]


def test_names_are_given_once_and_ratios_name_contestants_that_there_are() -> None:
    able, left_out = contestants()
    names = [one.name for one in able]
    assert len(names) == len(set(names))
    assert not set(names) & set(left_out)
    named = {name for pairs in PAIRS.values() for pair in pairs for name in pair}
    named |= {name for ours, _ in TO_PEERS.values() for name in ours}
    assert named <= set(BY_NAME)


def test_ratios_have_the_names_that_the_project_is_held_to() -> None:
    everyone = [
        *LIMITS,
        *OURS,
        peer("x_best", "x"),
        peer("y_best", "y"),
        peer("z_best", "z"),
        peer("z_ordinary", "z"),
    ]
    rates = {
        "plain": 40.0,
        "plain_eos": 38.0,
        "windows": 30.0,
        "plain_lightgbm": 25.0,
        "x_best": 10.0,
        "y_best": 2.0,
    }
    rates |= {"z_best": 1.0, "z_ordinary": 5.0, ANCHOR: 100.0}
    each: Round = [(one.name, run(rates.get(one.name, 1.0))) for one in everyone]
    found = ratios([each], everyone)["ratios"]
    assert isinstance(found, dict)
    assert found["plain_to_passthrough"] == pytest.approx(0.4)
    assert found["plain_lightgbm_to_passthrough"] == pytest.approx(0.25)
    assert found["eos_to_alo"] == pytest.approx(0.95)
    assert found["windows_to_best_peer"] == pytest.approx(3.0)
    assert found["windows_to_median_peer"] == pytest.approx(6.0)  # each peer by its best idiom: 10, 5 and 2
    assert found["plain_to_best_peer"] == pytest.approx(4.0)


def test_two_processes_are_a_cost() -> None:
    everyone = [BY_NAME["plain"], BY_NAME["plain_two"]]
    report = ratios([[("plain", run(10.0, cpu_us=5.0)), ("plain_two", run(10.0, cpu_us=5.5))]], everyone)
    assert report["ratios"] == report["cpu_ratios"] == {"cpu_two_to_one": 1.1}


def test_who_never_ran_is_in_no_report() -> None:
    assert ratios([[("plain", run(1.0))]], [A, B])["ratios"] == {}
    assert set(summary([[("plain_lightgbm", run(1.0))]], [A, B])) == {"plain_lightgbm"}


# -------------------------------------------------------------------------------------------------- outputs


def always(score: float) -> Callable[[Sequence[str]], Floats]:
    return lambda ids: np.full(len(ids), score)


def output(**changes: object) -> dict[str, object]:
    return {
        "event_id": "1",
        "score": 0.5,
        "source": "model",
        "degradations": [],
        "decision": "approve",
        **changes,
    }


def test_a_score_that_another_engine_rounds_differently_passes_and_a_wrong_one_does_not() -> None:
    check_scores([output(score=0.5 + 1e-8)], always(0.5))
    with pytest.raises(WrongOutputs, match=r"1 of 2 scores; of 2: 0\.6, not 0\.5"):
        check_scores([output(), output(event_id="2", score=0.6)], always(0.5))


def test_no_outputs_are_wrong_outputs() -> None:
    with pytest.raises(WrongOutputs, match="none"):
        check_scores([], always(0.5))
    with pytest.raises(WrongOutputs, match="none"):
        check_undegraded([])


@pytest.mark.parametrize("changes", [{"source": "rules"}, {"degradations": ["stale"]}])
def test_a_degraded_prediction_is_not_the_job(changes: dict[str, object]) -> None:
    check_undegraded([output()])
    with pytest.raises(WrongOutputs, match="1 of 2 are degraded"):
        check_undegraded([output(), output(**changes)])


def test_alerts_are_those_that_are_not_let_through() -> None:
    assert alert_share([output(), output(decision="review")]) == 0.5
