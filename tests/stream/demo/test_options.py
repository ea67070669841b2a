"""What is asked of the demo, and how it says that it cannot be done."""

from datetime import date
from pathlib import Path

import pytest

from stream.demo.options import (
    FAULTS,
    DemoError,
    DemoOptions,
    check,
    parse_day,
    parse_fault,
    parse_speed,
)


@pytest.mark.parametrize(("text", "speed"), [("max", None), ("MAX", None), ("1500", 1500.0), ("0.5", 0.5)])
def test_a_speed_is_events_per_second_or_max(text: str, speed: float | None) -> None:
    assert parse_speed(text) == speed


@pytest.mark.parametrize("text", ["", "fast", "0", "-3", "inf", "nan"])
def test_what_is_no_speed_is_refused(text: str) -> None:
    with pytest.raises(DemoError, match="not a rate"):
        parse_speed(text)


def test_days_are_iso_dates() -> None:
    assert parse_day("--score-from", "2018-08-08") == date(2018, 8, 8)
    assert parse_day("--score-from", None) is None
    with pytest.raises(DemoError, match=r"--score-from 8\.8\.2018: not a date"):
        parse_day("--score-from", "8.8.2018")


def test_faults_are_those_there_are() -> None:
    assert [parse_fault(name) for name in FAULTS] == list(FAULTS)
    assert parse_fault(None) is None
    with pytest.raises(DemoError, match="redis, model, poison"):
        parse_fault("kafka")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (DemoOptions(score_from=date(2018, 8, 8)), "give --transactions FILE too"),
        (DemoOptions(fault="redis", redis="redis://db"), "not ours to kill"),
        (
            DemoOptions(transactions=Path("f"), train_from=date(2018, 8, 8), train_to=date(2018, 8, 8)),
            "--train-to 2018-08-08 is not after --train-from 2018-08-08",
        ),
        (DemoOptions(summary=Path(__file__).parent), "is a directory"),
        (DemoOptions(predictions=Path(__file__) / "p.parquet"), "no directory that can be written to"),
    ],
)
def test_options_that_cannot_be_met_are_refused_before_anything_starts(
    options: DemoOptions, words: str
) -> None:
    with pytest.raises(DemoError, match=words):
        check(options)


def test_files_in_folders_that_are_not_there_yet_are_fine(tmp_path: Path) -> None:
    check(DemoOptions(summary=tmp_path / "new" / "summary.json"))
