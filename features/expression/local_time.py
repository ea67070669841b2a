"""EXTRACT and timestamp literals, in a use case's time zone.

A timestamp is float64 milliseconds since the epoch, UTC. Outside the years 1 to 9999 every part is null.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TypeAlias
from zoneinfo import ZoneInfo

import numpy as np

from features.arrays import Floats, Ints

Part: TypeAlias = Callable[[Ints], Floats]
"""Local milliseconds since 1970-01-01 00:00 to a part of the date or time."""

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
FIRST_MS = -62135596800000  # 0001-01-01
END_MS = 253402300800000  # 10000-01-01
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OFFSETS_FROM_MS = FIRST_MS + 2 * DAY
OFFSETS_UNTIL_MS = END_MS - 2 * DAY
"""Between these, local time stays within Python's years."""

LITERAL = re.compile(
    r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d([.]\d{1,6})?)?\s?(Z|[+-]\d\d(:?\d\d)?)?)?", re.ASCII
)


class UnknownZone(ValueError):
    """No such time zone on this system."""


def time_zone(name: str) -> tzinfo:
    """The zone of an IANA name. UTC needs no time zone database."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # absolute or odd paths, a directory, no such key
        raise UnknownZone(name) from None


def _days(local: Ints) -> Ints:
    return np.floor_divide(local, DAY)


def _date(local: Ints, unit: str) -> Ints:
    """Years or months since 1970-01, by `unit` "Y" or "M"."""
    return local.astype("datetime64[ms]").astype(f"datetime64[{unit}]").astype(np.int64)


def _first_day(years: Ints) -> Ints:
    """Days from 1970-01-01 to January 1st of years since 1970."""
    return years.astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64)


def _weekday(local: Ints) -> Ints:
    """0 is Monday; 1970-01-01 was a Thursday."""
    return (_days(local) + 3) % 7


def _day_of_month(local: Ints) -> Floats:
    first = _date(local, "M").astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    return (_days(local) - first + 1).astype(np.float64)


def _iso_week(local: Ints) -> Floats:
    """A week belongs to the year of its Thursday."""
    thursday = _days(local) - _weekday(local) + 3
    day_of_year = thursday - _first_day(_date(thursday * DAY, "Y"))
    return (day_of_year // 7 + 1).astype(np.float64)


PARTS: dict[str, Part] = {
    "ISODOW": lambda local: (_weekday(local) + 1).astype(np.float64),
    "DOW": lambda local: ((_weekday(local) + 1) % 7).astype(np.float64),
    "HOUR": lambda local: (local // HOUR % 24).astype(np.float64),
    "MINUTE": lambda local: (local // MINUTE % 60).astype(np.float64),
    "SECOND": lambda local: local % MINUTE / SECOND,
    "DAY": _day_of_month,
    "MONTH": lambda local: (_date(local, "M") % 12 + 1).astype(np.float64),
    "YEAR": lambda local: (_date(local, "Y") + 1970).astype(np.float64),
    "DOY": lambda local: (_days(local) - _first_day(_date(local, "Y")) + 1).astype(np.float64),
    "WEEK": _iso_week,
}
"""As in Postgres: ISODOW has Monday 1 and Sunday 7, DOW Sunday 0; SECOND has its fraction; WEEK is ISO's."""

EPOCH_PART = "EPOCH"
"""Seconds since 1970-01-01 00:00 UTC, whatever the zone; the way to a difference of two timestamps."""


def extract(part: str, zone: tzinfo) -> Callable[[Floats], Floats]:
    """The kernel of EXTRACT(part FROM timestamps)."""
    if part == EPOCH_PART:
        return lambda times: times / SECOND
    function = PARTS[part]

    def kernel(times: Floats) -> Floats:
        usable = (times >= FIRST_MS) & (times < END_MS)
        utc = np.where(usable, np.floor(times), 0.0).astype(np.int64)
        local = utc if zone is UTC else utc + _offsets(utc, zone)
        return np.where(usable, function(local), np.nan)

    return kernel


def _offsets(utc: Ints, zone: tzinfo) -> Ints:
    """The zone's distance from UTC in ms at each time: looked up per hour, and per event where it changes."""
    hours, hour_of = np.unique(utc // HOUR, return_inverse=True)
    starts = np.array([_offset(hour * HOUR, zone) for hour in hours.tolist()], np.int64)
    ends = np.array([_offset(hour * HOUR + HOUR - 1, zone) for hour in hours.tolist()], np.int64)
    offsets = starts[hour_of]
    for i in np.flatnonzero((starts != ends)[hour_of]).tolist():
        offsets[i] = _offset(int(utc[i]), zone)
    return offsets


def _offset(ms: int, zone: tzinfo) -> int:
    within = min(max(ms, OFFSETS_FROM_MS), OFFSETS_UNTIL_MS)
    offset = (EPOCH + timedelta(milliseconds=within)).astimezone(zone).utcoffset()
    return 0 if offset is None else offset // timedelta(milliseconds=1)


def timestamp_ms(text: str, zone: tzinfo) -> float:
    """The ms since the epoch of a literal such as ``2018-04-01 12:30:00``; in `zone` unless it names its own.

    Raises ValueError for anything else.
    """
    if not LITERAL.fullmatch(text):
        raise ValueError("not a timestamp")
    moment = datetime.fromisoformat(text.replace(" +", "+").replace(" -", "-").replace(" Z", "Z"))
    local = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
    return float((local - EPOCH) / timedelta(milliseconds=1))
