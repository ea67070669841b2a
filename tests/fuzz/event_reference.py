"""Which records are events, worked out a value at a time in plain Python; `label_reference` has the labels.

Straight from the words of the contract: `json` reads, with all pairs of an object kept, and a record is
rejected (None) by the first thing that is wrong.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from features.definition.model import Definition, Field

ID_BYTES_MAX, KEY_BYTES_MAX = 256, 512
VALUE_BYTES_MAX, DEPTH_MAX = 1 << 20, 256
EXACT_MAX = 2**53 - 1
YEAR_10000_MS = (date.max.toordinal() + 1 - date(1970, 1, 1).toordinal()) * 86_400_000
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d))?(?:[.,](\d{1,9}))?(?:(Z)|([+-])(\d\d)(?::?(\d\d))?)?",
    re.ASCII,
)


class Wrong(Exception):
    """The record is no event."""


@dataclass(frozen=True)
class PlainRecord:
    """An event or a label as one dictionary each; NaN is missing."""

    id: str
    time: int
    columns: dict[str, Any]
    keys: dict[str, str | None]


class Pairs(list[tuple[str, Any]]):
    """A JSON object with all its pairs, of equal names too."""


def read_json(value: bytes | None, lenient: bool) -> Pairs:
    """A JSON object; raises `Wrong`.

    lenient: texts, which may be skipped, need not be UTF-8 (such bytes become surrogates, which no field may
    hold), nor whole surrogate pairs, and may hold control characters.
    """
    if value is None or len(value) > VALUE_BYTES_MAX:
        raise Wrong
    try:
        found = json.loads(
            value.decode("utf-8", "surrogateescape" if lenient else "strict"),
            object_pairs_hook=Pairs,
            parse_constant=_no_constant,
            strict=not lenient,
        )
        if not lenient and b"\\u" in value:  # halves of surrogate pairs
            json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise Wrong from None
    if not isinstance(found, Pairs) or depth(found) > DEPTH_MAX:
        raise Wrong
    return found


def _no_constant(_: str) -> None:
    raise ValueError


def depth(found: Any) -> int:
    """Levels of brackets."""
    if isinstance(found, Pairs):
        return 1 + max((depth(inner) for _, inner in found), default=0)
    if isinstance(found, list):
        return 1 + max(map(depth, found), default=0)
    return 0


def text(found: Any) -> str:
    if not isinstance(found, str):
        raise Wrong
    try:
        found.encode()
    except UnicodeEncodeError:
        raise Wrong from None
    return found


def float64(found: Any) -> float:
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise Wrong
    try:
        number = float(found)
    except OverflowError:
        raise Wrong from None
    if math.isinf(number):
        raise Wrong
    return number


def int64(found: Any) -> int:
    if isinstance(found, bool) or not isinstance(found, int) or not -(2**63) <= found < 2**63:
        raise Wrong
    return found


def truth(found: Any) -> bool:
    if not isinstance(found, bool):
        raise Wrong
    return found


def iso8601(written: str, timezone: str) -> int:
    """Ms since the epoch; raises `Wrong`."""
    match = _TIME.fullmatch(written)
    if match is None:
        raise Wrong
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    fraction = int(((match[7] or "") + "000")[:3])
    try:
        wall = datetime(year, month, day, hour, minute, second)  # noqa: DTZ001  the clock on the wall
    except ValueError:
        raise Wrong from None
    if year < 1970:
        raise Wrong
    local = (wall - datetime(1970, 1, 1)) // timedelta(milliseconds=1) + fraction  # noqa: DTZ001  as above
    if match[8]:
        ahead = 0
    elif match[9]:
        hours, minutes = int(match[10]), int(match[11] or 0)
        if hours > 23 or minutes > 59:
            raise Wrong
        ahead = (hours * 60 + minutes) * 60_000 * (-1 if match[9] == "-" else 1)
    else:
        offset = wall.replace(tzinfo=ZoneInfo(timezone)).utcoffset()
        ahead = offset // timedelta(milliseconds=1) if offset is not None else 0
    return _in_range(local - ahead)


def _in_range(ms: int) -> int:
    if not 0 <= ms < YEAR_10000_MS:
        raise Wrong
    return ms


def clock(definition: Definition, found: Any) -> int:
    """A timestamp as the definition writes them, to ms since the epoch."""
    unit = definition.time.unit or "iso8601"
    if unit == "iso8601":
        return iso8601(text(found), definition.timezone)
    if unit == "us":
        return _in_range(int64(found) // 1000)
    number = float64(found)
    if not -1 <= number < YEAR_10000_MS:
        raise Wrong
    if unit == "s":  # 1.001 is a little less as a float64, and meant as a whole millisecond
        number = (number + math.ulp(number)) * 1000
    return _in_range(math.floor(number))


def time_of(definition: Definition, found: Any) -> int:
    """An event time in the time unit."""
    if not definition.time.is_sequence:
        return clock(definition, found)
    number = int64(found)
    if abs(number) > EXACT_MAX:
        raise Wrong
    return number


def plain_event(
    definition: Definition, value: bytes | None, latest: int | None, *, lenient: bool
) -> PlainRecord | None:
    """The event in a record's value; None where it is none. latest: the latest time it may have."""
    try:
        return _event(definition, read_json(value, lenient), latest)
    except Wrong:
        return None


