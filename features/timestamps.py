"""Event times as they are written, to milliseconds since the epoch, a whole column at once.

Date-times are ISO 8601 in the extended format: ``2018-08-08T10:25:54``, the seconds optional, with a
space for the ``T`` where the writer prefers that, a fraction of 1 to 9 digits after a point or comma,
and ``Z``, ``±hh``, ``±hhmm`` or ``±hh:mm`` for the zone; without one the time is local to the
definition's time zone. A fraction beyond milliseconds is truncated. Years are 1970 to 9999. There are
no leap seconds and no 24:00, as there are none in the milliseconds since the epoch.

A column is parsed shape by shape: where every text has the same punctuation at the same places, as
texts of one writer do, all digits of the column are one array.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from features.arrays import Bools, Floats, Ints
from features.definition.model import TimeUnit

INVALID = np.int64(-1)
"""Stands for what is no time; every valid time is at least 0."""
TIME_END_MS = 253_402_300_800_000
"""The year 10000."""

PATTERN = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?"
    r"([.,][0-9]{1,9})?(Z|[+-][0-9]{2}(:?[0-9]{2})?)?"
)
"""The shape of date-times; its groups are the seconds, the fraction, the zone and the zone's minutes."""
_TEXT = re.compile(PATTERN)
_ZERO = ord("0")

_Shape = tuple[int, int, int, int]
"""The lengths of a text, its seconds, its fraction and its zone; they fix where every digit stands."""
_Places = NDArray[np.uint8]
"""Texts of one shape, less the code of ``0``, shape (length, n): row i holds what stands at place i."""


def iso8601_times(texts: Sequence[str], timezone: str) -> Ints:
    """Date-times as ms since the epoch, shape (n,); `INVALID` where a text is none."""
    times = np.full(len(texts), INVALID)
    if texts and len(set(map(len, texts))) == 1:
        joined, shape = "".join(texts), _shape(texts[0])
        if shape is not None and joined.isascii():
            times = _parse(joined.encode(), shape, timezone)
    groups: dict[_Shape, list[int]] = {}
    for i in np.flatnonzero(times == INVALID).tolist():
        shape = _shape(texts[i])
        if shape is not None:
            groups.setdefault(shape, []).append(i)
    for shape, places in groups.items():
        times[places] = _parse("".join([texts[i] for i in places]).encode(), shape, timezone)
    return times


def numeric_times(numbers: Sequence[float | None], unit: TimeUnit) -> Ints:
    """Numbers of `unit` ("s", "ms" or "us") as ms since the epoch; `INVALID` outside 1970 to 9999.

    Fractions of a millisecond are truncated; but seconds as close below a millisecond as float64 can
    tell are that millisecond, so that 1.001, which float64 holds as a little less, is 1001.
    """
    if unit == "us":
        whole = np.array([-1 if number is None else number for number in numbers], np.int64) // 1000
        return np.where((whole >= 0) & (whole < TIME_END_MS), whole, INVALID)
    milliseconds: Floats = np.array(numbers, np.float64)
    if unit == "s":
        seconds = np.clip(milliseconds, -1, TIME_END_MS)
        milliseconds = (seconds + np.spacing(np.abs(seconds))) * 1000
    valid = (milliseconds >= 0) & (milliseconds < TIME_END_MS)
    return np.where(valid, np.floor(milliseconds), INVALID).astype(np.int64)


def local_times(local_ms: Ints, timezone: str) -> Ints:
    """What the clocks of `timezone` show, in ms, as ms since the epoch."""
    if timezone == "UTC":
        return local_ms
    return local_ms - _local_offset(timezone, local_ms, np.ones(len(local_ms), np.bool_))


def _shape(text: str) -> _Shape | None:
    match = _TEXT.fullmatch(text)
    if match is None:
        return None
    seconds, fraction, zone = (len(part or "") for part in match.groups()[:3])
    return len(text), seconds, fraction, zone


