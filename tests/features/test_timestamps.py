"""Event times as they are written."""

import re
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.timestamps import INVALID, PATTERN, TIME_END_MS, iso8601_times, numeric_times

_FIRST = datetime(1970, 1, 2)  # noqa: DTZ001  naive on purpose: the zone is drawn apart from it
_LAST = datetime(9999, 12, 30)  # noqa: DTZ001  as above


def _one(text: str, zone: str = "UTC") -> int:
    return int(iso8601_times([text], zone)[0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2018-08-08T10:25:54Z", "2018-08-08T10:25:54+00:00"),
        ("2018-08-08 10:25:54", "2018-08-08T10:25:54+00:00"),
        ("2018-08-08T10:25", "2018-08-08T10:25:00+00:00"),
        ("2018-08-08T10:25+02", "2018-08-08T08:25:00+00:00"),
        ("2018-08-08T10:25:54.1+0530", "2018-08-08T04:55:54.100+00:00"),
        ("2018-08-08T10:25:54,12-05:30", "2018-08-08T15:55:54.120+00:00"),
        ("2018-08-08T10:25:54.1239999Z", "2018-08-08T10:25:54.123+00:00"),
        ("2020-02-29T23:59:59.999999999Z", "2020-02-29T23:59:59.999+00:00"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00+00:00"),
        ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999+00:00"),
    ],
)
def test_date_times_are_read_with_and_without_seconds_fraction_and_zone(text: str, expected: str) -> None:
    assert _one(text) == round(datetime.fromisoformat(expected).timestamp() * 1000)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2018-08-08",
        "2018-08-08T10",
        "20180808T102554Z",
        "2018-W32-3T10:25:54Z",
        "2018-08-08t10:25:54z",
        "2018-08-08T10:25:54 Z",
        "2018-08-08T10:25:54.Z",
        "2018-08-08T10:25:54.1234567890Z",
        "2018-08-08T10:25:54+2",
        "2018-08-08T10:25:54+24:00",
        "2018-08-08T10:25:54+01:60",
        "2018-02-29T00:00:00Z",
        "2018-13-01T00:00:00Z",
        "2018-00-01T00:00:00Z",
        "2018-01-00T00:00:00Z",
        "2018-01-01T24:00:00Z",
        "2018-01-01T00:60:00Z",
        "2016-12-31T23:59:60Z",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "\uff12\uff10\uff11\uff18-08-08T10:25:54Z",
        "2018-08-08T10:25:54Z\n",
        "1534500000",
        "now",
    ],
)
def test_what_is_no_date_time_of_these_years_is_invalid(text: str) -> None:
    assert _one(text) == INVALID


def test_a_time_without_a_zone_is_local_and_daylight_saving_counts() -> None:
    assert _one("2024-01-01T12:00:00", "Europe/Paris") == _one("2024-01-01T11:00:00Z")
    assert _one("2024-07-01T12:00:00", "Europe/Paris") == _one("2024-07-01T10:00:00Z")
    assert _one("2024-07-01T12:00:00Z", "Europe/Paris") == _one("2024-07-01T12:00:00Z")


def test_of_an_hour_that_occurs_twice_the_first_is_meant_and_a_skipped_one_counts_on() -> None:
    assert _one("2024-10-27T02:30:00", "Europe/Paris") == _one("2024-10-27T00:30:00Z")
    assert _one("2024-03-31T02:30:00", "Europe/Paris") == _one("2024-03-31T01:30:00Z")


_OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(_FIRST, _LAST), st.one_of(st.none(), _OFFSETS), st.sampled_from(["auto", "milliseconds"]))
def test_what_python_writes_is_read_back_truncated_to_milliseconds(
    moment: datetime, zone: timezone | None, precision: str
) -> None:
    aware = moment.replace(tzinfo=zone)
    expected = (aware.replace(tzinfo=zone or UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
        milliseconds=1
    )
    assert _one(aware.isoformat(timespec=precision)) == expected


@given(
    st.lists(st.datetimes(_FIRST, _LAST), max_size=5), st.sampled_from(["America/New_York", "Asia/Kathmandu"])
)
def test_local_times_are_what_the_time_zone_database_says(moments: list[datetime], zone: str) -> None:
    expected = [
        (m.replace(tzinfo=ZoneInfo(zone)) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
        for m in moments
    ]
    assert iso8601_times([m.isoformat(timespec="microseconds") for m in moments], zone).tolist() == expected


_NEARLY = st.one_of(
    st.from_regex(re.compile(rf"\A(?:{PATTERN})\Z")),
    st.datetimes(_FIRST, _LAST).map(lambda m: m.isoformat() + "Z"),
    st.datetimes(_FIRST, _LAST).map(lambda m: m.isoformat(timespec="milliseconds")),
    st.sampled_from(
        ["2018-02-30T00:00:00Z", "2018-08-08T10:25:54Z", "2018-08-08T10:25:5éZ", "2018-08-08X10:25:54Z"]
    ),
    st.text(max_size=30),
)


@given(st.lists(_NEARLY, max_size=8))
def test_a_column_of_times_equals_its_texts_one_by_one(texts: list[str]) -> None:
    assert iso8601_times(texts, "Europe/Paris").tolist() == [_one(text, "Europe/Paris") for text in texts]


def test_numbers_are_read_in_their_unit_and_cut_to_milliseconds() -> None:
    assert numeric_times([0.0, 1.001, 1_534_500_000.1239, None], "s").tolist() == [
        0,
        1001,
        1_534_500_000_123,
        -1,
    ]
    assert numeric_times([0.0, 1.9, 1_534_500_000_123.0], "ms").tolist() == [0, 1, 1_534_500_000_123]
    assert numeric_times([0, 1999, 1_534_500_000_123_999, None], "us").tolist() == [
        0,
        1,
        1_534_500_000_123,
        -1,
    ]


@given(st.integers(0, TIME_END_MS - 1))
def test_every_millisecond_survives_being_written_in_seconds(time_ms: int) -> None:
    assert numeric_times([time_ms / 1000], "s").tolist() == [time_ms]


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
def test_numbers_outside_the_years_are_invalid(unit: str) -> None:
    scale = {"s": 1, "ms": 1000, "us": 1_000_000}[unit]
    outside = [-1, TIME_END_MS // 1000 * scale, 2**62]
    assert numeric_times(outside, unit).tolist() == [INVALID] * 3  # type: ignore[arg-type]  # of a parameter


def test_no_texts_are_no_times() -> None:
    assert iso8601_times([], "UTC").shape == (0,)
    assert numeric_times([], "us").dtype == np.int64
