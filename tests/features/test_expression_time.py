"""EXTRACT and timestamp literals, against Python's own calendar."""

import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from features.expression import ExpressionError, compile_expression

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EXPECTED = {
    "isodow": lambda t: t.isoweekday(),
    "dow": lambda t: t.isoweekday() % 7,
    "hour": lambda t: t.hour,
    "minute": lambda t: t.minute,
    "second": lambda t: t.second + t.microsecond / 1e6,
    "day": lambda t: t.day,
    "month": lambda t: t.month,
    "year": lambda t: t.year,
    "doy": lambda t: t.timetuple().tm_yday,
    "week": lambda t: t.isocalendar().week,
}


def ms(moment: datetime) -> float:
    return float((moment - EPOCH) // timedelta(milliseconds=1))


def moments() -> list[datetime]:
    """Turns of years, leap days, times before 1970, and every half hour of days on which clocks change."""
    ends = [datetime(year, 12, 28, 13, 5, 59, 250_000, tzinfo=UTC) for year in range(1960, 2032)]
    around_new_year = [end + timedelta(days=day) for end in ends for day in range(8)]
    leap = [datetime(year, 2, 28, 23, 59, 59, 999_000, tzinfo=UTC) for year in (1900, 1968, 2000, 2024)]
    changes = [
        datetime(2018, 3, 24, tzinfo=UTC),
        datetime(2018, 10, 6, tzinfo=UTC),
        datetime(2018, 10, 27, tzinfo=UTC),
    ]
    halves = [day + timedelta(minutes=30 * i) for day in changes for i in range(100)]
    return [*around_new_year, *leap, *(day + timedelta(hours=24) for day in leap), *halves]


@pytest.mark.parametrize(
    "zone", ["UTC", "Europe/Paris", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns"]
)
@pytest.mark.parametrize("part", EXPECTED)
def test_extract_agrees_with_the_calendar(part: str, zone: str) -> None:
    times = moments()
    expression = compile_expression(f"EXTRACT({part} FROM t)", {"t": "timestamp"}, zone)
    found = expression.evaluate({"t": np.array([ms(t) for t in times])}, len(times))
    local = [t.astimezone(ZoneInfo(zone)) for t in times]
    assert found.tolist() == [EXPECTED[part](t) for t in local]


def test_an_offset_that_changes_within_an_hour_is_right_on_both_sides() -> None:
    zone = ZoneInfo("Africa/Monrovia")  # 1972-01-07 00:44:30 UTC: from -0:44:30 to 0
    change = datetime(1972, 1, 7, 0, 44, 30, tzinfo=UTC)
    times = [change + timedelta(seconds=s) for s in (-2000, -1, 0, 1, 900)]
    expression = compile_expression(
        "EXTRACT(minute FROM t) * 60 + EXTRACT(second FROM t)", {"t": "timestamp"}, zone.key
    )
    local = [t.astimezone(zone) for t in times]
    found = expression.evaluate({"t": np.array([ms(t) for t in times])}, len(times))
    assert found.tolist() == [t.minute * 60 + t.second for t in local]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Paris"])
def test_a_time_that_is_null_or_beyond_the_calendar_has_no_parts(zone: str) -> None:
    times = np.array([math.nan, 1e18, -1e18, 253402300799999.0, -62135596800000.0])
    expression = compile_expression("EXTRACT(month FROM t)", {"t": "timestamp"}, zone)
    found = expression.evaluate({"t": times}, 5)
    assert np.isnan(found[:3]).all()
    assert not np.isnan(found[3:]).any()


def test_epoch_is_seconds_in_any_zone() -> None:
    expression = compile_expression("EXTRACT(epoch FROM t)", {"t": "timestamp"}, "Asia/Kolkata")
    assert expression.evaluate({"t": np.array([1500.0])}, 1).tolist() == [1.5]


@pytest.mark.parametrize(
    ("literal", "zone", "expected"),
    [
        ("2018-04-01", "UTC", datetime(2018, 4, 1, tzinfo=UTC)),
        ("2018-04-01 12:30", "UTC", datetime(2018, 4, 1, 12, 30, tzinfo=UTC)),
        ("2018-04-01T12:30:15.250", "UTC", datetime(2018, 4, 1, 12, 30, 15, 250_000, tzinfo=UTC)),
        ("2018-04-01 12:30:00", "Europe/Paris", datetime(2018, 4, 1, 10, 30, tzinfo=UTC)),
        ("2018-04-01 12:30:00Z", "Europe/Paris", datetime(2018, 4, 1, 12, 30, tzinfo=UTC)),
        ("2018-04-01 12:30:00 +05:30", "Europe/Paris", datetime(2018, 4, 1, 7, 0, tzinfo=UTC)),
    ],
)
def test_a_timestamp_literal_is_local_unless_it_names_its_zone(
    literal: str, zone: str, expected: datetime
) -> None:
    expression = compile_expression(f"TIMESTAMP '{literal}'", {}, zone)
    assert expression.type == "timestamp"
    assert expression.evaluate({}, 1).tolist() == [ms(expected)]


@pytest.mark.parametrize(
    "literal", ["", "now", "2018", "2018-13-01", "2018-04-01 25:00", "2018-04-01 12:30 Paris"]
)
def test_a_timestamp_literal_that_is_none_is_refused(literal: str) -> None:
    with pytest.raises(ExpressionError, match="not a timestamp"):
        compile_expression(f"TIMESTAMP '{literal}'", {})


@pytest.mark.parametrize("zone", ["Nowhere/Atlantis", "", "../etc/passwd", "/etc/passwd", "Europe"])
def test_an_unknown_zone_is_refused(zone: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression("1", {}, zone)
    assert caught.value.problems[0].text == zone
    assert "time zone" in caught.value.problems[0].cause