def _event(definition: Definition, pairs: Pairs, latest: int | None) -> PlainRecord:
    fields = {field.name: field for field in definition.fields}
    held: dict[str, Any] = dict.fromkeys(fields)
    for name, found in pairs:
        if name in fields:
            held[name] = None if found is None else typed(definition, fields[name], found)
    named = definition.time.field
    if held[named] is None:
        raise Wrong
    time = time_of(definition, held[named])
    if latest is not None and not definition.time.is_sequence and time > latest:
        raise Wrong
    columns = {
        name: _checked(field, float(time) if name == named else _column(definition, field, held[name]))
        for name, field in fields.items()
    }
    parts = [_key_part(held[name]) for name in definition.id_fields]
    if None in parts or "" in parts:
        raise Wrong
    id_ = joined(parts)
    assert id_ is not None
    keys = {e.name: joined([_key_part(held[name]) for name in e.fields]) for e in definition.entities}
    if len(id_.encode()) > ID_BYTES_MAX or any(
        len((k or "").encode()) > KEY_BYTES_MAX for k in keys.values()
    ):
        raise Wrong
    return PlainRecord(id_, time, columns, keys)


def typed(definition: Definition, field: Field, found: Any) -> Any:
    """Of the JSON type that is declared."""
    if field.name == definition.time.field and definition.time.is_sequence:
        return int64(found)
    if field.type == "timestamp":
        unit = definition.time.unit or "iso8601"
        return text(found) if unit == "iso8601" else int64(found) if unit == "us" else float64(found)
    return {"string": text, "float64": float64, "int64": int64, "bool": truth}[field.type](found)


def _column(definition: Definition, field: Field, found: Any) -> Any:
    if field.type == "string":
        return found
    if found is None:
        return math.nan
    return float(clock(definition, found) if field.type == "timestamp" else found)


def _checked(field: Field, value: Any) -> Any:
    """The value after the field's policies."""
    is_missing = value is None or value != value
    if is_missing and field.missing == "reject":
        raise Wrong
    if is_missing and field.default is not None:
        value, is_missing = field.default, False
    if is_missing or (field.minimum is None and field.maximum is None):
        return value
    low = -math.inf if field.minimum is None else field.minimum
    high = math.inf if field.maximum is None else field.maximum
    if field.out_of_range == "reject" and not low <= value <= high:
        raise Wrong
    return min(max(value, low), high) if field.out_of_range == "clip" else value


def _key_part(found: Any) -> str | None:
    if found is None or isinstance(found, str):
        return found
    return ("true" if found else "false") if isinstance(found, bool) else str(found)


def joined(parts: Sequence[str | None]) -> str | None:
    """Parts of a key as one text; None where a part is missing."""
    texts = [part for part in parts if part is not None]
    if len(texts) != len(parts):
        return None
    if len(texts) == 1:
        return texts[0]
    return "\x1f".join(part.replace("\\", "\\\\").replace("\x1f", "\\u001f") for part in texts)
