"""What a soak run says of its samples."""

import math
from collections.abc import Callable

import pytest

from tests.soak import report
from tests.soak.watch import Sample, quantile_ms

WARM_S, END_S = 240.0, 1_200.0


def sampled(mb_at: Callable[[float], float], fds_at: Callable[[float], int] = lambda _: 30) -> list[Sample]:
    """Every five seconds for twenty minutes, under a thousand events a second."""
    moments = [5.0 * at for at in range(int(END_S / 5))]
    latency: dict[str, float | None] = {"p50": 20.0, "p95": 50.0, "p99": None}
    return [
        Sample(s, int(1_000 * s), mb_at(s) + 30, mb_at(s), fds_at(s), 20, lag=7, latency_ms=latency)
        for s in moments
    ]


def wavering(s: float) -> float:
    """What garbage and batches do within a minute, MB."""
    return 100 + (s * 7 % 60) / 30


def said_of(samples: list[Sample]) -> list[str]:
    return report.failures("score", report.summary(samples, WARM_S))


def test_memory_that_comes_back_to_where_it_was_is_flat() -> None:
    found = report.summary(sampled(wavering), WARM_S)
    assert found["rss_mb"]["verdict"] == found["own_mb"]["verdict"] == "flat"
    assert report.failures("score", found) == []


def test_a_step_in_the_warm_up_and_peaks_after_it_are_no_growth() -> None:
    assert said_of(sampled(lambda s: wavering(s) - 40 * (s < WARM_S - 20) + 60 * (s % 180 < 30))) == []


def test_eight_bytes_an_event_are_growth() -> None:
    samples = sampled(lambda s: wavering(s) + 8 * 1_000 * s / 2**20)
    (failure,) = said_of(samples)
    assert failure.startswith("memory of score grows: between ")
    grown = report.summary(samples, WARM_S)["own_mb"]["bytes_per_event"]
    assert grown["low"] <= 8 <= grown["high"]
    assert grown["value"] == pytest.approx(8, abs=0.5)


def test_too_short_a_run_shows_nothing() -> None:
    (failure,) = said_of([s for s in sampled(wavering) if s.at_s < WARM_S + 300])
    assert failure.startswith("memory of score is not shown to be flat")
    (failure,) = report.failures("score", report.summary(sampled(wavering), math.inf))
    assert "A longer run tells" in failure


def test_descriptors_that_never_come_back_are_growth() -> None:
    assert said_of(sampled(wavering, lambda s: 30 + int(s // 200))) == ["fds of score grew"]


def test_a_line_has_where_the_minute_ended_and_its_median_latency() -> None:
    told = report.line("score", sampled(lambda _: 100)[:13])
    assert told.split() == ["1.0", "score", "60,000", "7", "130.0", "100.0", "30", "20", "20", "-"]
    assert len(told) == len(report.HEADING)


def test_a_quantile_is_the_bound_of_the_bucket_that_holds_it() -> None:
    buckets = {0.01: 50.0, 0.1: 95.0, math.inf: 100.0}
    assert [quantile_ms(buckets, q) for q in (0.5, 0.95, 0.99)] == [10.0, 100.0, None]
    assert quantile_ms({}, 0.5) is None