def _parse(joined: bytes, shape: _Shape, timezone: str) -> Ints:
    """Texts of one length, joined; those that have not the shape, or no such date, are `INVALID`."""
    length, seconds, fraction, zone = shape
    places = np.ascontiguousarray(np.frombuffer(joined, np.uint8).reshape(-1, length).T) - np.uint8(_ZERO)
    year, month, day, hour, minute = (
        _number(places, at, digits) for at, digits in ((0, 4), (5, 2), (8, 2), (11, 2), (14, 2))
    )
    second = _number(places, 17, 2) if seconds else np.zeros_like(minute)
    month_start = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    first_day = month_start.astype("datetime64[D]").astype(np.int64)
    month_days = (month_start + 1).astype("datetime64[D]").astype(np.int64) - first_day
    local = ((((first_day + day - 1) * 24 + hour) * 60 + minute) * 60 + second) * 1000
    valid = _is_shaped(places, shape)
    valid &= (year >= 1970) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= month_days)
    valid &= (hour < 24) & (minute < 60) & (second < 60)
    if fraction:
        kept = min(fraction - 1, 3)
        local += _number(places, length - zone - fraction + 1, kept) * 10 ** (3 - kept)
    if zone != 1 and (zone or timezone != "UTC"):
        local -= _zone_offset(places, zone, valid) if zone else _local_offset(timezone, local, valid)
    valid &= (local >= 0) & (local < TIME_END_MS)
    return np.where(valid, local, INVALID)


def _zone_offset(places: _Places, zone: int, valid: Bools) -> Ints:
    """How far the written zone is ahead of UTC, in ms; clears `valid` where it is none."""
    length = len(places)
    hours = _number(places, length - zone + 1, 2)
    minutes = _number(places, length - 2, 2) if zone > 3 else np.zeros_like(hours)
    valid &= (hours < 24) & (minutes < 60)
    minus = places[length - zone] == np.uint8((ord("-") - _ZERO) % 256)
    sign: Ints = np.where(minus, -60_000, 60_000)
    return sign * (hours * 60 + minutes)


def _local_offset(timezone: str, local: Ints, valid: Bools) -> Ints:
    """How far the clocks of `timezone` are ahead of UTC, in ms."""
    seconds, place = np.unique(np.where(valid, local // 1000, 0), return_inverse=True)
    ahead = [_clock_offset_ms(timezone, second) for second in seconds.tolist()]
    return np.array(ahead, np.int64)[place]


@lru_cache(maxsize=65_536)
def _clock_offset_ms(timezone: str, local_s: int) -> int:
    """Of a time that occurs twice, the first; of one that is skipped, as if the clock had not moved."""
    wall = datetime(1970, 1, 1, tzinfo=ZoneInfo(timezone))
    moment = wall + timedelta(seconds=local_s)  # arithmetic within a zone moves the hands, not the clock
    offset = moment.utcoffset()
    return 0 if offset is None else round(offset.total_seconds()) * 1000


def _number(places: _Places, at: int, digits: int) -> Ints:
    number: Ints = places[at].astype(np.int64)
    for place in range(at + 1, at + digits):
        number = number * 10 + places[place]
    return number


def _is_shaped(places: _Places, shape: _Shape) -> Bools:
    """Whether punctuation and digits stand where the shape has them."""
    length, seconds, fraction, zone = shape
    marks = {4: "-", 7: "-", 10: "T ", 13: ":"}
    if seconds:
        marks[16] = ":"
    if fraction:
        marks[length - zone - fraction] = ".,"
    if zone:
        marks[length - zone] = "Z" if zone == 1 else "+-"
    if zone == 6:
        marks[length - 3] = ":"
    digits = [place for place in range(length) if place not in marks]
    # Codes below "0" wrap around to large ones, so that one comparison holds both bounds.
    shaped: Bools = np.logical_and.reduce(places[digits] <= 9)
    for place, allowed in marks.items():
        stands: list[Bools] = [np.equal(places[place], np.uint8((ord(m) - _ZERO) % 256)) for m in allowed]
        shaped &= np.logical_or.reduce(stands)
    return shaped
